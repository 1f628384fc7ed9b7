import ClusterProtocol
import NeuralNetwork
import StrictYAML

extension RunConfiguration {
    /// The name of the schedule that the coordinator decides from evaluations.
    static let plateauName = "plateau"

    /// The names of all schedules in a run file.
    static var scheduleNames: [String] { LearningRateSchedule.names + [plateauName] }
}

extension RunConfiguration.Training {
    /// Reads a schedule: a function of the step alone, or `plateau`.
    mutating func readSchedule(_ value: StrictValue) throws(SettingsError) {
        let settings = value.isMapping ? try value.mapping() : StrictMapping(empty: value)
        let names = RunConfiguration.scheduleNames
        let name =
            value.isMapping ? try settings.oneOf("name", names) : try value.oneOf(names)
        guard name == RunConfiguration.plateauName else {
            schedule = try LearningRateSchedule(reading: value)
            plateau = nil
            return
        }
        plateau = try RatePlateau(reading: settings)
        let warmup = try LearningRateSchedule.spans("warmup", settings, isList: false)?.first
        schedule = LearningRateSchedule(warmup: warmup ?? .steps(0))
        try settings.finish()
    }

    /// The schedule as a run file gives it, on one line.
    var scheduleText: String {
        guard let plateau else { return schedule.yaml }
        var parts = ["name: \(RunConfiguration.plateauName)"] + plateau.yamlParts
        let warmup = schedule.yaml
        if warmup.hasPrefix("{") {
            // The text of a constant schedule with a warm-up: {name: constant, warmup-…}.
            parts += warmup.dropFirst().dropLast().split(separator: ", ").dropFirst()
                .map(String.init)
        }
        return "{\(parts.joined(separator: ", "))}"
    }
}

extension RatePlateau {
    private static let modes = ["rel", "abs"]

    /// Reads the rule's numbers, with PyTorch's names and defaults.
    init(reading settings: StrictMapping) throws(SettingsError) {
        let usual = RatePlateau()
        let share = "from 0 to \(Self.highestFactor)"
        func number(
            _ key: String, _ fallback: Double, _ requirement: String, _ limit: Double
        ) throws(SettingsError) -> Double {
            try settings.double(key, requirement, default: fallback) { $0 >= 0 && $0 <= limit }
        }
        self.init(
            metric: try settings.oneOf("metric", default: usual.metric),
            factor: try number("factor", usual.factor, share, Self.highestFactor),
            patience: try settings.integer("patience", in: 0...1_000_000, default: usual.patience),
            threshold: try number("threshold", usual.threshold, "from 0 to 1000000", 1e6),
            isRelative: try settings.oneOf("threshold-mode", Self.modes, default: "rel") == "rel",
            cooldown: try settings.integer("cooldown", in: 0...1_000_000, default: usual.cooldown),
            minimumFactor: try number("min-factor", usual.minimumFactor, "from 0 to 1", 1))
    }

    /// The keys and values as a run file gives them.
    fileprivate var yamlParts: [String] {
        [
            "metric: \(metric.rawValue)", "factor: \(factor)", "patience: \(patience)",
            "threshold: \(threshold)", "threshold-mode: \(isRelative ? "rel" : "abs")",
            "cooldown: \(cooldown)", "min-factor: \(minimumFactor)",
        ]
    }
}
