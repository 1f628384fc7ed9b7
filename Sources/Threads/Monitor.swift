import Glibc

/// State that several threads share and wait on.
///
/// Safety: `state` is touched only between locking and unlocking `mutex`. Both C objects live at
/// fixed addresses from `init` to `deinit`. No reference to the state leaves a closure.
public final class Monitor<State>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var state: State

    /// Creates a monitor of the given state.
    public init(_ state: sending State) {
        self.state = state
        pthread_mutex_init(mutex, nil)
        // Deadlines use the monotonic clock, which is never set back.
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` with exclusive access, then wakes every waiting thread to check again.
    public func change<Value>(_ body: (inout State) -> Value) -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        let value = body(&state)
        pthread_cond_broadcast(condition)
        return value
    }

    /// Runs `body` with exclusive access and wakes no thread. Use it for reading, and for changes
    /// that no thread waits for.
    public func look<Value>(_ body: (inout State) -> Value) -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&state)
    }

    /// Runs `body` with exclusive access, and again after each change by another thread, until it
    /// returns a value.
    public func wait<Value>(until body: (inout State) -> Value?) -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let value = body(&state) { return value }
            pthread_cond_wait(condition, mutex)
        }
    }

    /// Waits as `wait(until:)` does, but not longer than `limit`.
    ///
    /// - Returns: Nil when the time was over first.
    public func wait<Value>(within limit: Duration, until body: (inout State) -> Value?) -> Value? {
        let end = SteadyClock.nanoseconds() + Int64(max(0, limit / .nanoseconds(1)))
        var deadline = timespec()
        deadline.tv_sec = Int(end / 1_000_000_000)
        deadline.tv_nsec = Int(end % 1_000_000_000)
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let value = body(&state) { return value }
            if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT {
                return body(&state)
            }
        }
    }
}
