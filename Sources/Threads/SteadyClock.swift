import Glibc

/// Time since the process looked for the first time; never set back.
public enum SteadyClock {
    private static let origin = nanoseconds()

    /// Time since the origin.
    public static var now: Duration { .nanoseconds(nanoseconds() - origin) }

    /// Nanoseconds of the system's monotonic clock, for measuring stretches.
    public static func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Seconds since 1970, for logs.
    public static var wallSeconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
