/// A numeric setting of one or several optimizers: its key in a run file, its range and its
/// meaning.
public struct OptimizerNumber: Sendable {
    /// The key in a run file, for instance "learning-rate".
    public let key: String
    /// The number that a value must be below; nil where there is no such limit.
    let limit: Double?
    /// Whether 0 is refused. Negative values are always refused.
    let mustBePositive: Bool
    /// One sentence for help texts and documents.
    public let summary: String

    init(_ key: String, below limit: Double? = nil, mustBePositive: Bool = false, _ summary: String) {
        self.key = key
        self.limit = limit
        self.mustBePositive = mustBePositive
        self.summary = summary
    }

    /// The range that ``isAllowed(_:)`` checks, in words, for instance "of at least 0 and below 1".
    public var requirement: String {
        let lower = mustBePositive ? "above 0" : "of at least 0"
        return limit.map { "\(lower) and below \($0)" } ?? lower
    }

    /// Returns whether the value is finite and lies in the range.
    public func isAllowed(_ value: Double) -> Bool {
        value.isFinite && (mustBePositive ? value > 0 : value >= 0) && value < limit ?? .infinity
    }
}

extension OptimizerSpecification {
    /// The names of the optimizers in a run file.
    public static let names = ["adam", "adamw", "sgd"]

    /// The numbers of all optimizers together, in the order of a run file.
    public static let numbers = [
        OptimizerNumber("learning-rate", "Step size."),
        OptimizerNumber("momentum", "Share of the last step that the next one keeps; for sgd."),
        OptimizerNumber(
            "beta1", below: 1, "Decay of the mean of gradients; adam and adamw."),
        OptimizerNumber(
            "beta2", below: 1, "Decay of the mean of squared gradients; adam and adamw."),
        OptimizerNumber(
            "epsilon", mustBePositive: true,
            "Added to the root of the mean square, so that nothing is divided by 0; adam and adamw."),
        OptimizerNumber(
            "weight-decay", "L2 penalty on all weights; decoupled from the gradient in adamw."),
    ]

    /// Creates the optimizer of that name with its default numbers, or returns nil for an unknown
    /// name.
    public init?(named name: String) {
        switch name {
        case "sgd": self = .sgd(SGD())
        case "adam": self = .adam(Adam())
        case "adamw": self = .adamW(AdamW())
        default: return nil
        }
    }

    /// The number under a key of a run file; nil when this optimizer has no such number, and then
    /// setting it does nothing.
    public subscript(key: String) -> Double? {
        get {
            switch self {
            case .sgd(let sgd): SGD.numbers[key].map { sgd[keyPath: $0] }
            case .adam(let adam): Adam.numbers[key].map { adam[keyPath: $0] }
            case .adamW(let adam): AdamW.numbers[key].map { adam[keyPath: $0] }
            }
        }
        set {
            guard let newValue else { return }
            switch self {
            case .sgd(var sgd):
                guard let path = SGD.numbers[key] else { return }
                sgd[keyPath: path] = newValue
                self = .sgd(sgd)
            case .adam(var adam):
                guard let path = Adam.numbers[key] else { return }
                adam[keyPath: path] = newValue
                self = .adam(adam)
            case .adamW(var adam):
                guard let path = AdamW.numbers[key] else { return }
                adam[keyPath: path] = newValue
                self = .adamW(adam)
            }
        }
    }

    /// Whether SGD uses Nesterov momentum; nil for the other optimizers, and then setting it does
    /// nothing.
    public var nesterov: Bool? {
        get { if case .sgd(let sgd) = self { sgd.nesterov } else { nil } }
        set {
            guard case .sgd(var sgd) = self, let newValue else { return }
            sgd.nesterov = newValue
            self = .sgd(sgd)
        }
    }

    /// Checks that every number is in its range, and that Nesterov momentum has a momentum above 0.
    ///
    /// - Throws: ``OptimizerError`` with the key of the first number that is wrong.
    public func validate() throws(OptimizerError) {
        for number in Self.numbers {
            guard let value = self[number.key], !number.isAllowed(value) else { continue }
            throw OptimizerError(
                optimizer: name, key: number.key,
                problem: "expected a finite number \(number.requirement), found \(value)")
        }
        if nesterov == true, self["momentum"] == 0 {
            throw OptimizerError(
                optimizer: name, key: "nesterov", problem: "needs a momentum above 0, found 0")
        }
    }
}

extension SGD {
    fileprivate static let numbers: [String: WritableKeyPath<SGD, Double> & Sendable] = [
        "learning-rate": \.learningRate, "momentum": \.momentum, "weight-decay": \.weightDecay,
    ]
}

extension Adam {
    fileprivate static let numbers: [String: WritableKeyPath<Adam, Double> & Sendable] = [
        "learning-rate": \.learningRate, "beta1": \.beta1, "beta2": \.beta2, "epsilon": \.epsilon,
        "weight-decay": \.weightDecay,
    ]
}

extension AdamW {
    fileprivate static let numbers: [String: WritableKeyPath<AdamW, Double> & Sendable] = [
        "learning-rate": \.learningRate, "beta1": \.beta1, "beta2": \.beta2, "epsilon": \.epsilon,
        "weight-decay": \.weightDecay,
    ]
}
