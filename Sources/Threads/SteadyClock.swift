import Glibc

/// A clock of the process that is never set back. Its origin is the first time the process read it.
public enum SteadyClock {
    private static let origin = nanoseconds()

    /// The time since the origin.
    public static var now: Duration { .nanoseconds(nanoseconds() - origin) }

    /// Returns the nanoseconds of the system's monotonic clock, for measuring durations.
    public static func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// The seconds since 1970 by the system's wall clock, for logs.
    public static var wallSeconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
