/// The exponential moving average of a run's weights: a flat vector that follows the weights.
///
/// Math: average ← decay · average + (1 - decay) · w after each update, from the initial weights
/// on. Running statistics are averages already, so their place holds their present value. An
/// average of ten steps with decay 0.999 is still close to the initial weights.
///
/// Determinism: the average is elementwise. It is computed in double precision and rounded once,
/// so that 1 - decay loses nothing for decays near 1.
///
/// Source: torch.optim.swa_utils.get_ema_multi_avg_fn. AveragedModel begins with a copy of the
/// weights after the first update; this average begins one update earlier. The difference fades
/// with decay^steps.
public struct WeightAverage: Sendable, Hashable {
    /// The name of the average among the vectors of a run's state.
    public static let name = "ema"

    /// The share of the average that an update keeps, above 0 and below 1.
    public let decay: Double
    private let statistics: Range<Int>

    /// Creates the average of a network's weights.
    public init(decay: Double, _ parameters: ParameterLayout) {
        precondition(decay > 0 && decay < 1, "expected a decay between 0 and 1, found \(decay)")
        self.decay = decay
        statistics = parameters.statistics
    }

    /// Takes in the weights after an update.
    ///
    /// - Parameters:
    ///   - range: elements of the flat vector.
    ///   - weights: the new weights, which begin with the range.
    ///   - average: the average, which begins with the range.
    public func update(
        _ range: Range<Int>, weights: UnsafePointer<Float>, average: UnsafeMutablePointer<Float>
    ) {
        let new = 1 - decay
        for i in 0..<range.count {
            average[i] = Float(decay * Double(average[i]) + new * Double(weights[i]))
        }
        guard statistics.overlaps(range) else { return }
        let part = statistics.clamped(to: range)
        let start = part.lowerBound - range.lowerBound
        (average + start).update(from: weights + start, count: part.count)
    }
}
