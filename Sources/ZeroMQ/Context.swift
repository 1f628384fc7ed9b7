import CZeroMQ
import Glibc
import Synchronization

/// A ZeroMQ context: the owner of sockets and of the input/output threads that carry their
/// messages.
///
/// One context in a process is enough. Inproc endpoints exist within one context only.
///
/// Threading: any thread may use a context. Sockets keep their context alive, so a context without
/// other references ends after its last socket.
///
/// Ending: call `shutdown()`, after which every pending and later call of the context's sockets
/// throws `.contextTerminated`. Each thread then closes its own sockets. `terminate()` waits until
/// all of them are closed.
public final class Context: Sendable {
    /// Safety: any thread may use a libzmq context. It is never used after its end, because it is
    /// handed out only under the lock of `state`.
    private struct Pointer: @unchecked Sendable {
        let raw: UnsafeMutableRawPointer
    }

    private let state: Mutex<Pointer?>

    /// Creates a context.
    ///
    /// - Parameters:
    ///   - ioThreadCount: the number of threads that move bytes. One thread serves about a gigabyte
    ///     a second; 0 is enough for a context with inproc endpoints only.
    ///   - maximumSocketCount: the limit on open sockets, including those of monitors.
    /// - Throws: `.libraryTooOld` below libzmq 4.3; `.invalidArgument` for a count out of range.
    public init(ioThreadCount: Int = 1, maximumSocketCount: Int = 4096) throws(ZeroMQError) {
        try LibraryVersion.current.requireSupported()
        let pointer = try LibraryCall.create("create a context") { zmq_ctx_new() }
        state = Mutex(Pointer(raw: pointer))
        try set(ZMQ_IO_THREADS, "ioThreadCount", ioThreadCount, pointer)
        try set(ZMQ_MAX_SOCKETS, "maximumSocketCount", maximumSocketCount, pointer)
    }

    private func set(
        _ option: Int32, _ name: String, _ value: Int, _ pointer: UnsafeMutableRawPointer
    ) throws(ZeroMQError) {
        try LibraryCall.perform("create a context with \(name) \(value)") {
            zmq_ctx_set(pointer, option, Int32(clamping: value))
        }
    }

    /// Makes every blocked and later operation of this context's sockets throw
    /// `.contextTerminated`.
    ///
    /// Returns at once. Any thread may call this, also more than once.
    public func shutdown() {
        state.withLock { pointer in
            if let pointer { _ = zmq_ctx_shutdown(pointer.raw) }
        }
    }

    /// Ends the context. Idempotent.
    ///
    /// Blocks until every socket of the context is closed and its linger time is over. A thread
    /// that calls this while it still owns an open socket therefore waits without end: close that
    /// socket first, and call `shutdown()` to make other threads close theirs. A second caller
    /// returns at once.
    public func terminate() {
        let last = state.withLock { pointer -> Pointer? in
            defer { pointer = nil }
            return pointer
        }
        guard let last else { return }
        // A valid context can fail only with EINTR, which leaves it as it was.
        _ = try? LibraryCall.perform("end a context") { zmq_ctx_term(last.raw) }
    }

    deinit { terminate() }

    /// Opens a socket of the context.
    ///
    /// - Throws: `.contextTerminated` when the context has ended.
    func openSocket(_ kind: SocketKind) throws(ZeroMQError) -> UnsafeMutableRawPointer {
        let operation = "open a \(kind) socket"
        let opened = try state.withLock { pointer throws(ZeroMQError) -> Pointer in
            guard let pointer else { throw ZeroMQError(number: ETERM, operation: operation) }
            return Pointer(
                raw: try LibraryCall.create(operation) { zmq_socket(pointer.raw, kind.number) })
        }
        return opened.raw
    }
}
