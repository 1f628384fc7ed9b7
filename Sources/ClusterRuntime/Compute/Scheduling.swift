import CLinux

/// What the system's scheduler is told of threads.
///
/// Compute threads keep every core busy, and in between a message must pass through several threads
/// before the next step can begin. Each of them runs for some ten microseconds, but would wait for
/// the end of a computing thread's slice, milliseconds, unless it says that it runs shortly. Threads
/// inherit this from the one that starts them, those of libzmq too. No rights are needed; kernels
/// before 6.12 know nothing of it, and prefer those who slept anyway.
enum Scheduling {
    private static let messageSlice: UInt64 = 100_000

    /// The calling thread, and those that it starts, carry messages.
    static func carryMessages() { _ = convoy_set_slice(messageSlice) }

    /// The calling thread computes: the others go first.
    static func compute() { _ = convoy_set_slice(0) }
}
