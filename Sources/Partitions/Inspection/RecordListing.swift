/// The records of a data set with their names, in the order of the source.
///
/// The records are those that the options leave. None is decoded, but where an option needs its
/// contents, as `split` by hash does.
///
/// Threading: any thread.
public struct RecordListing: Sendable {
    /// One record.
    public struct Record: Sendable, Hashable {
        /// The split of the record.
        public var split: DataSplit
        /// The number of the record in the source's order of its split.
        public var number: Int
        /// The number of the record in its split as it is stored: that which all readers of the
        /// data set use. Test records are stored in the source's order.
        public var stored: Int
        /// The label; nil for a record with targets.
        public var label: Int32?
        /// The targets; none for a record with a label.
        public var targets: [Float]
        /// The name, unique within the data set: a path below the source's directory, or a file's
        /// name and the number of the record, as in "train.csv#17".
        public var name: String
    }

    /// The records of a split.
    private struct Split: Sendable {
        let table: any RecordTable
        /// The numbers of the records in the table, in the source's order.
        let records: [Int]
        /// The number of each of them as it is stored.
        let stored: [Int]
        /// The inverse: the place in `records` of each stored record.
        let places: [Int]
    }

    /// The names of the classes, in the order of the labels; nil where they are not known.
    public let classNames: [String]?
    /// The number of targets of a record; nil for records with labels.
    public let targetCount: Int?
    /// Notes of the source for the user, one line each.
    public let remarks: [String]
    private let training: Split
    private let test: Split

    /// Lists the records of a source.
    ///
    /// - Parameters:
    ///   - specification: the source.
    ///   - skipped: the names of the records that the import has left out.
    ///   - threadCount: the number of threads that read records; nil for all processors.
    /// - Throws: the reason when the source cannot be read or an option does not fit it.
    public init(
        _ specification: DataSpecification, skipped: Set<String> = [], threadCount: Int? = nil
    ) throws(DataError) {
        let source = try specification.source()
        let files = try source.files()
        let scan = try RecordSelection.select(
            try source.scan(files), specification,
            threadCount: threadCount ?? Parallel.processorCount)
        self.init(scan, remarks: files.remarks + scan.remarks, skipped: skipped)
    }

    init(_ scan: SourceScan, remarks: [String], skipped: Set<String>) {
        classNames = scan.classNames
        targetCount = scan.targetCount
        self.remarks = remarks
        training = Self.split(
            scan.training, order: scan.isSpread ? scan.training.spread() : nil, skipped)
        test = Self.split(scan.test, order: nil, skipped)
    }

    private static func split(
        _ table: any RecordTable, order: [Int]?, _ skipped: Set<String>
    ) -> Split {
        let isKept =
            skipped.isEmpty ? nil : (0..<table.count).map { !skipped.contains(table.name($0)) }
        func kept(_ numbers: [Int]) -> [Int] {
            guard let isKept else { return numbers }
            return numbers.filter { isKept[$0] }
        }
        let records = kept(Array(0..<table.count))
        guard let order else {
            let same = Array(records.indices)
            return Split(table: table, records: records, stored: same, places: same)
        }
        var storedNumbers = [Int](repeating: 0, count: table.count)
        for (stored, record) in kept(order).enumerated() { storedNumbers[record] = stored }
        let stored = records.map { storedNumbers[$0] }
        var places = [Int](repeating: 0, count: records.count)
        for (place, number) in stored.enumerated() { places[number] = place }
        return Split(table: table, records: records, stored: stored, places: places)
    }

    private func split(_ split: DataSplit) -> Split { split == .training ? training : test }

    /// Returns the number of records in a split.
    public func recordCount(_ split: DataSplit) -> Int { self.split(split).records.count }

    /// Returns a record by its number in the source's order.
    public func record(_ split: DataSplit, _ number: Int) -> Record {
        let part = self.split(split)
        let record = part.records[number]
        let width = targetCount ?? 0
        return Record(
            split: split, number: number, stored: part.stored[number],
            label: targetCount == nil ? part.table.labels[record] : nil,
            targets: width == 0
                ? [] : Array(part.table.targets[record * width..<(record + 1) * width]),
            name: part.table.name(record))
    }

    /// Returns the name of a record by its number as it is stored; nil for a number beyond the
    /// split.
    public func name(_ split: DataSplit, stored: Int) -> String? {
        let part = self.split(split)
        guard part.places.indices.contains(stored) else { return nil }
        return part.table.name(part.records[part.places[stored]])
    }

    /// Returns the name of a label: that of its class, or its number.
    public func className(_ label: Int32) -> String { Self.className(label, classNames) }

    static func className(_ label: Int32, _ names: [String]?) -> String {
        guard let names, names.indices.contains(Int(label)) else { return "\(label)" }
        return names[Int(label)]
    }

    /// Returns the sizes [H, W] that the records of a split had before they were brought to one
    /// shape, in the source's order; nil for one that cannot be read. Returns nil where records
    /// have no size of their own.
    func originalSizes(_ split: DataSplit, threadCount: Int) -> [RecordSize?]? {
        let part = self.split(split)
        guard !part.records.isEmpty else { return [] }
        func size(_ reader: any RecordReader, _ number: Int) -> RecordSize? {
            guard let size = try? reader.originalSize(part.records[number]) else { return nil }
            return RecordSize(height: size.height, width: size.width)
        }
        let first = part.table.reader()
        // A first record that cannot be read says nothing of the others.
        let hasSizes = (0..<min(16, part.records.count)).contains { size(first, $0) != nil }
        guard hasSizes else { return nil }
        return try? Parallel.map(
            part.records.count, threadCount: threadCount, { part.table.reader() },
            { (reader, number) throws(DataError) in
                guard let size = try? reader.originalSize(part.records[number]) else { return nil }
                return RecordSize(height: size.height, width: size.width)
            })
    }
}

/// The height and width of a picture in pixels.
public struct RecordSize: Sendable, Hashable, Codable {
    /// The number of rows.
    public var height: Int
    /// The number of columns.
    public var width: Int

    /// Creates a size.
    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }
}
