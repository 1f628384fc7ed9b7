extension Duration {
    /// The duration in whole milliseconds for a C call. It is rounded up, so that a short wait
    /// never becomes no wait.
    ///
    /// Durations that an Int32 cannot hold (24 days) become its maximum. A negative duration is a
    /// programming error and ends the process.
    var millisecondsForLibrary: Int32 {
        guard self >= .zero else {
            fatalError("a duration for libzmq must not be negative, actual \(self)")
        }
        let (seconds, attoseconds) = components
        guard seconds < Int64(Int32.max) / 1000 else { return Int32.max }
        let attosecondsPerMillisecond: Int64 = 1_000_000_000_000_000
        let rest = (attoseconds + attosecondsPerMillisecond - 1) / attosecondsPerMillisecond
        return Int32(seconds * 1000 + rest)
    }

    /// The duration in whole seconds for a C call, rounded up and at least 1.
    var secondsForLibrary: Int32 {
        max(1, (millisecondsForLibrary / 1000) + (millisecondsForLibrary % 1000 == 0 ? 0 : 1))
    }
}
