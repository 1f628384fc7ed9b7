import CZeroMQ
import Glibc
import Synchronization

/// The home of sockets and of the input/output threads that carry their messages.
///
/// One context a process suffices; inproc endpoints exist within one context only.
///
/// Threading: may be used from any thread. Sockets keep their context alive, so a context that is
/// simply let go ends after its last socket.
///
/// Ending: call `shutdown()`, which makes every pending and later call of its sockets throw
/// `.contextTerminated`; each thread then closes its own sockets; `terminate()` waits for that.
public final class Context: Sendable {
    /// Safety: a libzmq context may be used from any thread; that it is not used after its end is
    /// ensured by handing it out only under `state`'s lock.
    private struct Pointer: @unchecked Sendable {
        let raw: UnsafeMutableRawPointer
    }

    private let state: Mutex<Pointer?>

    /// Creates a context.
    ///
    /// - Parameters:
    ///   - ioThreadCount: threads that move bytes; one serves about a gigabyte a second; 0 is
    ///     enough
    ///     for inproc alone.
    ///   - maximumSocketCount: limit on open sockets, those of monitors included.
    /// - Throws: `.libraryTooOld` below libzmq 4.3, `.invalidArgument` for a count out of range.
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
    /// `.contextTerminated`. Returns at once; may be called from any thread and more than once.
    public func shutdown() {
        state.withLock { pointer in
            if let pointer { _ = zmq_ctx_shutdown(pointer.raw) }
        }
    }

    /// Ends the context. Idempotent.
    ///
    /// Blocks until every socket of the context is closed and its linger time is over. A thread
    /// that calls this while it still owns an open socket therefore waits forever: close first, and
    /// call `shutdown()` to make other threads close theirs. A second caller returns at once.
    public func terminate() {
        let last = state.withLock { pointer -> Pointer? in
            defer { pointer = nil }
            return pointer
        }
        guard let last else { return }
        // EINTR is the only failure a valid context has; it leaves the context as it was.
        _ = try? LibraryCall.perform("end a context") { zmq_ctx_term(last.raw) }
    }

    deinit { terminate() }

    /// Opens a socket of the context, unless it has been terminated.
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
