import Glibc

/// How a thread waits for what usually comes soon: it looks again and again, and gives its core to
/// whoever wants it in between, before it may sleep.
///
/// A core without work is halted, and a virtual machine takes some 50 microseconds to start it
/// again. In the exchange of a step several threads wake one another in turn; while one of them
/// keeps the cores from halting, all of them start at once. Where the wait turns out to be long
/// several times in a row, looking is left off for a while, so that it costs next to nothing there.
///
/// Threading: a value for each thread that waits.
public struct Vigil {
    /// Vigils in vain, in a row, after which there are none for a while.
    private static let patience = 8
    /// Waits without a vigil, before another is tried.
    private static let rest = 64

    private let limit: Duration
    private var failureCount = 0
    private var restCount = 0

    /// - Parameter limit: longest time spent looking in one wait.
    public init(limit: Duration) { self.limit = limit }

    /// Looks until `hasCome`, or for as long as is sensible.
    public mutating func keep(until hasCome: () -> Bool) {
        if restCount > 0 {
            restCount -= 1
            return
        }
        let end = SteadyClock.now + limit
        repeat {
            if hasCome() {
                failureCount = 0
                return
            }
            sched_yield()
        } while SteadyClock.now < end
        failureCount += 1
        if failureCount >= Self.patience { restCount = Self.rest }
    }
}
