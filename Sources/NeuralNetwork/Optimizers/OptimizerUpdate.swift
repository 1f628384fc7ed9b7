import CKernels

extension OptimizerSpecification {
    /// Computes one update of `count` consecutive elements of the flat vector.
    ///
    /// The gradient is gradientSum / weightSum, the mean over the global batch. `newWeights` may be
    /// `weights`; no other two of the vectors may overlap.
    /// Determinism: the update is elementwise, so the bits do not depend on where the vector is
    /// cut. It consists of plain IEEE operations, so every host gives the same bits. Powers of β
    /// are products in double precision that Convoy computes without the host's C library.
    /// - Parameters:
    ///   - step: the number of this update; the first is 1.
    ///   - weights: the elements before the update.
    ///   - newWeights: receives the elements after the update.
    ///   - gradientSum: the gradient, summed over the records of the global batch.
    ///   - sampleCount: the number of records in the global batch, at least 1.
    ///   - weightSum: the sum of the records' weights; nil where each record weighs 1. With a sum
    ///     of 0 the gradient is zero, and is divided by 1.
    ///   - state: one vector of `count` elements for each of ``stateNames``, updated in place.
    ///   - count: the number of elements.
    public func update(
        step: Int, weights: UnsafePointer<Float>, into newWeights: UnsafeMutablePointer<Float>,
        gradientSum: UnsafePointer<Float>, sampleCount: Int, weightSum: Double? = nil,
        state: [UnsafeMutablePointer<Float>], count: Int
    ) {
        precondition(step >= 1, "expected a step of at least 1, found \(step)")
        precondition(sampleCount >= 1, "expected at least 1 sample, found \(sampleCount)")
        precondition(
            state.count == stateNames.count,
            "optimizer \(name): expected \(stateNames.count) state vectors, found \(state.count)")
        var divisor = Float(sampleCount)
        if let weightSum { divisor = Float(BatchStatistics.divisor(weightSum)) }
        switch self {
        case .sgd(let sgd):
            var numbers = convoy_sgd_step(
                sample_count: divisor, learning_rate: Float(sgd.learningRate),
                momentum: Float(sgd.momentum), weight_decay: Float(sgd.weightDecay),
                nesterov: sgd.nesterov ? 1 : 0)
            convoy_sgd(newWeights, weights, gradientSum, state.first, count, &numbers)
        case .adam(let adam):
            var numbers = Self.adamStep(
                step, divisor, adam.learningRate, adam.beta1, adam.beta2, adam.epsilon)
            numbers.weight_decay = Float(adam.weightDecay)
            convoy_adam(newWeights, weights, gradientSum, state[0], state[1], count, &numbers)
        case .adamW(let adam):
            var numbers = Self.adamStep(
                step, divisor, adam.learningRate, adam.beta1, adam.beta2, adam.epsilon)
            numbers.weight_factor = Float(1 - adam.learningRate * adam.weightDecay)
            convoy_adam(newWeights, weights, gradientSum, state[0], state[1], count, &numbers)
        }
    }

    private static func adamStep(
        _ step: Int, _ divisor: Float, _ learningRate: Double, _ beta1: Double, _ beta2: Double,
        _ epsilon: Double
    ) -> convoy_adam_step {
        convoy_adam_step(
            sample_count: divisor,
            step_size: Float(learningRate / (1 - power(beta1, step))),
            beta1: Float(beta1), one_minus_beta1: Float(1 - beta1), beta2: Float(beta2),
            one_minus_beta2: Float(1 - beta2),
            root_correction2: Float((1 - power(beta2, step)).squareRoot()),
            epsilon: Float(epsilon), weight_decay: 0, weight_factor: 1)
    }

    /// Returns the base to the power of a positive whole number, by squaring.
    private static func power(_ base: Double, _ exponent: Int) -> Double {
        var result = 1.0
        var square = base
        var rest = exponent
        while rest > 0 {
            if rest & 1 == 1 { result *= square }
            square *= square
            rest >>= 1
        }
        return result
    }
}
