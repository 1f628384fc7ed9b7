/// Samples to compute on: borrowed memory, valid for the call it is given to.
public struct MicrobatchView {
    /// [count, C, H, W], row-major.
    public let images: UnsafePointer<Float>
    /// [count], each in 0..<classes.
    public let labels: UnsafePointer<Int32>
    /// [count], the records' global numbers; dropout is keyed by them.
    public let records: UnsafePointer<UInt64>
    public let count: Int

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

/// What a pass over samples found; sums, so that parts of a batch add up.
public struct BatchStatistics: Sendable, Hashable {
    public var sampleCount: Int
    /// The samples' losses, added in record order, in double.
    public var lossSum: Double
    /// Samples whose first largest logit is their label's.
    public var correctCount: Int

    public init(sampleCount: Int = 0, lossSum: Double = 0, correctCount: Int = 0) {
        self.sampleCount = sampleCount
        self.lossSum = lossSum
        self.correctCount = correctCount
    }
}
