/// The result of an evaluation of the test records.
public struct EvaluationSummary: Hashable, Sendable {
    /// The version of the weights that was evaluated.
    public var step: Step
    /// The number of test records.
    public var recordCount: Int
    /// The number of test records that were right; 0 where the loss knows no right and wrong.
    public var correctCount: Int
    /// The sum of the losses over the test records, added in chunk order.
    public var lossSum: Double
    /// The time spent in training steps so far, in seconds.
    public var trainingSeconds: Double
    /// What follows from the evaluation; nil when nothing does.
    public var judgement: Judgement?

    /// Whether the loss is a finite number; weights whose loss is not finite are never the best.
    public var isFinite: Bool { lossSum.isFinite }

    /// Whether early stopping has found no better weights so far; nil without early stopping.
    public var isBestSoFar: Bool? { judgement?.stopping.map { $0.bestStep == step } }

    /// Creates a summary.
    public init(
        step: Step, recordCount: Int, correctCount: Int, lossSum: Double, trainingSeconds: Double
    ) {
        self.step = step
        self.recordCount = recordCount
        self.correctCount = correctCount
        self.lossSum = lossSum
        self.trainingSeconds = trainingSeconds
    }
}

/// JSON has no number that is not finite, so null stands for such a loss.
extension EvaluationSummary: Codable {
    private enum CodingKeys: CodingKey {
        case step, recordCount, correctCount, lossSum, trainingSeconds, judgement
    }

    /// Decodes a summary; a loss of null becomes a NaN.
    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            step: try fields.decode(Step.self, forKey: .step),
            recordCount: try fields.decode(Int.self, forKey: .recordCount),
            correctCount: try fields.decode(Int.self, forKey: .correctCount),
            lossSum: try fields.decodeIfPresent(Double.self, forKey: .lossSum) ?? .nan,
            trainingSeconds: try fields.decode(Double.self, forKey: .trainingSeconds))
        judgement = try fields.decodeIfPresent(Judgement.self, forKey: .judgement)
    }

    /// Encodes the summary, with a loss of null when the loss is not finite.
    public func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(step, forKey: .step)
        try fields.encode(recordCount, forKey: .recordCount)
        try fields.encode(correctCount, forKey: .correctCount)
        try fields.encode(isFinite ? lossSum : nil, forKey: .lossSum)
        try fields.encode(trainingSeconds, forKey: .trainingSeconds)
        try fields.encodeIfPresent(judgement, forKey: .judgement)
    }
}
