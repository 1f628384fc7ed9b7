import Threads

/// Measures how long a child process has given no sign of life.
///
/// Only time in which this process itself was at work counts. If this process was stopped or did
/// not get the processor, it must first read what its children have sent in the meantime.
package struct Silence {
    /// The least limit before the first sign, for a program that starts on a busy machine.
    private static let startPatience = Duration.seconds(10)
    /// The most that counts between two looks. The rest of a longer gap was this process's own
    /// pause.
    private static let longestGap = Duration.milliseconds(100)

    private var length = Duration.zero
    private var lastLook: Duration
    private var hasHeard = false

    /// Creates a measurement that begins at `now`.
    package init(now: Duration = SteadyClock.now) { lastLook = now }

    /// Updates the measurement.
    ///
    /// - Parameters:
    ///   - hasGivenSign: Whether there was a sign since the last look.
    ///   - limit: Longest silence of a process that works.
    /// - Returns: The length of the silence when it is too long, otherwise nil.
    package mutating func look(
        hasGivenSign: Bool, limit: Duration, now: Duration = SteadyClock.now
    ) -> Duration? {
        length = hasGivenSign ? .zero : length + min(now - lastLook, Self.longestGap)
        lastLook = now
        if hasGivenSign { hasHeard = true }
        return length > (hasHeard ? limit : max(limit, Self.startPatience)) ? length : nil
    }
}
