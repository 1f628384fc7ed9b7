import ClusterProtocol
import StrictYAML

extension EarlyStopping {
    private static let patienceRange = 1...1_000_000

    /// Reads a rule: `off`, a number of epochs, or a mapping. Returns nil for `off`.
    init?(reading value: StrictValue) throws(SettingsError) {
        guard value.isMapping else {
            if (try? value.string()) == "off" { return nil }
            guard let patience = try? value.integer(in: Self.patienceRange) else {
                throw value.expected(
                    "off, a number of epochs from 1 to \(Self.patienceRange.upperBound), or "
                        + "{metric: test-accuracy, patience: 5}")
            }
            self.init(patience: patience)
            return
        }
        let settings = try value.mapping()
        self.init(
            metric: try settings.oneOf("metric", default: EvaluationMetric.testLoss),
            patience: try settings.integer("patience", in: Self.patienceRange),
            minimumDelta: try settings.double("min-delta", "of at least 0", default: 0) { $0 >= 0 })
        try settings.finish()
    }

    /// The rule as a run file gives it, on one line.
    var yaml: String {
        let delta = minimumDelta > 0 ? ", min-delta: \(minimumDelta)" : ""
        return "{metric: \(metric.rawValue), patience: \(patience)\(delta)}"
    }
}
