import CZeroMQ
import Glibc

/// The identity of the thread that owns a socket.
///
/// Threads are compared by `pthread_self`, which costs no system call. Errors name them by the
/// kernel's thread number.
struct ThreadIdentity {
    private let handle: pthread_t
    private let kernelNumber: Int

    /// The calling thread.
    static var current: ThreadIdentity {
        ThreadIdentity(
            handle: pthread_self(), kernelNumber: Int(convoy_kernel_thread_number()))
    }

    var isCurrent: Bool { pthread_equal(handle, pthread_self()) != 0 }

    /// Ends the process when the calling thread is not this one, and names both threads.
    ///
    /// `fatalError` is used because an optimised build leaves out the text of a `precondition`.
    @inline(__always)
    func check(_ operation: StaticString, of subject: @autoclosure () -> String) {
        if isCurrent { return }
        fatalError(
            """
            \(operation) of \(subject()) called on the wrong thread: \
            expected thread \(kernelNumber), which created it, \
            actual thread \(ThreadIdentity.current.kernelNumber); \
            one thread owns a socket from creation to close, others hand work over and wake it
            """)
    }
}
