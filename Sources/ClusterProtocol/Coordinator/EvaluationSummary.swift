/// What an evaluation of the test records has found.
public struct EvaluationSummary: Hashable, Sendable {
    public var step: Step
    public var recordCount: Int
    public var correctCount: Int
    /// Sum of the losses over the test records, added in chunk order.
    public var lossSum: Double
    /// Seconds spent in training steps so far.
    public var trainingSeconds: Double

    /// Whether the loss is a finite number; weights without one are never the best.
    public var isFinite: Bool { lossSum.isFinite }

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

/// JSON has no word for what is not a finite number: null stands for it.
extension EvaluationSummary: Codable {
    private enum CodingKeys: CodingKey {
        case step, recordCount, correctCount, lossSum, trainingSeconds
    }

    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            step: try fields.decode(Step.self, forKey: .step),
            recordCount: try fields.decode(Int.self, forKey: .recordCount),
            correctCount: try fields.decode(Int.self, forKey: .correctCount),
            lossSum: try fields.decodeIfPresent(Double.self, forKey: .lossSum) ?? .nan,
            trainingSeconds: try fields.decode(Double.self, forKey: .trainingSeconds))
    }

    public func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(step, forKey: .step)
        try fields.encode(recordCount, forKey: .recordCount)
        try fields.encode(correctCount, forKey: .correctCount)
        try fields.encode(isFinite ? lossSum : nil, forKey: .lossSum)
        try fields.encode(trainingSeconds, forKey: .trainingSeconds)
    }
}
