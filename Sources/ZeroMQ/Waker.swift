import CZeroMQ
import Glibc
import Synchronization

/// Ends the wait of a `PollSet` from any thread.
///
/// A wake-up is cheap: of many calls before the next wait only the first makes a system call.
/// Everything that a thread did before `wake()` is visible to the loop after the wait that reports
/// the call.
public final class Waker: Sendable {
    /// A Linux eventfd, which is closed together with the waker.
    let fileDescriptor: Int32
    private let isPending = Atomic<Bool>(false)

    /// Creates the waker's eventfd.
    init() throws(ZeroMQError) {
        fileDescriptor = try LibraryCall.perform("create an eventfd for wake-ups") {
            eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        }
    }

    deinit { close(fileDescriptor) }

    /// Makes the current or the next wait of the poll set return at once.
    public func wake() {
        if isPending.exchange(true, ordering: .acquiringAndReleasing) { return }
        var one: UInt64 = 1
        while write(fileDescriptor, &one, MemoryLayout<UInt64>.size) == -1, errno == EINTR {}
    }

    /// Resets the wake-up and returns whether there was one.
    ///
    /// The descriptor is emptied *before* the flag is cleared. In the opposite order a wake-up
    /// between the two would be emptied while its flag stays set, and no later wake-up would be
    /// signalled.
    func clear() -> Bool {
        var count: UInt64 = 0
        while read(fileDescriptor, &count, MemoryLayout<UInt64>.size) == -1, errno == EINTR {}
        return isPending.exchange(false, ordering: .acquiringAndReleasing)
    }
}
