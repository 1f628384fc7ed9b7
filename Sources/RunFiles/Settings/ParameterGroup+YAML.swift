import NeuralNetwork
import StrictYAML

extension ParameterGroup {
    /// Reads a group: `{match: "layer4.*", rate: 0.1, decay: 0}`.
    init(reading value: StrictValue) throws(SettingsError) {
        let settings = try value.mapping()
        self.init(match: NamePattern(try settings.string("match")))
        func factor(_ key: String) throws(SettingsError) -> Double? {
            guard settings.value(key) != nil else { return nil }
            return try settings.double(key, "from 0 to 1000000") { $0 >= 0 && $0 <= 1e6 }
        }
        rate = try factor("rate")
        decay = try factor("decay")
        guard rate != nil || decay != nil else {
            throw value.error("expected rate or decay beside match, found neither")
        }
        try settings.finish()
    }

    /// The group as a run file gives it, on one line.
    var yaml: String {
        let numbers = [("rate", rate), ("decay", decay)].compactMap { key, value in
            value.map { "\(key): \($0)" }
        }
        let parts = ["match: \(YAMLText.quoted(match.text))"] + numbers
        return "{\(parts.joined(separator: ", "))}"
    }
}

extension StrictValue {
    /// Returns the patterns of a list, or those of a flag, which are separated by commas.
    func patterns() throws(SettingsError) -> [String] {
        if isEmpty { return [] }
        if isList { return try list().map { value throws(SettingsError) in try value.string() } }
        return try string().split(separator: ",").map(String.init)
    }
}
