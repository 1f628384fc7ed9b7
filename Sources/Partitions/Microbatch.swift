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
    /// The second labels of mixed records, [count]. A record that is not mixed has its label twice.
    public let secondLabels: UnsafeMutablePointer<Int32>
    /// The weights of the labels of mixed records, [count], from 0 to 1; the second label has the
    /// rest of 1.
    public let labelWeights: UnsafeMutablePointer<Float>
    /// Whether the records are mixed, so that `secondLabels` and `labelWeights` mean something.
    public private(set) var isMixed = false
    /// The numbers of the records within the split, [count].
    public let records: UnsafeMutablePointer<UInt64>
    /// The number of records that the microbatch holds now.
    public private(set) var count = 0
    /// The ledger's evidence of what was read: `digest(of:)` over `records`.
    public private(set) var recordDigest: UInt64 = 0
    /// The index among the loader's buffers; -1 for a microbatch outside them.
    let ringIndex: Int
    /// The memory in which images are transformed, made at the first load.
    private var scratch: TransformationScratch?

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
        secondLabels = .allocate(capacity: max(1, capacity))
        secondLabels.initialize(repeating: 0, count: capacity)
        labelWeights = .allocate(capacity: max(1, capacity))
        labelWeights.initialize(repeating: 1, count: capacity)
        records = .allocate(capacity: max(1, capacity))
        records.initialize(repeating: 0, count: capacity)
    }

    deinit {
        images.deallocate()
        labels.deallocate()
        targets?.deallocate()
        secondLabels.deallocate()
        labelWeights.deallocate()
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
        isMixed = false
        var loaded = 0
        for record in newRecords {
            records[loaded] = record
            loaded += 1
        }
        let list = UnsafeBufferPointer(start: records, count: loaded)
        let pipeline = dataSet.pipeline
        precondition(
            pipeline.outputCount == shape.reduce(1, *),
            "images of \(pipeline.outputShape), expected \(shape)")
        let scratch = scratch(for: pipeline)
        try dataSet.gather(
            split, records: list, augmentation: augmentation, images: images, labels: labels,
            targets: targets, mixture: LabelMixture(labels: secondLabels, weights: labelWeights),
            scratch)
        isMixed = split == .training && augmentation != nil && pipeline.mixingStep != nil
        count = loaded
        recordDigest = Self.digest(of: list)
    }

    private func scratch(for pipeline: TransformationPipeline) -> TransformationScratch {
        if let scratch, scratch.pipeline === pipeline { return scratch }
        let made = TransformationScratch(pipeline, capacity: capacity)
        scratch = made
        return made
    }

    /// Returns a sum over the records that does not depend on their order. Equal sets of records
    /// have equal sums, and the digests of microbatches add up, modulo 2^64, to the digest of their
    /// step.
    public static func digest(of records: some Sequence<UInt64>) -> UInt64 {
        records.reduce(0) { $0 &+ mix64($1 &+ 1) }
    }
}
