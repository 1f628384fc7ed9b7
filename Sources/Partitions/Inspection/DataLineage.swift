import SafeTensors

/// How a data set comes from its files: the steps from the partitions down to the source.
///
/// No record is decoded. The counts behind a step that reads the records' contents are known where
/// the files are small, or the set is in the cache.
public struct DataLineage: Sendable, Codable {
    /// What is done to all records.
    public struct Step: Sendable, Codable, Hashable {
        /// The name of the step: a key of the run file's section `data`, "spread" or "decode".
        public var step: String
        /// What the step does, in words.
        public var detail: String
        /// The numbers of training and test records behind the step; nil where they are not known.
        public var training: Int?
        /// The number of test records.
        public var test: Int?
    }

    /// A source of records.
    public struct Input: Sendable, Codable, Hashable {
        /// The source, as the user wrote it.
        public var source: String
        /// How many times an epoch has each training record.
        public var weight: Int
        /// The number of training records in the source.
        public var training: Int
        /// The number of test records.
        public var test: Int
        /// The number of files.
        public var files: Int
        /// The number of bytes in the files; nil for so many files that counting takes long.
        public var bytes: Int?
    }

    /// One training partition.
    public struct Piece: Sendable, Codable, Hashable {
        /// The number of the partition, from 0.
        public var partition: Int
        /// The number of records.
        public var records: Int
        /// The number of records of each class that has some, by the class's name.
        public var classes: [String: Int]
        /// The number of files that the records come from.
        public var fileCount: Int
        /// The first of them, each with its number of records in the partition.
        public var files: [File]
        /// The SHA-256 of the partition's own file; nil where it has none yet.
        public var sha256: String?
    }

    /// A file that records of a partition come from.
    public struct File: Sendable, Codable, Hashable {
        /// The path below the source's directory.
        public var name: String
        /// The number of records.
        public var records: Int
    }

    /// The source, as the user wrote it.
    public var source: String
    /// The number of training partitions.
    public var partitions: Int
    /// The number of records in each training partition; empty where it is not known.
    public var training: [Int]
    /// The number of records in each test partition.
    public var test: [Int]
    /// The steps, the last one first.
    public var steps: [Step]
    /// What the records come from; several sources for a union.
    public var inputs: [Input]
    /// The partition that was asked for.
    public var piece: Piece?

    /// The largest total length of files whose contents are read to count records.
    private static let readLimit = 16 << 20
    /// The largest number of files that are opened to know their lengths.
    private static let fileLimit = 50_000
    private static let shownFileCount = 5

    /// Finds the lineage of a data set.
    ///
    /// - Parameters:
    ///   - specification: the source with its options.
    ///   - partitionCount: the number of training partitions. A partitioned directory has its own.
    ///   - transformations: the transformations that are applied when records are read.
    ///   - partition: a training partition to describe, from 0.
    ///   - cache: the cache that may hold the set.
    /// - Throws: `badSetting` for a partition that does not exist, and the reason when the source
    ///   cannot be read.
    public init(
        _ specification: DataSpecification, partitionCount: Int,
        transformations: [Transformation] = [], partition: Int? = nil, cache: DataCache? = nil
    ) throws(DataError) {
        source = "\(specification)"
        steps = []
        inputs = []
        (partitions, training, test) = (0, [], [])
        let threadCount = Parallel.processorCount
        let files = try specification.source().files()
        if specification.isPartitioned {
            try describe(PartitionDirectory(path: specification.location), files, partition)
        } else {
            try DataSet.check(partitionCount, recordCount: nil)
            partitions = partitionCount
            let scan = try specification.source().scan(files)
            let bytes = try addInputs(specification, files, scan, threadCount)
            let isRead = partition != nil || bytes.map { $0 <= Self.readLimit } ?? false
            let (selected, isWhole) = try addSteps(specification, scan, isRead, threadCount)
            if scan.isSpread {
                steps.append(
                    Step(step: "spread", detail: "training records by the hashes of their names"))
            }
            let directory = try cache.flatMap { (cache) throws(DataError) -> String? in
                guard specification.isCompiled else { return nil }
                let importer = DataImport(cache: cache)
                return isRead
                    ? try importer.find(specification, partitionCount: partitionCount)
                    : try importer.findRemembered(
                        specification, files, partitionCount: partitionCount)
            }
            try addPartitions(
                isWhole ? selected : nil, files, directory, partition, specification, partitionCount)
        }
        for transformation in transformations {
            steps.append(
                Step(
                    step: "transformation",
                    detail: transformation.canonicalText
                        + (transformation.actsOnTestRecords ? "" : ", of training records")))
        }
        steps.reverse()
    }

    // MARK: Sources

    /// Returns the length of a list of files; nil for too many.
    private static func byteCount(_ files: FileList, _ threadCount: Int) throws(DataError) -> Int? {
        guard files.count <= fileLimit else { return nil }
        return try Parallel.map(
            files.count, threadCount: threadCount, {},
            { (_, index) throws(DataError) in try files.open(index).byteCount }
        ).reduce(0, +)
    }

    /// Adds the sources. Returns the number of bytes in all their files.
    private mutating func addInputs(
        _ specification: DataSpecification, _ files: FileList, _ scan: SourceScan,
        _ threadCount: Int
    ) throws(DataError) -> Int? {
        let members = specification.options.union
        guard specification.scheme == UnionSource.scheme else {
            inputs = [
                Input(
                    source: source, weight: 1, training: scan.training.count,
                    test: scan.test.count, files: files.count,
                    bytes: try Self.byteCount(files, threadCount))
            ]
            return inputs[0].bytes
        }
        for member in members {
            let source = try member.specification.source()
            let files = try source.files()
            let scan = try source.scan(files)
            inputs.append(
                Input(
                    source: "\(member.specification)", weight: member.weight,
                    training: scan.training.count, test: scan.test.count, files: files.count,
                    bytes: try Self.byteCount(files, threadCount)))
        }
        steps.append(
            Step(
                step: "union", detail: "\(members.count) sources", training: scan.training.count,
                test: scan.test.count))
        return inputs.reduce(0) { sum, input in
            guard let sum, let bytes = input.bytes else { return nil }
            return sum + bytes
        }
    }

    // MARK: Options

    /// Adds the steps that the options ask for.
    ///
    /// - Returns: what is left of the scan, and whether all steps could be taken.
    private mutating func addSteps(
        _ specification: DataSpecification, _ scan: SourceScan, _ isRead: Bool,
        _ threadCount: Int
    ) throws(DataError) -> (SourceScan, isWhole: Bool) {
        let options = specification.options
        let details = options.stepDetails
        // The steps before the first one that reads contents are taken in any case.
        var known = specification
        let end = isRead ? nil : RecordSelection.Step.allCases.first { options.readsContents($0) }
        if let end { known.options.leaveOut(from: end) }
        var counts: [RecordSelection.Step: (training: Int, test: Int)] = [:]
        let selected = try RecordSelection.select(scan, known, threadCount: threadCount) {
            counts[$0] = ($1.training.count, $1.test.count)
        }
        var isUnknown = false
        for step in RecordSelection.Step.allCases {
            if step == end { isUnknown = true }
            guard let detail = details[step] else { continue }
            // The first step already leaves out the classes that the filter leaves out.
            let isBetween = step == .labels && !options.filter.labels.isEmpty
            let count = isUnknown || isBetween ? nil : counts[step]
            steps.append(
                Step(
                    step: step.rawValue, detail: detail, training: count?.training,
                    test: count?.test))
        }
        return (selected, end == nil)
    }

    // MARK: Partitions

    private mutating func addPartitions(
        _ scan: SourceScan?, _ files: FileList, _ directory: String?, _ partition: Int?,
        _ specification: DataSpecification, _ partitionCount: Int
    ) throws(DataError) {
        if let partition { try Self.check(partition, below: partitionCount) }
        let plan = try scan.map { (scan) throws(DataError) in
            try ImportPlan(scan, partitionCount: partitionCount)
        }
        if let plan {
            training = plan.training.map(\.count)
            test = plan.test.map(\.count)
        }
        var sha256: String?
        if let directory,
            let manifest = try? PartitionManifest.read(
                path: "\(directory)/\(PartitionManifest.fileName)")
        {
            training = manifest.training.map(\.records)
            test = manifest.test.map(\.records)
            sha256 = partition.map { manifest.training[$0].sha256 }
            let skipped = DataImport.facts(directory)?.skipped.count ?? 0
            if skipped > 0 {
                steps.append(
                    Step(
                        step: "decode",
                        detail: "left out because they cannot be decoded: \(skipped), "
                            + "bad-records \(specification.options.image.badRecords)",
                        training: manifest.recordCount(.training),
                        test: manifest.recordCount(.test)))
            }
        }
        guard let partition, let plan else { return }
        piece = Self.piece(partition, of: plan, files, records: training[partition], sha256)
    }

    private static func check(_ partition: Int, below count: Int) throws(DataError) {
        guard (0..<count).contains(partition) else {
            throw DataError(
                .badSetting, file: "partitions", what: "number of a partition",
                expected: "0 to \(count - 1)", found: "\(partition)")
        }
    }

    private static func piece(
        _ partition: Int, of plan: ImportPlan, _ list: FileList, records count: Int,
        _ sha256: String?
    ) -> Piece {
        let records = plan.training[partition]
        let table = plan.table(.training)
        var files: [File] = []
        var places: [String: Int] = [:]
        let known = Set((0..<list.count).lazy.map(list.name))
        for record in records {
            let name = table.name(record)
            // The number of a record within its file stands behind the last "#".
            let end = known.contains(name) ? nil : name.lastIndex(of: "#")
            let file = end.map { String(name[..<$0]) } ?? name
            if let place = places[file] {
                files[place].records += 1
            } else {
                places[file] = files.count
                files.append(File(name: file, records: 1))
            }
        }
        var classes: [String: Int] = [:]
        if plan.scan.targetCount == nil {
            let labels = table.labels
            for record in records {
                classes[
                    RecordListing.className(labels[record], plan.scan.classNames), default: 0] += 1
            }
        }
        return Piece(
            partition: partition, records: count, classes: classes, fileCount: files.count,
            files: Array(files.prefix(shownFileCount)), sha256: sha256)
    }

    /// Takes over what a partitioned directory says of itself.
    private mutating func describe(
        _ directory: PartitionDirectory, _ files: FileList, _ partition: Int?
    ) throws(DataError) {
        let manifest = directory.manifest
        partitions = manifest.training.count
        training = manifest.training.map(\.records)
        test = manifest.test.map(\.records)
        inputs = [
            Input(
                source: source, weight: 1, training: manifest.recordCount(.training),
                test: manifest.recordCount(.test), files: files.count,
                bytes: try Self.byteCount(files, Parallel.processorCount))
        ]
        guard let partition else { return }
        try Self.check(partition, below: partitions)
        let entry = manifest.training[partition]
        var classes: [String: Int] = [:]
        for (label, count) in entry.histogram.enumerated() where count > 0 {
            classes[RecordListing.className(Int32(label), manifest.classNames)] = count
        }
        piece = Piece(
            partition: partition, records: entry.records, classes: classes, fileCount: 1,
            files: [File(name: entry.file, records: entry.records)], sha256: entry.sha256)
    }
}

extension SourceOptions {
    /// What each step does, in words; none for a step that the options do not ask for.
    fileprivate var stepDetails: [RecordSelection.Step: String] {
        var details: [RecordSelection.Step: String] = [:]
        let renamed = labels.map.sorted { $0.key < $1.key }.map { "\($0.key) becomes \($0.value)" }
        let dropped = labels.drop.isEmpty ? [] : ["without \(labels.drop.joined(separator: ", "))"]
        let changes = (labels.isCoarse ? ["coarse"] : []) + renamed + dropped
        if !changes.isEmpty { details[.labels] = changes.joined(separator: ", ") }
        var rules: [String] = []
        if !filter.labels.isEmpty { rules.append("only \(filter.labels.joined(separator: ", "))") }
        if filter.minimumHeight > 0 || filter.minimumWidth > 0 {
            rules.append("at least \(filter.minimumHeight) x \(filter.minimumWidth) pixels")
        }
        if filter.isUnique { rules.append("the first of equal records") }
        if !rules.isEmpty { details[.filter] = rules.joined(separator: ", ") }
        if let split { details[.split] = "test \(split.canonicalText)" }
        if sample != 1 { details[.sample] = "\(sample) of the training records" }
        return details
    }

    /// Whether a step reads the contents of the records.
    fileprivate func readsContents(_ step: RecordSelection.Step) -> Bool {
        switch step {
        case .labels, .sample: false
        case .filter: filter.isUnique || filter.minimumHeight > 0 || filter.minimumWidth > 0
        case .split: split?.by == .hash || split?.by == .stratified
        }
    }

    /// Forgets a step and those after it.
    fileprivate mutating func leaveOut(from step: RecordSelection.Step) {
        if step == .filter {
            // The classes that are kept are known without the records' contents.
            let kept = filter.labels
            filter = RecordFilter()
            filter.labels = kept
        }
        split = nil
        sample = 1
    }
}
