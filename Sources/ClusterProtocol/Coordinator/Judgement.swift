/// What the coordinator decides from an evaluation: whether the run ends there, and what the
/// learning rate is multiplied by from there on.
///
/// A judgement is a function of the evaluation and of the judgement before it. It is written in the
/// journal's line of the evaluation, so that no coordinator knows one without the other.
public struct Judgement: Hashable, Codable, Sendable {
    /// How a metric has done so far.
    public struct Watch: Hashable, Codable, Sendable {
        /// The metric that is watched.
        public var metric: EvaluationMetric
        /// The best value; nil before the first one.
        public var best: Double?
        /// The step whose weights have the best value.
        public var bestStep = Step(0)
        /// The number of evaluations since then that count.
        public var idleCount = 0
        /// The number of evaluations that do not count from here on.
        public var cooldown = 0

        /// Creates the state before the first evaluation.
        public init(_ metric: EvaluationMetric) { self.metric = metric }

        /// Returns the state after a change of settings: the best value stays, and patience begins
        /// anew.
        var anew: Watch {
            var watch = self
            (watch.idleCount, watch.cooldown) = (0, 0)
            return watch
        }

        /// Whether the numbers can be those of a run; sums of others could overflow.
        var isPlausible: Bool {
            (0..<1 << 48).contains(idleCount) && (0..<1 << 48).contains(cooldown)
        }
    }

    /// The state of early stopping; nil without.
    public var stopping: Watch?
    /// The state of the plateau; nil for another schedule.
    public var plateau: Watch?
    /// What the learning rate of the steps from the evaluated one on is multiplied by.
    public var rateFactor = 1.0
    /// Whether the run ends at the evaluated step.
    public var endsRun = false

    /// Creates the judgement before the first evaluation.
    public init() {}

    /// Whether the numbers can be those of a run. A journal is a file that anything may have
    /// written.
    public var isPlausible: Bool {
        (0...1).contains(rateFactor) && stopping?.isPlausible ?? true
            && plateau?.isPlausible ?? true
    }
}

/// The rules by which evaluations are judged.
public struct EvaluationRules: Hashable, Sendable {
    /// When the run ends early; nil for never.
    public var stopping: EarlyStopping?
    /// When the learning rate is reduced; nil for never.
    public var plateau: RatePlateau?

    /// Creates the rules.
    public init(stopping: EarlyStopping? = nil, plateau: RatePlateau? = nil) {
        self.stopping = stopping
        self.plateau = plateau
    }

    /// Returns the judgement of an evaluation at the end of an epoch; nil without rules.
    ///
    /// - Parameters:
    ///   - summary: The evaluation.
    ///   - former: The judgement before it; nil for the first one.
    public func judge(_ summary: EvaluationSummary, after former: Judgement?) -> Judgement? {
        guard stopping != nil || plateau != nil else { return nil }
        var judgement = Judgement()
        if let stopping {
            let watch = stopping.watch(summary, after: former?.stopping)
            judgement.stopping = watch
            judgement.endsRun = watch.idleCount >= stopping.patience
        }
        if let plateau {
            (judgement.plateau, judgement.rateFactor) = plateau.watch(
                summary, after: former?.plateau,
                factor: former?.rateFactor ?? 1)
        }
        return judgement
    }
}
