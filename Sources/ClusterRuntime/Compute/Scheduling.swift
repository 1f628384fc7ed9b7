import CLinux

/// What the system's scheduler is told about threads.
///
/// Compute threads keep every core busy. Between two steps, a message must pass through several
/// threads before the next step can begin. Each of these threads runs for about ten microseconds.
/// But it would wait some milliseconds for the end of a compute thread's slice, unless it tells the
/// scheduler that it asks for a short slice only.
///
/// A thread inherits the setting from the thread that starts it, and so do libzmq's threads. No
/// privileges are needed. Kernels before 6.12 ignore the setting, but they prefer threads that
/// slept anyway.
enum Scheduling {
    /// The slice of a thread that carries messages, in nanoseconds.
    private static let messageSlice: UInt64 = 100_000

    /// Marks the calling thread, and the threads that it starts, as carriers of messages.
    static func carryMessages() { _ = convoy_set_slice(messageSlice) }

    /// Marks the calling thread as a compute thread, behind the threads that carry messages.
    static func compute() { _ = convoy_set_slice(0) }
}
