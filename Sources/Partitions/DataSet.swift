/// An open data set: a training split cut into partitions, and a test split.
///
/// Sources of bytes (IDX, CIFAR-10) are decoded into memory once and kept as bytes. Partitioned
/// directories, and data sets with a `PartitionSupply`, are read partition by partition when their
/// records are asked for.
///
/// Threading: any number of threads may use a data set at once.
public final class DataSet: Sendable {
    /// The default limit on partitions kept in memory, in bytes.
    public static let defaultMemoryLimitByteCount = 192 << 20

    /// The source of the data, as the user wrote it.
    public let specification: DataSpecification
    /// The description of the data behind the transformations.
    public let description: DataSetDescription
    /// The transformations that are applied, in this order, whenever a record is read.
    public var transformations: [Transformation] { pipeline.transformations }
    let pipeline: TransformationPipeline
    /// The partitions of the training split, in record order.
    public let partitions: [Partition]
    /// The partitions of the test split: one for a source of bytes, otherwise those of the
    /// manifest.
    public let testPartitions: [Partition]
    /// The supply that brings partitions from other hosts; nil when all data is on this host's
    /// disk.
    public let supply: (any PartitionSupply)?
    private let training: any RecordStore
    private let test: any RecordStore

    init(
        specification: DataSpecification, description: DataSetDescription,
        pipeline: TransformationPipeline? = nil, partitions: [Partition],
        testPartitions: [Partition],
        supply: (any PartitionSupply)? = nil, training: any RecordStore, test: any RecordStore
    ) {
        self.specification = specification
        self.description = description
        self.pipeline = pipeline ?? TransformationPipeline(of: description)
        self.partitions = partitions
        self.testPartitions = testPartitions
        self.supply = supply
        self.training = training
        self.test = test
    }

    // MARK: Opening

    /// Opens a data set. A source of bytes is read into memory and checked; for a partitioned
    /// directory only the manifest is read.
    ///
    /// - Parameters:
    ///   - specification: the source of the data.
    ///   - partitionCount: the number of partitions of the training split. A partitioned directory
    ///     ignores it and has its own.
    ///   - memoryLimitByteCount: the limit on partitions kept in memory, in bytes. It applies to a
    ///     partitioned directory only.
    /// - Throws: `badSetting` when the partition count does not fit, and the reason when the data
    ///   is missing, unreadable or malformed.
    public static func open(
        _ specification: DataSpecification, partitionCount: Int,
        memoryLimitByteCount: Int = DataSet.defaultMemoryLimitByteCount
    ) throws(DataError) -> DataSet {
        if case .partitions(let path) = specification {
            let directory = try PartitionDirectory(path: path)
            return partitioned(
                directory, description: directory.description, place: directory.path,
                specification: specification, memoryLimitByteCount: memoryLimitByteCount)
        }
        try check(partitionCount, recordCount: nil)
        let source = try DataSource.byteSource(specification)
        let training = try SplitReader(source, .training)
        try check(partitionCount, recordCount: training.recordCount)
        let (trainingSummary, trainingStore) = try training.load()
        let (testSummary, testStore) = try SplitReader(source, .test).load()
        let description = try DataSource.description(
            source, training: trainingSummary, test: testSummary)
        let origin = Lineage.Step.source(
            specification: specification.description, fingerprint: description.fingerprint)
        return DataSet(
            specification: specification, description: description,
            partitions: Partition.cut(
                .training, segments: trainingSummary.segments, count: partitionCount, origin: origin
            ),
            testPartitions: Partition.cut(
                .test, segments: testSummary.segments, count: 1, origin: origin),
            training: trainingStore, test: testStore)
    }

    /// Throws `badSetting` when the partition count is below 1 or, if that is known, above the
    /// number of training records.
    static func check(_ partitionCount: Int, recordCount: Int?) throws(DataError) {
        guard partitionCount >= 1 else {
            throw DataError(
                .badSetting, file: "partitions", what: "partition count", expected: "at least 1",
                found: "\(partitionCount)")
        }
        guard let recordCount, partitionCount > recordCount else { return }
        throw DataError(
            .badSetting, file: "partitions", what: "partition count",
            expected: "at most the \(recordCount) training records",
            found: "\(partitionCount) partitions",
            advice: "use fewer partitions")
    }

    /// Opens a data set whose partitions `supply` brings when they are needed.
    ///
    /// - Parameters:
    ///   - catalog: the description and manifest of the data set.
    ///   - specification: the source of the data, as the user wrote it.
    ///   - supply: brings the partitions to this host.
    ///   - memoryLimitByteCount: the limit on partitions kept in memory, in bytes.
    public static func open(
        _ catalog: PartitionCatalog, specification: DataSpecification,
        supply: any PartitionSupply,
        memoryLimitByteCount: Int = DataSet.defaultMemoryLimitByteCount
    ) -> DataSet {
        partitioned(
            SuppliedFiles(manifest: catalog.manifest, supply: supply),
            description: catalog.description, place: "\(specification)",
            specification: specification, supply: supply,
            memoryLimitByteCount: memoryLimitByteCount)
    }

    private static func partitioned(
        _ files: any PartitionFiles, description: DataSetDescription, place: String,
        specification: DataSpecification, supply: (any PartitionSupply)? = nil,
        memoryLimitByteCount: Int
    ) -> DataSet {
        let cache = PartitionCache(files: files, memoryLimitByteCount: memoryLimitByteCount)
        let origin = Lineage.Step.source(
            specification: specification.description, fingerprint: description.fingerprint)
        func partitions(_ split: DataSplit) -> [Partition] {
            var start = 0
            return files.manifest.entries(split).enumerated().map { index, entry in
                defer { start += entry.records }
                return Partition(
                    index: index, split: split, recordRange: start..<start + entry.records,
                    lineage: Lineage(steps: [
                        origin, .records(file: "\(place)/\(entry.file)", range: 0..<entry.records),
                    ]))
            }
        }
        return DataSet(
            specification: specification, description: description,
            partitions: partitions(.training),
            testPartitions: partitions(.test), supply: supply,
            training: PartitionStore(cache: cache, split: .training),
            test: PartitionStore(cache: cache, split: .test))
    }

    /// Returns a data set of the same records behind further transformations. A transformation runs
    /// only when a record is read.
    ///
    /// - Throws: `badSetting` when a transformation does not fit what comes before it.
    public func transformed(by added: [Transformation]) throws(DataError) -> DataSet {
        let pipeline = try TransformationPipeline(
            transformations + added, shape: pipeline.inputShape,
            elementType: description.elementType, hasLabels: description.targetCount == nil)
        return DataSet(
            specification: specification,
            description: description.transformed(by: added, shape: pipeline.outputShape),
            pipeline: pipeline, partitions: partitions.map { $0.transformed(by: added) },
            testPartitions: testPartitions.map {
                $0.transformed(by: added.filter(\.actsOnTestRecords))
            },
            supply: supply, training: training, test: test)
    }

    // MARK: Reading

    /// The number of records in each training partition, as `BatchPlan` needs them.
    public var partitionRecordCounts: [Int] { partitions.map(\.recordCount) }

    /// Reads records in the given order into the caller's memory.
    ///
    /// Shapes: `images` [count, C, H, W], `labels` [count], `targets` [count, targetCount].
    /// Pixels stored as bytes become value / 255 by true division; stored floats stay unchanged.
    ///
    /// - Parameters:
    ///   - split: the split to read from.
    ///   - records: record numbers within the split. A number outside the split is a programming
    ///     error and ends the process.
    ///   - augmentation: selects the random numbers. Nil leaves out the random transformations; the
    ///     test split always leaves them out.
    ///   - images: receives the images.
    ///   - labels: receives the labels; zeros for records with targets.
    ///   - targets: receives the targets of records that have them.
    /// - Throws: only for partitioned data, because its files are read and checked on the way.
    public func gather(
        _ split: DataSplit, records: UnsafeBufferPointer<UInt64>,
        augmentation: AugmentationKey? = nil,
        images: UnsafeMutablePointer<Float>, labels: UnsafeMutablePointer<Int32>,
        targets: UnsafeMutablePointer<Float>? = nil
    ) throws(DataError) {
        try gather(
            split, records: records, augmentation: augmentation, images: images, labels: labels,
            targets: targets, mixture: nil,
            TransformationScratch(pipeline, capacity: records.count))
    }

    /// Reads records as the public method does, in the given scratch memory, and with second labels
    /// where records are mixed.
    func gather(
        _ split: DataSplit, records: UnsafeBufferPointer<UInt64>, augmentation: AugmentationKey?,
        images: UnsafeMutablePointer<Float>, labels: UnsafeMutablePointer<Int32>,
        targets: UnsafeMutablePointer<Float>?, mixture: LabelMixture?,
        _ scratch: TransformationScratch
    ) throws(DataError) {
        let store = store(split)
        for record in records {
            precondition(
                record < UInt64(store.recordCount),
                "record \(record) of the \(split) split, expected below \(store.recordCount)")
        }
        if pipeline.isEmpty {
            return try store.gather(records, images: images, labels: labels, targets: targets)
        }
        let batch = TransformationPipeline.Batch(
            records: records, augmentation: split == .training ? augmentation : nil, images: images,
            labels: labels, mixture: mixture, scratch: scratch)
        try store.visit(records, labels: labels, targets: targets) { position, image in
            pipeline.start(image, position: position, of: batch)
        }
        pipeline.finish(batch)
    }

    /// Reads records in the given order into new arrays, for tools and tests.
    ///
    /// - Returns: images [count, C, H, W] and labels [count].
    public func gather(
        _ split: DataSplit, records: [Int], augmentation: AugmentationKey? = nil
    ) throws(DataError) -> (images: [Float], labels: [Int32]) {
        let batch = Microbatch(capacity: records.count, shape: description.shape)
        try batch.load(
            from: self, split, records: records.map(UInt64.init), augmentation: augmentation)
        return (
            Array(
                UnsafeBufferPointer(
                    start: batch.images, count: records.count * description.elementCount)),
            Array(UnsafeBufferPointer(start: batch.labels, count: records.count))
        )
    }

    /// Returns a range of records as they are stored, without transformations.
    ///
    /// - Returns: the bytes of the images [count, C, H, W] in the data set's element type, and the
    ///   labels [count].
    public func stored(
        _ split: DataSplit, range: Range<Int>
    ) throws(DataError) -> (images: [UInt8], labels: [Int32]) {
        let store = store(split)
        precondition(
            range.lowerBound >= 0 && range.upperBound <= store.recordCount,
            "records \(range) of the \(split) split, expected within 0..<\(store.recordCount)")
        return try store.stored(range)
    }

    /// Returns the targets of a range of a split, [count, targetCount]; none for records with
    /// labels.
    public func targets(_ split: DataSplit, range: Range<Int>) throws(DataError) -> [Float] {
        try store(split).targets(range)
    }

    /// Returns the labels of a range of a split.
    func labels(_ split: DataSplit, range: Range<Int>) throws(DataError) -> [Int32] {
        try store(split).labels(range)
    }

    private func store(_ split: DataSplit) -> any RecordStore {
        split == .training ? training : test
    }
}
