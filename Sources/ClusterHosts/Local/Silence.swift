import Threads

/// How long a child process has given no sign of life.
///
/// Only time in which this process itself was at work counts: one that was stopped, or did not get
/// the processor, first hears what its children have sent meanwhile.
package struct Silence {
    /// Until the first sign: a program that starts on a busy machine.
    private static let startPatience = Duration.seconds(10)
    /// More than this between two looks was this process's own sleep.
    private static let longestGap = Duration.milliseconds(100)

    private var length = Duration.zero
    private var lastLook: Duration
    private var hasHeard = false

    package init(now: Duration = SteadyClock.now) { lastLook = now }

    /// - Parameters:
    ///   - hasGivenSign: whether there was a sign since the last look.
    ///   - limit: longer than this no process that works is silent.
    /// - Returns: how long it has been silent, when that is too long.
    package mutating func look(
        hasGivenSign: Bool, limit: Duration, now: Duration = SteadyClock.now
    ) -> Duration? {
        length = hasGivenSign ? .zero : length + min(now - lastLook, Self.longestGap)
        lastLook = now
        if hasGivenSign { hasHeard = true }
        return length > (hasHeard ? limit : max(limit, Self.startPatience)) ? length : nil
    }
}
