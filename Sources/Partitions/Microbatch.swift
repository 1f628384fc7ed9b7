import CounterRandom

/// One microbatch in memory that is used again and again.
///
/// Safety: the pointers live from `init` to `deinit`. One thread at a time owns a microbatch:
/// whoever took it from the loader, until it is recycled.
public final class Microbatch: @unchecked Sendable {
    /// [C, H, W].
    public let shape: [Int]
    /// Records that fit.
    public let capacity: Int
    /// [count, C, H, W].
    public let images: UnsafeMutablePointer<Float>
    /// [count].
    public let labels: UnsafeMutablePointer<Int32>
    /// [count], numbers within the split.
    public let records: UnsafeMutablePointer<UInt64>
    public private(set) var count = 0
    /// The ledger's evidence of what was read: `digest(of:)` over `records`.
    public private(set) var recordDigest: UInt64 = 0
    /// Place among the loader's buffers; -1 outside them.
    let ringIndex: Int

    public convenience init(capacity: Int, shape: [Int]) {
        self.init(capacity: capacity, shape: shape, ringIndex: -1)
    }

    init(capacity: Int, shape: [Int], ringIndex: Int) {
        self.capacity = capacity
        self.shape = shape
        self.ringIndex = ringIndex
        let elementCount = capacity * shape.reduce(1, *)
        images = .allocate(capacity: max(1, elementCount))
        images.initialize(repeating: 0, count: elementCount)
        labels = .allocate(capacity: max(1, capacity))
        labels.initialize(repeating: 0, count: capacity)
        records = .allocate(capacity: max(1, capacity))
        records.initialize(repeating: 0, count: capacity)
    }

    deinit {
        images.deallocate()
        labels.deallocate()
        records.deallocate()
    }

    /// Replaces the contents by `newRecords` of `dataSet`; empty when that throws.
    public func load(
        from dataSet: DataSet, _ split: DataSplit, records newRecords: some Collection<UInt64>,
        augmentation: AugmentationKey? = nil
    ) throws(DataError) {
        precondition(
            newRecords.count <= capacity,
            "\(newRecords.count) records, expected at most \(capacity)")
        count = 0
        recordDigest = 0
        var loaded = 0
        for record in newRecords {
            records[loaded] = record
            loaded += 1
        }
        let list = UnsafeBufferPointer(start: records, count: loaded)
        try dataSet.gather(
            split, records: list, augmentation: augmentation, images: images, labels: labels)
        count = loaded
        recordDigest = Self.digest(of: list)
    }

    /// A sum over the records that does not depend on their order: equal sets give equal sums, and
    /// the digests of microbatches add up (wrapping) to that of their step.
    public static func digest(of records: some Sequence<UInt64>) -> UInt64 {
        records.reduce(0) { $0 &+ mix64($1 &+ 1) }
    }
}
