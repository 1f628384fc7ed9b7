/// The optimizer of a run, with its numbers.
///
/// The state of an optimizer is a list of flat vectors, each as long as the parameter vector, with
/// the names in ``stateNames``. All are zero at the start of a run.
public enum OptimizerSpecification: Sendable, Hashable {
    /// Stochastic gradient descent, with or without momentum.
    case sgd(SGD)
    /// Adam, with weight decay as an L2 penalty.
    case adam(Adam)
    /// Adam with decoupled weight decay.
    case adamW(AdamW)

    /// The name in a run file: "sgd", "adam" or "adamw".
    public var name: String {
        switch self {
        case .sgd: "sgd"
        case .adam: "adam"
        case .adamW: "adamw"
        }
    }

    /// The names of the state vectors, as in PyTorch: [] for SGD without momentum,
    /// ["momentum_buffer"] for SGD with momentum, and ["exp_avg", "exp_avg_sq"] for Adam and AdamW.
    public var stateNames: [String] {
        switch self {
        case .sgd(let sgd): sgd.momentum == 0 ? [] : ["momentum_buffer"]
        case .adam, .adamW: ["exp_avg", "exp_avg_sq"]
        }
    }
}

/// A setting of an optimizer that is out of its range.
public struct OptimizerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The optimizer's name in a run file.
    public let optimizer: String
    /// The key in a run file, for instance "learning-rate".
    public let key: String
    /// The values that were expected, and the value that was found.
    public let problem: String

    /// The message for the user: "optimizer NAME: KEY: PROBLEM".
    public var description: String { "optimizer \(optimizer): \(key): \(problem)" }
}
