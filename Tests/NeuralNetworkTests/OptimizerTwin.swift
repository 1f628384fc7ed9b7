import NeuralNetwork

/// The optimizers in plain Swift, one element at a time: the oracle of the C kernels.
enum OptimizerTwin {
    /// Returns the new weights, then the new state.
    static func update(
        _ optimizer: OptimizerSpecification, _ step: Int, _ weights: [Float], _ sums: [Float],
        _ sampleCount: Int, _ state: [[Float]]
    ) -> [[Float]] {
        var results = [weights] + state
        for i in weights.indices {
            let gradient = sums[i] / Float(sampleCount)
            switch optimizer {
            case .sgd(let sgd):
                let (rate, momentum) = (Float(sgd.learningRate), Float(sgd.momentum))
                var direction = gradient + Float(sgd.weightDecay) * weights[i]
                if sgd.momentum != 0 {
                    let velocity = momentum * state[0][i] + direction
                    results[1][i] = velocity
                    direction = sgd.nesterov ? direction + momentum * velocity : velocity
                }
                results[0][i] = weights[i] - rate * direction
            case .adam(let adam):
                adamUpdate(
                    &results, i, gradient + Float(adam.weightDecay) * weights[i], weights[i], step,
                    AdamW(
                        learningRate: adam.learningRate, beta1: adam.beta1, beta2: adam.beta2,
                        epsilon: adam.epsilon))
            case .adamW(let adam):
                let shrunk = Float(1 - adam.learningRate * adam.weightDecay) * weights[i]
                adamUpdate(&results, i, gradient + 0 * weights[i], shrunk, step, adam)
            }
        }
        return results
    }

    private static func adamUpdate(
        _ results: inout [[Float]], _ i: Int, _ gradient: Float, _ weight: Float, _ step: Int,
        _ adam: AdamW
    ) {
        let m = Float(adam.beta1) * results[1][i] + Float(1 - adam.beta1) * gradient
        let v = Float(adam.beta2) * results[2][i] + Float(1 - adam.beta2) * (gradient * gradient)
        results[1][i] = m
        results[2][i] = v
        let stepSize = Float(adam.learningRate / (1 - power(adam.beta1, step)))
        let correction = Float((1 - power(adam.beta2, step)).squareRoot())
        results[0][i] =
            weight - stepSize * (m / (v.squareRoot() / correction + Float(adam.epsilon)))
    }

    /// Halves the exponent, so that the products are those of repeated squaring.
    private static func power(_ base: Double, _ exponent: Int) -> Double {
        var powers: [Double] = [base]
        while 1 << powers.count <= exponent { powers.append(powers.last! * powers.last!) }
        return powers.indices.filter { exponent >> $0 & 1 == 1 }.reduce(1) { $0 * powers[$1] }
    }
}
