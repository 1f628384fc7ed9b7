/// Stochastic gradient descent, with or without momentum.
///
/// Math, as in PyTorch's torch.optim.SGD with dampening 0: g = gradient + weightDecay · w;
/// v = momentum · v + g (v starts at 0); w -= learningRate · (nesterov ? g + momentum · v : v).
public struct SGD: Sendable, Hashable {
    /// The step size, at least 0. The default is 0.01, as in Keras.
    public var learningRate: Double
    /// The share of the last step that the next one keeps, at least 0. With 0 the optimizer has no
    /// state.
    public var momentum: Double
    /// Whether the step uses Nesterov momentum, which needs a momentum above 0.
    public var nesterov: Bool
    /// The L2 penalty, at least 0: weightDecay times the weight is added to the gradient.
    public var weightDecay: Double

    /// Creates the optimizer. ``OptimizerSpecification/validate()`` checks the numbers.
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
