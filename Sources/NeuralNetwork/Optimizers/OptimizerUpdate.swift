import CKernels

extension OptimizerSpecification {
    /// One update of a stretch of the flat vector.
    ///
    /// The gradient is gradientSum / sampleCount, the mean over the global batch. `newWeights` may
    /// be
    /// `weights`; no other two of the vectors may overlap. `state` has a vector for each of
    /// ``stateNames`` and is updated in place.
    /// Determinism: elementwise, so cutting the vector into stretches anywhere gives the same bits;
    /// plain IEEE operations, so every host does; powers of β are our own products in double.
    /// - Parameter step: the number of this update, the first being 1.
    public func update(
        step: Int, weights: UnsafePointer<Float>, into newWeights: UnsafeMutablePointer<Float>,
        gradientSum: UnsafePointer<Float>, sampleCount: Int, state: [UnsafeMutablePointer<Float>],
        count: Int
    ) {
        precondition(step >= 1, "expected a step of at least 1, found \(step)")
        precondition(sampleCount >= 1, "expected at least 1 sample, found \(sampleCount)")
        precondition(
            state.count == stateNames.count,
            "optimizer \(name): expected \(stateNames.count) state vectors, found \(state.count)")
        switch self {
        case .sgd(let sgd):
            var numbers = convoy_sgd_step(
                sample_count: Float(sampleCount), learning_rate: Float(sgd.learningRate),
                momentum: Float(sgd.momentum), weight_decay: Float(sgd.weightDecay),
                nesterov: sgd.nesterov ? 1 : 0)
            convoy_sgd(newWeights, weights, gradientSum, state.first, count, &numbers)
        case .adam(let adam):
            var numbers = Self.adamStep(
                step, sampleCount, adam.learningRate, adam.beta1, adam.beta2, adam.epsilon)
            numbers.weight_decay = Float(adam.weightDecay)
            convoy_adam(newWeights, weights, gradientSum, state[0], state[1], count, &numbers)
        case .adamW(let adam):
            var numbers = Self.adamStep(
                step, sampleCount, adam.learningRate, adam.beta1, adam.beta2, adam.epsilon)
            numbers.weight_factor = Float(1 - adam.learningRate * adam.weightDecay)
            convoy_adam(newWeights, weights, gradientSum, state[0], state[1], count, &numbers)
        }
    }

    private static func adamStep(
        _ step: Int, _ sampleCount: Int, _ learningRate: Double, _ beta1: Double, _ beta2: Double,
        _ epsilon: Double
    ) -> convoy_adam_step {
        convoy_adam_step(
            sample_count: Float(sampleCount),
            step_size: Float(learningRate / (1 - power(beta1, step))),
            beta1: Float(beta1), one_minus_beta1: Float(1 - beta1), beta2: Float(beta2),
            one_minus_beta2: Float(1 - beta2),
            root_correction2: Float((1 - power(beta2, step)).squareRoot()),
            epsilon: Float(epsilon), weight_decay: 0, weight_factor: 1)
    }

    /// base to the power of a positive whole number, by squaring.
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
