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

    public var learningRate: Double {
        get {
            switch self {
            case .sgd(let sgd): sgd.learningRate
            case .adam(let adam): adam.learningRate
            case .adamW(let adam): adam.learningRate
            }
        }
        set {
            switch self {
            case .sgd(var sgd):
                sgd.learningRate = newValue
                self = .sgd(sgd)
            case .adam(var adam):
                adam.learningRate = newValue
                self = .adam(adam)
            case .adamW(var adam):
                adam.learningRate = newValue
                self = .adamW(adam)
            }
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

extension OptimizerSpecification {
    /// Refuses numbers that make no sense, naming the key.
    public func validate() throws(OptimizerError) {
        for field in fields {
            if let problem = field.problem {
                throw OptimizerError(optimizer: name, key: field.key, problem: problem)
            }
        }
        if case .sgd(let sgd) = self, sgd.nesterov, sgd.momentum == 0 {
            throw OptimizerError(
                optimizer: name, key: "nesterov", problem: "needs a momentum above 0, found 0")
        }
    }

    /// One number, under the run file's key, with what is asked of it.
    struct Field {
        let key: String
        let value: Double
        var limit: Double?
        var mustBePositive = false

        var requirement: String {
            let lower = mustBePositive ? "above 0" : "of at least 0"
            return limit.map { "\(lower) and below \($0)" } ?? lower
        }

        func isAllowed(_ value: Double) -> Bool {
            value.isFinite && (mustBePositive ? value > 0 : value >= 0)
                && value < limit ?? .infinity
        }

        var problem: String? {
            isAllowed(value) ? nil : "expected a finite number \(requirement), found \(value)"
        }
    }

    var fields: [Field] {
        switch self {
        case .sgd(let sgd):
            [
                Field(key: "learning-rate", value: sgd.learningRate),
                Field(key: "momentum", value: sgd.momentum),
                Field(key: "weight-decay", value: sgd.weightDecay),
            ]
        case .adam(let adam):
            Self.adamFields(
                adam.learningRate, adam.beta1, adam.beta2, adam.epsilon, adam.weightDecay)
        case .adamW(let adam):
            Self.adamFields(
                adam.learningRate, adam.beta1, adam.beta2, adam.epsilon, adam.weightDecay)
        }
    }

    private static func adamFields(
        _ learningRate: Double, _ beta1: Double, _ beta2: Double, _ epsilon: Double,
        _ weightDecay: Double
    ) -> [Field] {
        [
            Field(key: "learning-rate", value: learningRate),
            Field(key: "beta1", value: beta1, limit: 1),
            Field(key: "beta2", value: beta2, limit: 1),
            Field(key: "epsilon", value: epsilon, mustBePositive: true),
            Field(key: "weight-decay", value: weightDecay),
        ]
    }
}
