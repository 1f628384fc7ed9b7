/// Adam, with bias correction.
///
/// Math: g = gradient + weightDecay · w; m = β1 m + (1-β1) g; v = β2 v + (1-β2) g²;
/// w -= learningRate / (1-β1ᵗ) · m / (√v / √(1-β2ᵗ) + ε).
/// Source: Kingma and Ba, ICLR 2015, Algorithm 1, with ε beside the corrected √v, as in PyTorch's
/// torch.optim.Adam (whose ε is 1e-8; Keras' 1e-7 is the default here).
public struct Adam: Sendable, Hashable {
    public var learningRate: Double
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double
    /// L2 regularisation: added to the gradient, times the weight.
    public var weightDecay: Double

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

/// Adam with decoupled weight decay: w is first multiplied by 1 - learningRate · weightDecay, and
/// the gradient is left alone.
///
/// Source: Loshchilov and Hutter, ICLR 2019, Algorithm 2, in PyTorch's form (torch.optim.AdamW,
/// whose default decay, 0.01, is the default here).
public struct AdamW: Sendable, Hashable {
    public var learningRate: Double
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double
    public var weightDecay: Double

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
