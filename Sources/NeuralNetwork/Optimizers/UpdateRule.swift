/// How an update changes each element of the flat vector: trained tensors by the optimizer,
/// statistics by a running mean.
///
/// Determinism: a rule is elementwise, so the bits do not depend on where the vector is cut. Only
/// ``clipping`` needs the whole gradient; its caller scales the gradient before the update.
public struct UpdateRule: Sendable, Hashable {
    /// A part of the flat vector whose elements change in one way.
    private struct Stretch: Hashable {
        var range: Range<Int>
        var change: Change
    }

    private enum Change: Hashable {
        /// The optimizer divides the gradient by the sum of the records' weights and takes a step.
        /// Its learning rate and its weight decay are multiplied by these factors.
        case optimizer(rate: Double, decay: Double)
        /// The new value is (1 - momentum) · value + momentum · statistic. The gradient's place
        /// holds the statistic times the number of records.
        case average(momentum: Double)
    }

    /// The learning rates of a run.
    public struct Rates: Sendable, Hashable {
        /// How the rate changes.
        public var schedule: LearningRateSchedule
        /// The number of updates of the run, at least 1.
        public var totalSteps: Int
        /// The number of updates of an epoch, at least 1.
        public var stepsPerEpoch: Int

        /// Creates the rates of a run; by default the rate stays.
        public init(
            _ schedule: LearningRateSchedule = LearningRateSchedule(), totalSteps: Int = 1,
            stepsPerEpoch: Int = 1
        ) {
            self.schedule = schedule
            self.totalSteps = totalSteps
            self.stepsPerEpoch = stepsPerEpoch
        }

        /// Returns what the learning rate is multiplied by in an update; the first is 1.
        public func factor(step: Int) -> Double {
            schedule.factor(update: step - 1, total: totalSteps, stepsPerEpoch: stepsPerEpoch)
        }
    }

    /// The optimizer, with the learning rate that the schedule changes.
    public let optimizer: OptimizerSpecification
    /// How the gradient is clipped by its norm; nil for a run without clipping.
    public var clipping: GradientClipping?
    /// The average of the weights; nil for a run without one.
    public var average: WeightAverage?
    private let rates: Rates
    private let stretches: [Stretch]

    /// Creates the rule of a network.
    ///
    /// - Parameters:
    ///   - optimizer: the optimizer.
    ///   - parameters: the layout of the flat vector.
    ///   - rates: the learning rates of the run.
    ///   - decays1D: whether weight decay applies to biases and to the scales and shifts of
    ///     normalisations too. Most of these have one dimension.
    ///   - groups: tensors with another learning rate or weight decay.
    public init(
        _ optimizer: OptimizerSpecification, _ parameters: ParameterLayout,
        rates: Rates = Rates(), decays1D: Bool = true, groups: [ParameterGroup] = []
    ) {
        self.optimizer = optimizer
        self.rates = rates
        var stretches: [Stretch] = []
        for slot in parameters.slots {
            let change: Change
            switch slot.role {
            case .trained:
                let (rate, decay) = ParameterGroup.factors(groups, of: slot.name)
                let decays = decays1D || slot.kind == .weight
                change = .optimizer(rate: rate, decay: decays ? decay : 0)
            case .statistic: change = .average(momentum: slot.momentum)
            case .frozen: continue
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

    /// The names of the vectors that the rule keeps beside the weights, in order: those of the
    /// optimizer, then the average of the weights. The optimizer's begin with zeros, the average
    /// with the weights.
    public var stateNames: [String] {
        optimizer.stateNames + (average == nil ? [] : [WeightAverage.name])
    }

    /// Returns the optimizer of one update; the first is 1.
    private func optimizer(step: Int, rate: Double, decay: Double) -> OptimizerSpecification {
        var result = optimizer
        let factor = rates.factor(step: step) * rate
        if factor != 1, let rate = optimizer["learning-rate"] {
            result["learning-rate"] = rate * factor
        }
        if decay != 1, let whole = optimizer["weight-decay"] {
            result["weight-decay"] = whole * decay
        }
        return result
    }

    /// Computes one update of a range of the flat vector.
    ///
    /// All vectors begin with the first element of the range. `newWeights` may be `weights`; no
    /// other two of them may overlap.
    /// - Parameters:
    ///   - range: the elements of the flat vector, without frozen ones.
    ///   - step: the number of this update; the first is 1.
    ///   - rateFactor: what the learning rate is multiplied by beside the schedule.
    ///   - weights: the elements before the update.
    ///   - newWeights: receives the elements after the update.
    ///   - gradientSum: the gradient, summed over the records of the global batch; for a statistic,
    ///     the sum over the virtual workers of statistic times number of records.
    ///   - sampleCount: the number of records in the global batch, at least 1. Statistics are
    ///     divided by it.
    ///   - weightSum: the sum of the records' weights, which gradients are divided by; nil where
    ///     each record weighs 1.
    ///   - state: one vector for each of ``stateNames``, updated in place. A statistic has no
    ///     optimizer state, and its elements there stay as they are.
    public func update(
        _ range: Range<Int>, step: Int, rateFactor: Double = 1, weights: UnsafePointer<Float>,
        into newWeights: UnsafeMutablePointer<Float>, gradientSum: UnsafePointer<Float>,
        sampleCount: Int, weightSum: Double? = nil, state: [UnsafeMutablePointer<Float>]
    ) {
        let ofOptimizer = state.prefix(optimizer.stateNames.count)
        for stretch in stretches where stretch.range.overlaps(range) {
            let part = stretch.range.clamped(to: range)
            let start = part.lowerBound - range.lowerBound
            switch stretch.change {
            case .optimizer(let rate, let decay):
                optimizer(step: step, rate: rateFactor * rate, decay: decay).update(
                    step: step, weights: weights + start, into: newWeights + start,
                    gradientSum: gradientSum + start, sampleCount: sampleCount,
                    weightSum: weightSum,
                    state: ofOptimizer.map { $0 + start },
                    count: part.count)
            case .average(let momentum):
                let (kept, new) = (Float(1 - momentum), Float(momentum))
                for i in start..<start + part.count {
                    let statistic = gradientSum[i] / Float(sampleCount)
                    newWeights[i] = kept * weights[i] + new * statistic
                }
            }
        }
        if let average, let vector = state.last {
            average.update(range, weights: newWeights, average: vector)
        }
    }
}
