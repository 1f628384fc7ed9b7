import CKernels

/// How the learning rate changes from update to update.
///
/// A rate is the optimizer's learning rate times a factor, which is a pure function of the update's
/// number. Determinism: cosine and powers are Convoy's own, so the host's C library decides no bit.
/// Source: the schedulers of torch.optim.lr_scheduler.
public struct LearningRateSchedule: Sendable, Hashable {
    /// A length of time in a run.
    public enum Span: Sendable, Hashable {
        /// A number of passes over the data.
        case epochs(Double)
        /// A number of updates.
        case steps(Int)

        /// Returns the number of updates, at least 0.
        public func updates(stepsPerEpoch: Int) -> Int {
            switch self {
            case .steps(let count): count
            case .epochs(let count): Int(min(1e15, (count * Double(stepsPerEpoch)).rounded()))
            }
        }
    }

    /// The form of a schedule.
    public enum Shape: Sendable, Hashable {
        /// The rate stays.
        case constant
        /// The rate is multiplied by `factor` after every `every`.
        case step(every: Span, factor: Double)
        /// The rate is multiplied by `factor` at each of these times.
        case multiStep(at: [Span], factor: Double)
        /// The rate falls along half a cosine, to `minimum` times the rate at the end of the run.
        case cosine(minimum: Double)
        /// The rate falls as (1 - share of the run)^power, to 0 at the end of the run.
        case polynomial(power: Double)
        /// The rate rises from rate / `divisor` along half a cosine for the share `rising` of the
        /// run, and falls to rate / `divisor` / `lastDivisor`. Source: Smith and Topin, 2018.
        case oneCycle(rising: Double, divisor: Double, lastDivisor: Double)
    }

    /// The form.
    public var shape: Shape
    /// The time in which the rate first rises to that of the schedule's beginning, by equal steps;
    /// the schedule takes the rest of the run.
    public var warmup: Span

    /// Creates a schedule; by default the rate stays.
    public init(_ shape: Shape = .constant, warmup: Span = .steps(0)) {
        self.shape = shape
        self.warmup = warmup
    }

    /// The names of the forms in a run file.
    public static let names = [
        "constant", "step", "multi-step", "cosine", "polynomial", "one-cycle",
    ]

    /// The name of the form in a run file.
    public var name: String {
        switch shape {
        case .constant: "constant"
        case .step: "step"
        case .multiStep: "multi-step"
        case .cosine: "cosine"
        case .polynomial: "polynomial"
        case .oneCycle: "one-cycle"
        }
    }

    /// Whether the factors depend on the length of the run.
    public var dependsOnLength: Bool {
        switch shape {
        case .constant, .step, .multiStep: false
        case .cosine, .polynomial, .oneCycle: true
        }
    }

    /// Returns the factor of an update.
    ///
    /// - Parameters:
    ///   - update: the number of the update, from 0.
    ///   - total: the number of updates of the run, at least 1.
    ///   - stepsPerEpoch: the number of updates of an epoch, at least 1.
    public func factor(update: Int, total: Int, stepsPerEpoch: Int) -> Double {
        let rise = warmup.updates(stepsPerEpoch: stepsPerEpoch)
        let length = max(1, total - rise)
        if update < rise {
            return Double(update + 1) / Double(rise) * factor(0, length, rise, stepsPerEpoch)
        }
        return factor(update - rise, length, rise, stepsPerEpoch)
    }

    /// Returns the factor after the warm-up.
    ///
    /// Times of a step are counted from the beginning of the run, so that a warm-up does not move
    /// them.
    private func factor(_ update: Int, _ length: Int, _ rise: Int, _ stepsPerEpoch: Int) -> Double {
        switch shape {
        case .constant: return 1
        case .step(let every, let factor):
            let updates = max(1, every.updates(stepsPerEpoch: stepsPerEpoch))
            return Self.power(factor, (update + rise) / updates)
        case .multiStep(let times, let factor):
            let passed = times.count { $0.updates(stepsPerEpoch: stepsPerEpoch) <= update + rise }
            return Self.power(factor, passed)
        case .cosine(let minimum):
            let share = min(1, Double(update) / Double(length))
            return minimum + (1 - minimum) * (1 + Self.cosineOfHalfTurns(share)) / 2
        case .polynomial(let power):
            let left = 1 - min(1, Double(update) / Double(length))
            return left == 0 ? 0 : convoy_exp(power * convoy_log(left))
        case .oneCycle(let rising, let divisor, let lastDivisor):
            let top = rising * Double(length) - 1
            let (low, end) = (1 / divisor, 1 / divisor / lastDivisor)
            let place = Double(update)
            if place <= top { return Self.anneal(low, 1, top > 0 ? place / top : 1) }
            let fall = Double(length - 1) - top
            return Self.anneal(1, end, fall > 0 ? min(1, (place - top) / fall) : 1)
        }
    }

    /// Returns the point at a share of the way between two values along half a cosine.
    private static func anneal(_ start: Double, _ end: Double, _ share: Double) -> Double {
        end + (start - end) * (1 + cosineOfHalfTurns(share)) / 2
    }

    /// Returns base^exponent for a whole exponent of at least 0, by squaring.
    private static func power(_ base: Double, _ exponent: Int) -> Double {
        var (result, square, rest) = (1.0, base, exponent)
        while rest > 0 {
            if rest & 1 == 1 { result *= square }
            square *= square
            rest >>= 1
        }
        return result
    }

    /// Returns cos(π · share) for a share from 0 to 1, with an error of about 1e-16.
    static func cosineOfHalfTurns(_ share: Double) -> Double {
        if share > 0.5 { return -cosineOfHalfTurns(1 - share) }
        // Up to a quarter of π the series of the cosine, beyond it that of the sine.
        let isNear = share <= 0.25
        let x = Double.pi * (isNear ? share : 0.5 - share)
        var term = isNear ? 1.0 : x
        var sum = term
        var divisor = isNear ? 1.0 : 2.0
        for _ in 0..<10 {
            term *= -x * x / (divisor * (divisor + 1))
            sum += term
            divisor += 2
        }
        return sum
    }
}
