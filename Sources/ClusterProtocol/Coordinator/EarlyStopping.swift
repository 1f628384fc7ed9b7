/// A figure of the test records that decisions look at.
public enum EvaluationMetric: String, Hashable, Codable, Sendable, CaseIterable {
    /// The share of the test records that are classified correctly. More is better.
    case testAccuracy = "test-accuracy"
    /// The mean loss over the test records. Less is better.
    case testLoss = "test-loss"

    /// The metric's name in sentences.
    var words: String {
        switch self {
        case .testAccuracy: "test accuracy"
        case .testLoss: "test loss"
        }
    }

    /// Returns a state of this metric to go on from: a new one, unless `former` is of this metric.
    func continued(_ former: Judgement.Watch?) -> Judgement.Watch {
        former.flatMap { $0.metric == self ? $0 : nil } ?? Judgement.Watch(self)
    }

    /// Returns the metric's value in an evaluation; nil when the loss is not finite, because such
    /// weights are never good.
    func value(in summary: EvaluationSummary) -> Double? {
        guard summary.isFinite, summary.recordCount > 0 else { return nil }
        let count = Double(summary.recordCount)
        switch self {
        case .testAccuracy: return Double(summary.correctCount) / count
        case .testLoss: return summary.lossSum / count
        }
    }
}

/// Ends a run when a metric has not improved for some epochs.
///
/// Source: `keras.callbacks.EarlyStopping`, with `min_delta`, `patience` and the best value so far.
/// One thing differs: a loss that is not finite is no improvement, even in the first epoch.
public struct EarlyStopping: Hashable, Sendable {
    /// The metric that has to improve.
    public var metric: EvaluationMetric
    /// The number of epochs without an improvement after which the run ends, at least 1.
    public var patience: Int
    /// What the metric must exceed the best value by to count as improved, at least 0.
    public var minimumDelta: Double

    /// Creates a rule.
    public init(metric: EvaluationMetric = .testLoss, patience: Int, minimumDelta: Double = 0) {
        self.metric = metric
        self.patience = patience
        self.minimumDelta = minimumDelta
    }

    /// Returns what is known of the metric after one more evaluation.
    func watch(_ summary: EvaluationSummary, after former: Judgement.Watch?) -> Judgement.Watch {
        var watch = metric.continued(former)
        watch.idleCount += 1
        guard let value = metric.value(in: summary), isImproved(value, over: watch.best) else {
            return watch
        }
        watch.best = value
        watch.bestStep = summary.step
        watch.idleCount = 0
        return watch
    }

    private func isImproved(_ value: Double, over best: Double?) -> Bool {
        guard let best else { return true }
        switch metric {
        case .testAccuracy: return value - minimumDelta > best
        case .testLoss: return value + minimumDelta < best
        }
    }

    /// Returns why a run ended early, for people.
    func reason(_ watch: Judgement.Watch, stepsPerEpoch: Int) -> String {
        let delta = minimumDelta > 0 ? " by more than \(minimumDelta)" : ""
        let epochs = watch.idleCount == 1 ? "1 epoch" : "\(watch.idleCount) epochs"
        guard let best = watch.best else {
            return "early stopping: \(metric.words) was not finite in \(epochs)"
        }
        let epoch = watch.bestStep.value / max(1, stepsPerEpoch)
        return "early stopping: \(metric.words) \(Self.text(best)) at epoch \(epoch) was not "
            + "improved on\(delta) in \(epochs)"
    }

    /// Returns a metric's value with four decimal places.
    static func text(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e12 else { return "\(value)" }
        let scaled = Int((abs(value) * 10_000).rounded())
        let fraction = "\(scaled % 10_000)"
        return (value < 0 ? "-" : "") + "\(scaled / 10_000)."
            + String(repeating: "0", count: 4 - fraction.count) + fraction
    }
}
