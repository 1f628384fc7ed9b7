/// Stochastic gradient descent with momentum.
///
/// Math, as in PyTorch's torch.optim.SGD with dampening 0: g = gradient + weightDecay · w;
/// v = momentum · v + g (v starts at 0); w -= learningRate · (nesterov ? g + momentum · v : v).
public struct SGD: Sendable, Hashable {
    /// 0.01, as in Keras.
    public var learningRate: Double
    public var momentum: Double
    public var nesterov: Bool
    /// L2 regularisation: added to the gradient, times the weight.
    public var weightDecay: Double

    public init(
        learningRate: Double = 0.01, momentum: Double = 0, nesterov: Bool = false,
        weightDecay: Double = 0
    ) {
        self.learningRate = learningRate
        self.momentum = momentum
        self.nesterov = nesterov
        self.weightDecay = weightDecay
    }
}
