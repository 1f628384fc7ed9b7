/// The second labels of records that are mixed with others, in borrowed memory.
public struct MixedLabels {
    /// The second classes, [count], each in 0..<classes.
    public let labels: UnsafePointer<Int32>
    /// The weights of the records' own labels, [count], from 0 to 1; the second label has the rest
    /// of 1.
    public let weights: UnsafePointer<Float>

    /// Creates a view of the second labels of a microbatch's records.
    public init(labels: UnsafePointer<Int32>, weights: UnsafePointer<Float>) {
        self.labels = labels
        self.weights = weights
    }
}

/// The records of a microbatch in borrowed memory, which is valid for the call that the view is
/// passed to.
public struct MicrobatchView {
    /// The images, row-major [count, C, H, W].
    public let images: UnsafePointer<Float>
    /// The classes, [count], each in 0..<classes. Data with targets has none, and its labels mean
    /// nothing.
    public let labels: UnsafePointer<Int32>
    /// The second labels of records that are mixed with others; nil where each record has one label.
    public let mixture: MixedLabels?
    /// The targets, row-major [count, outputs]; nil for data with labels.
    public let targets: UnsafePointer<Float>?
    /// The records' global numbers, [count]. They key dropout.
    public let records: UnsafePointer<UInt64>
    /// The number of records.
    public let count: Int

    /// Creates a view of `count` records.
    public init(
        images: UnsafePointer<Float>, labels: UnsafePointer<Int32>, mixture: MixedLabels? = nil,
        targets: UnsafePointer<Float>? = nil, records: UnsafePointer<UInt64>, count: Int
    ) {
        self.images = images
        self.labels = labels
        self.mixture = mixture
        self.targets = targets
        self.records = records
        self.count = count
    }

    /// The targets. Data without targets is a programming error.
    var requiredTargets: UnsafePointer<Float> {
        guard let targets else { preconditionFailure("a loss of targets on data without targets") }
        return targets
    }
}

/// Sums over the records of a batch. The sums of the parts of a batch add up to those of the batch.
public struct BatchStatistics: Sendable, Hashable {
    /// The number of records.
    public var sampleCount: Int
    /// The sum of the records' weighted losses, added in record order in double precision.
    public var lossSum: Double
    /// The number of records that are right; 0 where the loss knows no right and wrong.
    public var correctCount: Int
    /// The sum of the records' weights, added in record order. It is the number of records where
    /// each record weighs 1.
    public var weightSum: Double

    /// Creates sums; by default those over no records, and records that weigh 1.
    public init(
        sampleCount: Int = 0, lossSum: Double = 0, correctCount: Int = 0, weightSum: Double? = nil
    ) {
        self.sampleCount = sampleCount
        self.lossSum = lossSum
        self.correctCount = correctCount
        self.weightSum = weightSum ?? Double(sampleCount)
    }

    /// The weighted mean of the losses; without any weight, the sum.
    public var meanLoss: Double { lossSum / Self.divisor(weightSum) }

    /// Returns what sums over records of this weight are divided by: without any weight, 1.
    static func divisor(_ weightSum: Double) -> Double { weightSum > 0 ? weightSum : 1 }

    /// Returns the sums over the records of both.
    public static func + (left: BatchStatistics, right: BatchStatistics) -> BatchStatistics {
        BatchStatistics(
            sampleCount: left.sampleCount + right.sampleCount,
            lossSum: left.lossSum + right.lossSum,
            correctCount: left.correctCount + right.correctCount,
            weightSum: left.weightSum + right.weightSum)
    }

    /// Adds a record.
    mutating func add(loss: Double, weight: Double = 1, isCorrect: Bool) {
        sampleCount += 1
        lossSum += loss
        weightSum += weight
        if isCorrect { correctCount += 1 }
    }
}
