import CounterRandom

/// A reusable buffer for the images, labels and record numbers of one microbatch.
///
/// Safety: the pointers are valid from `init` to `deinit`. One thread at a time owns a microbatch:
/// the thread that took it from the loader, until it recycles the microbatch.
public final class Microbatch: @unchecked Sendable {
    /// The shape [C, H, W] of one image.
    public let shape: [Int]
    /// The number of records that fit.
    public let capacity: Int
    /// The images, [count, C, H, W].
    public let images: UnsafeMutablePointer<Float>
    /// The labels, [count]; zeros for records with targets.
    public let labels: UnsafeMutablePointer<Int32>
    /// The targets, [count, targetCount]; nil for records with labels.
    public let targets: UnsafeMutablePointer<Float>?
    /// The numbers of the records within the split, [count].
    public let records: UnsafeMutablePointer<UInt64>
    /// The number of records that the microbatch holds now.
    public private(set) var count = 0
    /// The ledger's evidence of what was read: `digest(of:)` over `records`.
    public private(set) var recordDigest: UInt64 = 0
    /// The index among the loader's buffers; -1 for a microbatch outside them.
    let ringIndex: Int

    /// Creates an empty microbatch.
    ///
    /// - Parameters:
    ///   - capacity: the number of records that must fit.
    ///   - shape: the shape [C, H, W] of one image.
    ///   - targetCount: the number of targets of a record; nil for records with labels.
    public convenience init(capacity: Int, shape: [Int], targetCount: Int? = nil) {
        self.init(capacity: capacity, shape: shape, targetCount: targetCount, ringIndex: -1)
    }

    init(capacity: Int, shape: [Int], targetCount: Int?, ringIndex: Int) {
        self.capacity = capacity
        self.shape = shape
        self.ringIndex = ringIndex
        let elementCount = capacity * shape.reduce(1, *)
        images = .allocate(capacity: max(1, elementCount))
        images.initialize(repeating: 0, count: elementCount)
        labels = .allocate(capacity: max(1, capacity))
        labels.initialize(repeating: 0, count: capacity)
        targets = targetCount.map { targetCount in
            let targets = UnsafeMutablePointer<Float>.allocate(
                capacity: max(1, capacity * targetCount))
            targets.initialize(repeating: 0, count: capacity * targetCount)
            return targets
        }
        records = .allocate(capacity: max(1, capacity))
        records.initialize(repeating: 0, count: capacity)
    }

    deinit {
        images.deallocate()
        labels.deallocate()
        targets?.deallocate()
        records.deallocate()
    }

    /// Replaces the contents by the given records of a data set. The microbatch is empty when this
    /// throws.
    ///
    /// - Parameters:
    ///   - dataSet: the data set to read from.
    ///   - split: the split to read from.
    ///   - newRecords: record numbers within the split, at most `capacity`.
    ///   - augmentation: selects the random numbers; nil leaves out the random transformations.
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
            split, records: list, augmentation: augmentation, images: images, labels: labels,
            targets: targets)
        count = loaded
        recordDigest = Self.digest(of: list)
    }

    /// Returns a sum over the records that does not depend on their order. Equal sets of records
    /// have equal sums, and the digests of microbatches add up, modulo 2^64, to the digest of their
    /// step.
    public static func digest(of records: some Sequence<UInt64>) -> UInt64 {
        records.reduce(0) { $0 &+ mix64($1 &+ 1) }
    }
}
