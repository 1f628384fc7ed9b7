import StrictYAML

extension OptimizerSpecification {
    private static let names = ["adam", "adamw", "sgd"]

    /// The optimizer of that name with its defaults, or nil when there is none.
    public init?(named name: String) {
        switch name {
        case "sgd": self = .sgd(SGD())
        case "adam": self = .adam(Adam())
        case "adamw": self = .adamW(AdamW())
        default: return nil
        }
    }

    /// Reads the `optimizer` key of a run file: `name` (adam when absent), `learning-rate`, and
    /// `momentum`, `nesterov`, `weight-decay` for sgd, or `beta1`, `beta2`, `epsilon`,
    /// `weight-decay`.
    public init(mapping: StrictMapping) throws(SettingsError) {
        let name = try mapping.oneOf("name", Self.names, default: "adam")
        guard let defaults = OptimizerSpecification(named: name) else {
            throw mapping.error("unknown optimizer \(name)", key: "name")
        }
        var values: [String: Double] = [:]
        for field in defaults.fields {
            values[field.key] = try mapping.double(
                field.key, field.requirement, default: field.value,
                where: field.isAllowed)
        }
        let isSGD = name == "sgd"
        let nesterov = isSGD ? try mapping.boolean("nesterov", default: false) : false
        try mapping.finish()
        self = OptimizerSpecification(like: defaults, values, nesterov: nesterov)
        do throws(OptimizerError) {
            try validate()
        } catch {
            throw mapping.error(error.problem, key: error.key)
        }
    }

    /// Its name and all of its numbers, under the run file's keys.
    public var settings: [(key: String, text: String)] {
        var list = [(key: "name", text: name)]
        for field in fields { list.append((field.key, "\(field.value)")) }
        if case .sgd(let sgd) = self { list.append(("nesterov", "\(sgd.nesterov)")) }
        return list
    }

    /// As a run file writes it, on one line: `{name: adam, learning-rate: 0.001, ...}`.
    public var yaml: String {
        "{\(settings.map { "\($0.key): \($0.text)" }.joined(separator: ", "))}"
    }

    /// `defaults` with the numbers under the run file's keys.
    init(like defaults: Self, _ values: [String: Double], nesterov: Bool) {
        switch defaults {
        case .sgd:
            self = .sgd(
                SGD(
                    learningRate: values["learning-rate"]!, momentum: values["momentum"]!,
                    nesterov: nesterov, weightDecay: values["weight-decay"]!))
        case .adam:
            self = .adam(
                Adam(
                    learningRate: values["learning-rate"]!, beta1: values["beta1"]!,
                    beta2: values["beta2"]!, epsilon: values["epsilon"]!,
                    weightDecay: values["weight-decay"]!))
        case .adamW:
            self = .adamW(
                AdamW(
                    learningRate: values["learning-rate"]!, beta1: values["beta1"]!,
                    beta2: values["beta2"]!, epsilon: values["epsilon"]!,
                    weightDecay: values["weight-decay"]!))
        }
    }
}

extension OptimizerSpecification: Codable {
    /// Coding keys are the run file's keys.
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(_ key: String) { stringValue = key }
        init?(stringValue: String) { self.init(stringValue) }
        init?(intValue: Int) { nil }
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let name = try container.decode(String.self, forKey: Key("name"))
        guard let defaults = OptimizerSpecification(named: name) else {
            throw DecodingError.dataCorruptedError(
                forKey: Key("name"), in: container,
                debugDescription: "expected one of \(Self.names), found \(name)")
        }
        var values: [String: Double] = [:]
        for field in defaults.fields {
            values[field.key] = try container.decode(Double.self, forKey: Key(field.key))
        }
        let nesterov = try container.decodeIfPresent(Bool.self, forKey: Key("nesterov")) ?? false
        self.init(like: defaults, values, nesterov: nesterov)
        do {
            try validate()
        } catch {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "\(error)"))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(name, forKey: Key("name"))
        for field in fields { try container.encode(field.value, forKey: Key(field.key)) }
        if case .sgd(let sgd) = self { try container.encode(sgd.nesterov, forKey: Key("nesterov")) }
    }
}
