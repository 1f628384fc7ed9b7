/// The records of a microbatch in borrowed memory, which is valid for the call that the view is
/// passed to.
public struct MicrobatchView {
    /// The images, row-major [count, C, H, W].
    public let images: UnsafePointer<Float>
    /// The classes, [count], each in 0..<classes.
    public let labels: UnsafePointer<Int32>
    /// The records' global numbers, [count]. They key dropout.
    public let records: UnsafePointer<UInt64>
    /// The number of records.
    public let count: Int

    /// Creates a view of `count` records.
    public init(
        images: UnsafePointer<Float>, labels: UnsafePointer<Int32>,
        records: UnsafePointer<UInt64>, count: Int
    ) {
        self.images = images
        self.labels = labels
        self.records = records
        self.count = count
    }
}

/// Sums over the records of a batch. The sums of the parts of a batch add up to those of the batch.
public struct BatchStatistics: Sendable, Hashable {
    /// The number of records.
    public var sampleCount: Int
    /// The sum of the records' losses, added in record order in double precision.
    public var lossSum: Double
    /// The number of records for which the first largest logit is that of the label.
    public var correctCount: Int

    /// Creates sums; by default those over no records.
    public init(sampleCount: Int = 0, lossSum: Double = 0, correctCount: Int = 0) {
        self.sampleCount = sampleCount
        self.lossSum = lossSum
        self.correctCount = correctCount
    }
}
