/// The Adam optimizer, with bias correction.
///
/// Math: g = gradient + weightDecay · w; m = β1 m + (1-β1) g; v = β2 v + (1-β2) g²;
/// w -= learningRate / (1-β1ᵗ) · m / (√v / √(1-β2ᵗ) + ε).
/// Source: Kingma and Ba, ICLR 2015, Algorithm 1, with ε beside the corrected √v, as in PyTorch's
/// torch.optim.Adam. The default ε is 1e-7, as in Keras; PyTorch's is 1e-8.
public struct Adam: Sendable, Hashable {
    /// The step size, at least 0.
    public var learningRate: Double
    /// The decay of the running mean of gradients, in 0..<1.
    public var beta1: Double
    /// The decay of the running mean of squared gradients, in 0..<1.
    public var beta2: Double
    /// The number added to the root of the mean square so that nothing is divided by 0; above 0.
    public var epsilon: Double
    /// The L2 penalty, at least 0: weightDecay times the weight is added to the gradient.
    public var weightDecay: Double

    /// Creates the optimizer. ``OptimizerSpecification/validate()`` checks the numbers.
    public init(
        learningRate: Double = 0.001, beta1: Double = 0.9, beta2: Double = 0.999,
        epsilon: Double = 1e-7, weightDecay: Double = 0
    ) {
        self.learningRate = learningRate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
    }
}

/// Adam with decoupled weight decay: the weight is first multiplied by
/// 1 - learningRate · weightDecay, and the gradient stays as it is.
///
/// Source: Loshchilov and Hutter, ICLR 2019, Algorithm 2, in the form of PyTorch's
/// torch.optim.AdamW. The default decay is 0.01, as in PyTorch.
public struct AdamW: Sendable, Hashable {
    /// The step size, at least 0.
    public var learningRate: Double
    /// The decay of the running mean of gradients, in 0..<1.
    public var beta1: Double
    /// The decay of the running mean of squared gradients, in 0..<1.
    public var beta2: Double
    /// The number added to the root of the mean square so that nothing is divided by 0; above 0.
    public var epsilon: Double
    /// The decay, at least 0: each update multiplies the weights by 1 - learningRate · weightDecay.
    public var weightDecay: Double

    /// Creates the optimizer. ``OptimizerSpecification/validate()`` checks the numbers.
    public init(
        learningRate: Double = 0.001, beta1: Double = 0.9, beta2: Double = 0.999,
        epsilon: Double = 1e-7, weightDecay: Double = 0.01
    ) {
        self.learningRate = learningRate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
    }
}
