/// Reduces the learning rate when a metric has stopped improving.
///
/// The rate is the optimizer's times a factor, which begins at 1 and changes at evaluations only.
/// Source: `torch.optim.lr_scheduler.ReduceLROnPlateau`, with its names and defaults; the mode
/// follows from the metric. One thing differs: a loss that is not finite is no improvement.
public struct RatePlateau: Hashable, Sendable {
    /// The metric that has to improve.
    public var metric: EvaluationMetric
    /// What the rate is multiplied by at a reduction, from 0 to 0.99.
    public var factor: Double
    /// The number of epochs without an improvement that are let pass; the rate is reduced at the
    /// next one.
    public var patience: Int
    /// By how much the metric must improve to count.
    public var threshold: Double
    /// Whether the threshold is a share of the best value rather than a difference from it.
    public var isRelative: Bool
    /// The number of epochs after a reduction in which no epoch counts as one without an
    /// improvement.
    public var cooldown: Int
    /// The lowest factor.
    public var minimumFactor: Double
    /// The least reduction of the factor. A smaller one is left out.
    public var leastChange: Double

    /// The highest factor of one reduction. It bounds the number of reductions of a run.
    public static let highestFactor = 0.99

    /// Creates a rule with PyTorch's defaults.
    public init(
        metric: EvaluationMetric = .testLoss, factor: Double = 0.1, patience: Int = 10,
        threshold: Double = 1e-4, isRelative: Bool = true, cooldown: Int = 0,
        minimumFactor: Double = 0, leastChange: Double = 1e-8
    ) {
        self.metric = metric
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.isRelative = isRelative
        self.cooldown = cooldown
        self.minimumFactor = minimumFactor
        self.leastChange = leastChange
    }

    /// Returns what is known of the metric after one more evaluation, and the factor of the steps
    /// that follow.
    func watch(
        _ summary: EvaluationSummary, after former: Judgement.Watch?, factor: Double
    ) -> (watch: Judgement.Watch, factor: Double) {
        var watch = metric.continued(former)
        if let value = metric.value(in: summary), isBetter(value, than: watch.best) {
            watch.best = value
            watch.bestStep = summary.step
            watch.idleCount = 0
        } else {
            watch.idleCount += 1
        }
        if watch.cooldown > 0 {
            watch.cooldown -= 1
            watch.idleCount = 0
        }
        guard watch.idleCount > patience else { return (watch, factor) }
        watch.cooldown = cooldown
        watch.idleCount = 0
        let reduced = max(factor * self.factor, minimumFactor)
        return (watch, factor - reduced > leastChange ? reduced : factor)
    }

    private func isBetter(_ value: Double, than best: Double?) -> Bool {
        guard let best else { return true }
        switch (metric, isRelative) {
        case (.testLoss, true): return value < best * (1 - threshold)
        case (.testLoss, false): return value < best - threshold
        case (.testAccuracy, true): return value > best * (threshold + 1)
        case (.testAccuracy, false): return value > best + threshold
        }
    }
}
