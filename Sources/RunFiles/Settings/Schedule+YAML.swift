import NeuralNetwork
import StrictYAML

extension LearningRateSchedule {
    /// Reads a schedule: its name, or a mapping with `name` and its numbers.
    ///
    /// Times are given in epochs or in steps: `every-epochs` or `every-steps`, `at-epochs` or
    /// `at-steps`, `warmup-epochs` or `warmup-steps`.
    init(reading value: StrictValue) throws(SettingsError) {
        guard value.isMapping else {
            self.init(try Self.shape(value.oneOf(Self.names), nil, value))
            return
        }
        let settings = try value.mapping()
        let name = try settings.oneOf("name", Self.names)
        let shape = try Self.shape(name, settings, value)
        let warmup = try Self.spans("warmup", settings, isList: false)?.first ?? .steps(0)
        try settings.finish()
        self.init(shape, warmup: warmup)
    }

    private static func shape(
        _ name: String, _ settings: StrictMapping?, _ value: StrictValue
    ) throws(SettingsError) -> Shape {
        func number(
            _ key: String, _ fallback: Double, _ requirement: String, _ isAllowed: (Double) -> Bool
        ) throws(SettingsError) -> Double {
            try settings?.double(key, requirement, default: fallback, where: isAllowed) ?? fallback
        }
        func share(_ key: String, _ fallback: Double) throws(SettingsError) -> Double {
            try number(key, fallback, "from 0 to 1") { $0 >= 0 && $0 <= 1 }
        }
        func positive(_ key: String, _ fallback: Double) throws(SettingsError) -> Double {
            try number(key, fallback, "above 0") { $0 > 0 }
        }
        switch name {
        case "step":
            guard
                let every = try settings.map({ m throws(SettingsError) in
                    try spans("every", m, isList: false)
                })??.first
            else {
                throw value.error("expected every-epochs or every-steps for the schedule step")
            }
            return .step(every: every, factor: try share("factor", 0.1))
        case "multi-step":
            guard
                let times = try settings.map({ m throws(SettingsError) in
                    try spans("at", m, isList: true)
                }) ?? nil, !times.isEmpty
            else {
                throw value.error("expected at-epochs or at-steps for the schedule multi-step")
            }
            return .multiStep(at: times, factor: try share("factor", 0.1))
        case "cosine": return .cosine(minimum: try share("minimum", 0))
        case "polynomial": return .polynomial(power: try positive("power", 1))
        case "one-cycle":
            return .oneCycle(
                rising: try share("rising", 0.3), divisor: try positive("divisor", 25),
                lastDivisor: try positive("last-divisor", 1e4))
        default: return .constant
        }
    }

    /// Reads `KEY-epochs` or `KEY-steps`; nil where neither is given.
    static func spans(
        _ key: String, _ settings: StrictMapping, isList: Bool
    ) throws(SettingsError) -> [Span]? {
        let epochs = settings.value("\(key)-epochs")
        let steps = settings.value("\(key)-steps")
        if epochs != nil, let steps {
            throw steps.error("expected \(key)-epochs or \(key)-steps, found both")
        }
        guard let given = epochs ?? steps else { return nil }
        var spans: [Span] = []
        for value in isList ? try given.list() : [given] {
            if epochs != nil {
                let count = try value.double("from 0 to 1000000") { $0 >= 0 && $0 <= 1e6 }
                spans.append(.epochs(count))
            } else {
                spans.append(.steps(try value.integer(in: 0...1_000_000_000)))
            }
        }
        return spans
    }

    /// The schedule as a run file gives it, on one line.
    var yaml: String {
        var parts = ["name: \(name)"]
        func add(_ key: String, _ spans: [Span], isList: Bool) {
            let unit: String
            if case .epochs? = spans.first { unit = "epochs" } else { unit = "steps" }
            let texts = spans.map { span in
                switch span {
                case .epochs(let count): "\(count)"
                case .steps(let count): "\(count)"
                }
            }
            let text = texts.joined(separator: ", ")
            parts.append("\(key)-\(unit): " + (isList ? "[\(text)]" : text))
        }
        switch shape {
        case .constant: break
        case .step(let every, let factor):
            add("every", [every], isList: false)
            parts.append("factor: \(factor)")
        case .multiStep(let times, let factor):
            add("at", times, isList: true)
            parts.append("factor: \(factor)")
        case .cosine(let minimum): parts.append("minimum: \(minimum)")
        case .polynomial(let power): parts.append("power: \(power)")
        case .oneCycle(let rising, let divisor, let lastDivisor):
            parts.append("rising: \(rising)")
            parts.append("divisor: \(divisor)")
            parts.append("last-divisor: \(lastDivisor)")
        }
        if warmup != .steps(0) { add("warmup", [warmup], isList: false) }
        return parts.count == 1 ? name : "{\(parts.joined(separator: ", "))}"
    }
}
