/// The optimizer of a run, with its numbers.
///
/// Its state is a list of flat vectors of the parameters' length, named by ``stateNames``, zero at
/// first.
public enum OptimizerSpecification: Sendable, Hashable {
    case sgd(SGD)
    case adam(Adam)
    case adamW(AdamW)

    /// What a run file calls it: "sgd", "adam", "adamw".
    public var name: String {
        switch self {
        case .sgd: "sgd"
        case .adam: "adam"
        case .adamW: "adamw"
        }
    }

    /// The state's vectors, by PyTorch's names: [], ["momentum_buffer"] or ["exp_avg",
    /// "exp_avg_sq"].
    public var stateNames: [String] {
        switch self {
        case .sgd(let sgd): sgd.momentum == 0 ? [] : ["momentum_buffer"]
        case .adam, .adamW: ["exp_avg", "exp_avg_sq"]
        }
    }
}

/// An optimizer's number that makes no sense.
public struct OptimizerError: Error, Hashable, Sendable, CustomStringConvertible {
    public let optimizer: String
    /// The run file's key, for instance "learning-rate".
    public let key: String
    public let problem: String

    public var description: String { "optimizer \(optimizer): \(key): \(problem)" }
}
