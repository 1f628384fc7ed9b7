/// An open data set: a training split cut into partitions, and a test split.
///
/// Every source is imported as partitions: sources of bytes (IDX, CIFAR-10) into memory, others into a
/// cache on the disk. Partitions that are not in memory are read when their records are asked for.
///
/// Threading: any number of threads may use a data set at once.
public final class DataSet: Sendable {
    /// The default limit on partitions kept in memory, in bytes: 192 MiB.
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
    /// The partitions of the test split.
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
    /// directory only the manifest is read; any other source is imported into the cache, unless it is
    /// there.
    ///
    /// - Parameters:
    ///   - specification: the source of the data.
    ///   - partitionCount: the number of partitions of the training split. A partitioned directory
    ///     ignores it and has its own.
    ///   - memoryLimitByteCount: the limit on partitions kept in memory, in bytes. A source of bytes
    ///     is in memory as a whole.
    ///   - importer: imports what has to be decoded; nil for the user's cache.
    /// - Throws: `badSetting` when the partition count does not fit, and the reason when the data
    ///   is missing, unreadable or malformed.
    public static func open(
        _ specification: DataSpecification, partitionCount: Int,
        memoryLimitByteCount: Int = DataSet.defaultMemoryLimitByteCount,
        importer: DataImport? = nil
    ) throws(DataError) -> DataSet {
        if let path = try DataSource.partitionedPath(specification, partitionCount, importer) {
            let directory = try PartitionDirectory(
                path: path, isCached: specification.isCompiled)
            return partitioned(
                directory, description: directory.description, place: directory.path,
                specification: specification, memoryLimitByteCount: memoryLimitByteCount)
        }
        let (files, description, plan) = try imported(specification, partitionCount)
        return inMemory(files, description: description, plan: plan, specification: specification)
    }

    /// Creates a data set of training records in memory. It has no test records.
    ///
    /// - Parameters:
    ///   - name: the name of the data set.
    ///   - shape: the shape [C, H, W] of a record.
    ///   - images: the records as bytes, [count, C, H, W].
    ///   - labels: the labels, [count], each at least 0.
    ///   - partitionCount: the number of partitions.
    /// - Throws: `badSetting` when the partition count does not fit.
    public static func inMemory(
        name: String, shape: [Int], images: [UInt8], labels: [Int32], partitionCount: Int = 1
    ) throws(DataError) -> DataSet {
        let size = shape.reduce(1, *)
        precondition(
            images.count == labels.count * size,
            "\(images.count) bytes, expected \(labels.count) records of \(shape)")
        func table(_ images: [UInt8], _ labels: [Int32]) -> MemoryTable {
            MemoryTable(
                bytes: images, labels: labels, recordByteCount: size,
                segments: [
                    SourceSegment(file: name, labelFile: name, recordCount: labels.count)
                ])
        }
        let plan = try ImportPlan(
            SourceScan(
                name: name, shape: shape, training: table(images, labels), test: table([], []),
                isSpread: false),
            partitionCount: partitionCount)
        let files = try MemoryPartitions(plan)
        return inMemory(
            files, description: files.manifest.description, plan: plan,
            specification: DataSpecification(scheme: "memory", location: name))
    }

    private static func inMemory(
        _ files: MemoryPartitions, description: DataSetDescription, plan: ImportPlan,
        specification: DataSpecification
    ) -> DataSet {
        let origin = Lineage.Step.source(
            specification: specification.description, fingerprint: description.fingerprint)
        func cut(_ split: DataSplit) -> [Partition] {
            Partition.cut(
                split, segments: (plan.table(split) as? MemoryTable)?.segments ?? [],
                count: files.manifest.entries(split).count, origin: origin)
        }
        let cache = PartitionCache(files: files, memoryLimitByteCount: .max)
        return DataSet(
            specification: specification, description: description, partitions: cut(.training),
            testPartitions: cut(.test), training: PartitionStore(cache: cache, split: .training),
            test: PartitionStore(cache: cache, split: .test))
    }

    /// Imports a source of bytes into memory.
    static func imported(
        _ specification: DataSpecification, _ partitionCount: Int
    ) throws(DataError) -> (
        files: MemoryPartitions, description: DataSetDescription, plan: ImportPlan
    ) {
        try check(partitionCount, recordCount: nil)
        let (scan, description) = try DataSource.bytesSource(specification).read()
        let plan = try ImportPlan(scan, partitionCount: partitionCount)
        return (try MemoryPartitions(plan), description, plan)
    }

    /// Opens a data set if nothing has to be imported for it: its partitions are in the cache, or it
    /// needs none. Nil otherwise.
    public static func openKnown(
        _ specification: DataSpecification, partitionCount: Int,
        memoryLimitByteCount: Int = DataSet.defaultMemoryLimitByteCount, cache: DataCache?
    ) throws(DataError) -> DataSet? {
        guard specification.isCompiled else {
            return try open(
                specification, partitionCount: partitionCount,
                memoryLimitByteCount: memoryLimitByteCount)
        }
        guard let cache,
            let path = try DataImport(cache: cache).find(
                specification, partitionCount: partitionCount)
        else { return nil }
        let directory = try PartitionDirectory(path: path, isCached: true)
        return partitioned(
            directory, description: directory.description, place: directory.path,
            specification: specification, memoryLimitByteCount: memoryLimitByteCount)
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
    /// A data set that mixes records is read for training by `Microbatch`, which has second labels;
    /// here it is a programming error.
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

    /// The number of bytes of a record's image as it is stored.
    var storedImageByteCount: Int {
        pipeline.inputShape.reduce(1, *) * description.elementType.byteCount
    }

    /// Whether some training records are read from files.
    var isReadFromFiles: Bool { training.isReadFromFiles }

    /// Loads or checks a partition before its records are read. With `isAhead` it is not needed yet:
    /// nothing is dropped for it, and an error is left to whoever needs it.
    func open(_ split: DataSplit, partition: Int, isAhead: Bool) throws(DataError) {
        try store(split).open(partition: partition, isAhead: isAhead)
    }

    /// Announces that these records will be read soon. Where they are on a disk, the system begins to
    /// read them into its cache; nothing waits for it, and no result depends on it.
    func announce(_ split: DataSplit, records: UnsafeBufferPointer<UInt64>) {
        store(split).announce(records)
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
