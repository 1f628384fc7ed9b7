import Glibc

/// A thread of the operating system. `join()` may be called once.
///
/// Safety: `handle` is written once, before another thread can see it.
public final class WorkThread: Sendable {
    private let handle: pthread_t

    /// Starts a thread that runs `body`.
    ///
    /// - Parameter name: Name that `top -H` shows, cut to 15 bytes.
    public init(name: String = "convoy", _ body: @escaping @Sendable () -> Void) {
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        let named: @Sendable () -> Void = {
            Self.nameThisThread(name)
            body()
        }
        var handle = pthread_t()
        let status = pthread_create(
            &handle, nil,
            { context in
                Unmanaged<Box>.fromOpaque(context!).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(Box(named)).toOpaque())
        precondition(status == 0, "pthread_create failed with \(status), expected 0")
        self.handle = handle
    }

    private static func nameThisThread(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        let bytes = Array(name.utf8.prefix(15))
        _ = write(file, bytes, bytes.count)
        close(file)
    }

    /// Waits until the thread has ended. Call it exactly once.
    public func join() { pthread_join(handle, nil) }
}
