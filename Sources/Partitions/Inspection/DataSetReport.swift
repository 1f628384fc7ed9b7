import FoundationEssentials

/// What a data set holds: counts, classes, copies, statistics of the channels, and what looks
/// wrong.
///
/// Every stored record is read once.
///
/// Determinism: sums have an order of their own, so a report is the same on every host, for any
/// number of threads.
public struct DataSetReport: Sendable, Codable {
    /// The records of a split.
    public struct Split: Sendable, Codable, Hashable {
        /// The number of records.
        public var records = 0
        /// The number of partitions.
        public var partitions = 0
        /// The number of bytes that the records take as they are stored.
        public var bytes = 0
        /// The classes, in the order of the labels; none for records with targets.
        public var classes: [ClassCount] = []
        /// The number of records of the largest class over that of the smallest one that has
        /// records; nil without classes.
        public var imbalance: Double?
        /// The targets; none for records with labels.
        public var targets: [TargetRange] = []
    }

    /// The records of a class in a split.
    public struct ClassCount: Sendable, Codable, Hashable {
        /// The label.
        public var label: Int
        /// The name of the class, or the label.
        public var name: String
        /// The number of records.
        public var records: Int
        /// The share of the split's records, 0 to 1.
        public var share: Double
        /// The number of partitions that have a record of the class.
        public var partitions: Int
    }

    /// The values of a target in a split.
    public struct TargetRange: Sendable, Codable, Hashable {
        /// The smallest value.
        public var minimum: Double
        /// The mean.
        public var mean: Double
        /// The largest value.
        public var maximum: Double
    }

    /// Mean and standard deviation of a channel over the training records, as training sees them:
    /// bytes are scaled to 0 to 1.
    public struct Channel: Sendable, Codable, Hashable {
        /// The mean.
        public var mean: Double
        /// The standard deviation, with the number of elements as divisor.
        public var std: Double
    }

    /// Records whose elements are equal to those of another record.
    public struct Copies: Sendable, Codable, Hashable {
        /// The number of training records that are copies of an earlier training record.
        public var training = 0
        /// The number of test records that are copies of an earlier test record.
        public var test = 0
        /// The number of test records with a copy among the training records.
        public var across = 0
        /// The number of groups of equal records whose labels differ.
        public var conflicts = 0
        /// The first groups of equal records, at most four records of each.
        public var examples: [[Place]] = []
    }

    /// A record.
    public struct Place: Sendable, Codable, Hashable {
        /// The split.
        public var split: DataSplit
        /// The number of the record as it is stored.
        public var record: Int
        /// The label; nil for a record with targets.
        public var label: Int?
        /// The name; nil where it is not known.
        public var name: String?
    }

    /// A record that was left out because it could not be decoded.
    public struct Corrupt: Sendable, Codable, Hashable {
        /// The name of the record.
        public var name: String
        /// The reason.
        public var reason: String
    }

    /// The sizes of the pictures before they were brought to one shape.
    public struct Sizes: Sendable, Codable, Hashable {
        /// The number of different sizes.
        public var count: Int
        /// The size with the fewest pixels.
        public var smallest: RecordSize
        /// The size with the most pixels.
        public var largest: RecordSize
        /// The most frequent size.
        public var usual: RecordSize
        /// The number of records of the most frequent size.
        public var usualCount: Int
    }

    /// The source, as the user wrote it.
    public var source: String
    /// The name of the data set.
    public var name: String
    /// The shape [C, H, W] of a record.
    public var shape: [Int]
    /// The type of the stored elements.
    public var dtype: DataSetDescription.ElementType
    /// The training records.
    public var training = Split()
    /// The test records.
    public var test = Split()
    /// The channels.
    public var channels: [Channel] = []
    /// Equal records.
    public var copies = Copies()
    /// The records that were left out.
    public var corrupt: [Corrupt] = []
    /// The sizes of the pictures; nil where records have no size of their own.
    public var sizes: Sizes?
    /// What the import noted, one line each.
    public var remarks: [String] = []
    /// What looks wrong, one line each, with what to do.
    public var warnings: [String] = []

    /// Reads a data set through.
    ///
    /// - Parameters:
    ///   - dataSet: the data set, without transformations.
    ///   - listing: the names of its records; nil where they are not known.
    ///   - facts: what the import noted.
    ///   - virtualWorkers: the number of virtual workers, for warnings.
    ///   - batchSize: the number of records of a step, for warnings.
    ///   - threadCount: the number of threads; nil for all processors.
    /// - Throws: the reason when records cannot be read.
    public init(
        _ dataSet: DataSet, listing: RecordListing? = nil, facts: DataImport.Facts? = nil,
        virtualWorkers: Int = 1, batchSize: Int = 1, threadCount: Int? = nil
    ) throws(DataError) {
        precondition(dataSet.transformations.isEmpty, "expected records as they are stored")
        let threadCount = threadCount ?? Parallel.processorCount
        let description = dataSet.description
        source = "\(dataSet.specification)"
        name = description.name
        shape = description.shape
        dtype = description.elementType
        let survey = try RecordSurvey(dataSet, threadCount: threadCount)
        training = try Self.split(.training, of: dataSet, survey.training.labels)
        test = try Self.split(.test, of: dataSet, survey.test.labels)
        channels = survey.channels
        // The names of a source that has changed since would be those of other records.
        let names = listing.flatMap { listing in
            DataSplit.allCases.allSatisfy {
                listing.recordCount($0) == description.recordCount($0)
            } ? listing : nil
        }
        copies = survey.copies(names: names, hasLabels: description.targetCount == nil)
        corrupt = (facts?.skipped ?? [:]).sorted { $0.key < $1.key }
            .map { Corrupt(name: $0.key, reason: $0.value) }
        remarks = facts?.remarks ?? listing?.remarks ?? []
        if let listing { sizes = Self.sizes(listing, threadCount) }
        warnings = warnings(
            virtualWorkers: virtualWorkers, batchSize: batchSize,
            isRepeated: dataSet.specification.options.union.contains { $0.weight > 1 })
    }

    // MARK: Parts

    private static func split(
        _ split: DataSplit, of dataSet: DataSet, _ labels: [Int32]
    ) throws(DataError) -> Split {
        let description = dataSet.description
        let partitions = split == .training ? dataSet.partitions : dataSet.testPartitions
        var result = Split()
        result.records = description.recordCount(split)
        result.partitions = partitions.count
        result.bytes = result.records * PartitionOutline(description).storedByteCount
        if let targetCount = description.targetCount {
            result.targets = try targetRanges(split, of: dataSet, targetCount)
            return result
        }
        let classCount = description.classCount
        var counts = [Int](repeating: 0, count: classCount)
        var places = counts
        for partition in partitions {
            var isThere = [Bool](repeating: false, count: classCount)
            for record in partition.recordRange {
                counts[Int(labels[record])] += 1
                isThere[Int(labels[record])] = true
            }
            for label in 0..<classCount where isThere[label] { places[label] += 1 }
        }
        result.classes = counts.indices.map { label in
            ClassCount(
                label: label,
                name: RecordListing.className(Int32(label), description.classNames),
                records: counts[label],
                share: result.records == 0 ? 0 : Double(counts[label]) / Double(result.records),
                partitions: places[label])
        }
        let present = counts.filter { $0 > 0 }
        if let most = present.max(), let least = present.min() {
            result.imbalance = Double(most) / Double(least)
        }
        return result
    }

    private static func targetRanges(
        _ split: DataSplit, of dataSet: DataSet, _ targetCount: Int
    ) throws(DataError) -> [TargetRange] {
        let count = dataSet.description.recordCount(split)
        guard count > 0 else { return [] }
        var ranges: [TargetRange] = []
        var start = 0
        while start < count {
            let block = start..<min(count, start + 65_536)
            for (index, value) in try dataSet.targets(split, range: block).enumerated() {
                let value = Double(value)
                let place = index % targetCount
                if ranges.count <= place {
                    ranges.append(TargetRange(minimum: value, mean: 0, maximum: value))
                }
                ranges[place].minimum = min(ranges[place].minimum, value)
                ranges[place].maximum = max(ranges[place].maximum, value)
                ranges[place].mean += value
            }
            start = block.upperBound
        }
        for place in ranges.indices { ranges[place].mean /= Double(count) }
        return ranges
    }

    private static func sizes(_ listing: RecordListing, _ threadCount: Int) -> Sizes? {
        var counts: [RecordSize: Int] = [:]
        for split in DataSplit.allCases {
            guard let sizes = listing.originalSizes(split, threadCount: threadCount) else {
                return nil
            }
            for case let size? in sizes { counts[size, default: 0] += 1 }
        }
        func precedes(_ one: RecordSize, _ two: RecordSize) -> Bool {
            (one.height * one.width, one.height) < (two.height * two.width, two.height)
        }
        let sorted = counts.keys.sorted(by: precedes)
        guard let smallest = sorted.first, let largest = sorted.last else { return nil }
        // The smaller one of several that are equally frequent.
        let usual = sorted.reduce(smallest) { counts[$1]! > counts[$0]! ? $1 : $0 }
        return Sizes(
            count: sorted.count, smallest: smallest, largest: largest, usual: usual,
            usualCount: counts[usual]!)
    }

    // MARK: Warnings

    private func warnings(
        virtualWorkers: Int, batchSize: Int, isRepeated: Bool
    ) -> [String] {
        var warnings = classWarnings()
        if test.records == 0 {
            warnings.append(
                "there are no test records, so nothing is evaluated; data.split takes some of the "
                    + "training records")
        }
        if training.records < virtualWorkers {
            warnings.append(
                "\(training.records) training records are fewer than the \(virtualWorkers) virtual "
                    + "workers; lower training.virtual-workers")
        } else if training.records < batchSize {
            warnings.append(
                "\(training.records) training records are fewer than a step's \(batchSize); lower "
                    + "training.batch-size")
        }
        if copies.across > 0 {
            warnings.append(
                "test records that are copies of training records: \(copies.across), so the test results "
                    + "are too good; filter: {unique: true} leaves copies out")
        }
        if copies.conflicts > 0 {
            warnings.append(
                "groups of equal records with different labels: \(copies.conflicts); look at the "
                    + "examples of copies")
        }
        if copies.training > 0, !isRepeated, copies.training * 100 >= training.records {
            warnings.append(
                "training records that are copies of others: \(copies.training); filter: {unique: "
                    + "true} leaves them out")
        }
        for (index, channel) in channels.enumerated() where channel.std == 0 {
            warnings.append(
                "channel \(index) has one value everywhere; normalize would divide by 0")
        }
        return warnings
    }

    private func classWarnings() -> [String] {
        guard !training.classes.isEmpty else { return [] }
        var warnings: [String] = []
        let present = training.classes.filter { $0.records > 0 }
        if present.count == 1 {
            warnings.append(
                "all training records are of one class, '\(present[0].name)'; there is nothing to "
                    + "learn")
        }
        func add(_ classes: [ClassCount], _ text: String) {
            guard let first = classes.first else { return }
            warnings.append(
                classes.count == 1
                    ? "class '\(first.name)' \(text)"
                    : "\(classes.count) classes, '\(first.name)' the first, each \(text)")
        }
        let pairs = zip(training.classes, test.classes)
        add(
            pairs.filter { $0.records == 0 && $1.records == 0 }.map(\.0),
            "has no records; filter.labels leaves it out")
        add(
            pairs.filter { $0.records == 0 && $1.records > 0 }.map(\.0),
            "has test records but no training records, so it cannot be learned")
        if test.records > 0 {
            add(
                pairs.filter { $0.records > 0 && $1.records == 0 }.map(\.0),
                "has training records but no test records, so it is not evaluated")
        }
        let few = training.classes.filter { count in
            Double(count.partitions)
                < Self.expectedPartitions(count.records, of: training.partitions) / 2
        }
        if !few.isEmpty {
            add(
                few,
                "is in \(few.map(\.partitions).max() ?? 0) or fewer of the \(training.partitions) "
                    + "partitions, so steps see few classes; write the set again from its source, "
                    + "which spreads the records")
        }
        if let imbalance = training.imbalance, imbalance >= 10 {
            warnings.append(
                "the largest class has \(Int(imbalance)) times the records of the smallest; "
                    + "training.loss: {class-weights: balanced} weighs them alike")
        }
        return warnings
    }

    /// Returns the number of partitions that a class of `count` records is expected in when its
    /// records are spread at random.
    private static func expectedPartitions(_ count: Int, of partitionCount: Int) -> Double {
        guard partitionCount > 0 else { return 0 }
        var (power, base, exponent) = (1.0, 1 - 1 / Double(partitionCount), count)
        while exponent > 0 {
            if exponent & 1 == 1 { power *= base }
            base *= base
            exponent >>= 1
        }
        return Double(partitionCount) * (1 - power)
    }

    // MARK: Texts

    /// The line of the run file's `data.transformations` that brings each channel to mean 0 and
    /// deviation 1.
    public var normalizeLine: String {
        func list(_ numbers: [Double]) -> String {
            "[\(numbers.map { "\(Float($0))" }.joined(separator: ", "))]"
        }
        return
            "- normalize: {mean: \(list(channels.map(\.mean))), std: \(list(channels.map(\.std)))}"
    }
}

extension PartitionOutline {
    /// The number of bytes that a record takes in a partition's file.
    var storedByteCount: Int { imageByteCount + answerByteCount }
}

extension Encodable {
    /// The value as JSON with sorted keys in snake case, on several lines.
    package var jsonText: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        guard let data = try? encoder.encode(self) else {
            preconditionFailure("a value of numbers and texts did not encode")
        }
        return String(decoding: data, as: UTF8.self)
    }
}
