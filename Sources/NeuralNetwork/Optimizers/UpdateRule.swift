/// How an update changes each element of the flat vector: trained tensors by the optimizer,
/// statistics by a running mean.
///
/// Determinism: a rule is elementwise, so the bits do not depend on where the vector is cut.
public struct UpdateRule: Sendable, Hashable {
    /// A part of the flat vector whose elements change in one way.
    private struct Stretch: Hashable {
        var range: Range<Int>
        var change: Change
    }

    private enum Change: Hashable {
        /// The optimizer takes a step with the gradient divided by the number of records.
        case optimizer
        /// The new value is (1 - momentum) · value + momentum · statistic. The gradient holds the
        /// statistic times the number of records.
        case average(momentum: Double)
    }

    /// The optimizer.
    public let optimizer: OptimizerSpecification
    private let stretches: [Stretch]

    /// Creates the rule of a network.
    public init(_ optimizer: OptimizerSpecification, _ parameters: ParameterLayout) {
        self.optimizer = optimizer
        var stretches: [Stretch] = []
        for slot in parameters.slots {
            let change: Change
            switch slot.role {
            case .trained: change = .optimizer
            case .statistic: change = .average(momentum: slot.momentum)
            }
            if let last = stretches.last, last.change == change {
                stretches[stretches.count - 1].range =
                    last.range.lowerBound..<slot.range.upperBound
            } else {
                stretches.append(Stretch(range: slot.range, change: change))
            }
        }
        self.stretches = stretches
    }

    /// Computes one update of a range of the flat vector.
    ///
    /// All vectors begin with the first element of the range. `newWeights` may be `weights`; no
    /// other two of them may overlap.
    /// - Parameters:
    ///   - range: the elements of the flat vector.
    ///   - step: the number of this update; the first is 1.
    ///   - weights: the elements before the update.
    ///   - newWeights: receives the elements after the update.
    ///   - gradientSum: the gradient, summed over the records of the global batch; for a statistic,
    ///     the sum over the virtual workers of statistic times number of records.
    ///   - sampleCount: the number of records in the global batch, at least 1.
    ///   - state: one vector for each of ``OptimizerSpecification/stateNames``, updated in place. A
    ///     statistic has none, and its elements stay as they are.
    public func update(
        _ range: Range<Int>, step: Int, weights: UnsafePointer<Float>,
        into newWeights: UnsafeMutablePointer<Float>, gradientSum: UnsafePointer<Float>,
        sampleCount: Int, state: [UnsafeMutablePointer<Float>]
    ) {
        for stretch in stretches where stretch.range.overlaps(range) {
            let part = stretch.range.clamped(to: range)
            let start = part.lowerBound - range.lowerBound
            switch stretch.change {
            case .optimizer:
                optimizer.update(
                    step: step, weights: weights + start, into: newWeights + start,
                    gradientSum: gradientSum + start, sampleCount: sampleCount,
                    state: state.map { $0 + start }, count: part.count)
            case .average(let momentum):
                let (kept, new) = (Float(1 - momentum), Float(momentum))
                for i in start..<start + part.count {
                    let statistic = gradientSum[i] / Float(sampleCount)
                    newWeights[i] = kept * weights[i] + new * statistic
                }
            }
        }
    }
}
