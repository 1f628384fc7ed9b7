import Glibc

/// A spin-wait: a thread that expects something soon checks for it repeatedly before it sleeps.
/// Between two checks it yields its core to other threads.
///
/// An idle core is halted, and a virtual machine takes some 50 microseconds to start it again. In
/// the exchange of a step several threads wake one another in sequence. While one of them keeps the
/// cores from halting, all of them start at once. After several long waits in a row the spin-wait
/// is left out for a while, so that it costs next to nothing where waits are long.
///
/// Threading: each waiting thread has its own value.
public struct Vigil {
    /// The number of spin-waits in vain, in a row, after which they are left out for a while.
    private static let patience = 8
    /// The number of waits without spinning before the next spin-wait.
    private static let rest = 64

    private let limit: Duration
    private var failureCount = 0
    private var restCount = 0

    /// Creates a spin-wait.
    ///
    /// - Parameter limit: Longest time spent spinning in one wait.
    public init(limit: Duration) { self.limit = limit }

    /// Spins until `hasCome` returns true or the limit is over. Returns at once while spin-waits
    /// are left out.
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
