import CounterRandom

/// Some records of a table, in an order of their own and with labels of their own. A record may occur
/// several times.
final class RecordView: RecordTable {
    let labels: [Int32]
    let targets: [Float]
    private let base: any RecordTable
    private let records: [Int]

    /// Creates a view.
    ///
    /// - Parameters:
    ///   - records: the numbers of the records in the table.
    ///   - labels: the label of each of them; nil to keep the table's.
    init(_ base: any RecordTable, _ records: [Int], labels: [Int32]? = nil) {
        self.base = base
        self.records = records
        if let labels {
            self.labels = labels
        } else {
            let known = base.labels
            self.labels = known.isEmpty ? [] : records.map { known[$0] }
        }
        let width = base.count == 0 ? 0 : base.targets.count / base.count
        let all = base.targets
        targets = width == 0 ? [] : records.flatMap { all[$0 * width..<($0 + 1) * width] }
    }

    var count: Int { records.count }
    func name(_ record: Int) -> String { base.name(records[record]) }
    func group(_ record: Int) -> String { base.group(records[record]) }
    func interval(_ record: Int) -> Range<Int>? { base.interval(records[record]) }
    func reader() -> any RecordReader { Reader(base.reader(), records) }

    private final class Reader: RecordReader {
        private let base: any RecordReader
        private let records: [Int]

        init(_ base: any RecordReader, _ records: [Int]) {
            self.base = base
            self.records = records
        }

        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            try base.read(records[record], into: elements)
        }
        func digest(_ record: Int) throws(DataError) -> [UInt8]? {
            try base.digest(records[record])
        }
        func originalSize(_ record: Int) throws(DataError) -> (height: Int, width: Int)? {
            try base.originalSize(records[record])
        }
        func takeRemarks() -> [String: Int] { base.takeRemarks() }
    }
}

/// The records of several tables, one table after the other.
final class RecordUnion: RecordTable {
    let labels: [Int32]
    let targets: [Float]
    private let tables: [any RecordTable]
    private let prefixes: [String]
    /// The number of each table's first record, and then the number of all records.
    private let starts: [Int]

    /// Creates the union of tables whose records have one shape.
    ///
    /// - Parameter prefixes: what is put before the names of each table's records.
    init(_ tables: [any RecordTable], prefixes: [String]) {
        self.tables = tables
        self.prefixes = prefixes
        labels = tables.flatMap(\.labels)
        targets = tables.flatMap(\.targets)
        starts = tables.reduce(into: [0]) { $0.append($0.last! + $1.count) }
    }

    var count: Int { starts.last! }

    private func place(_ record: Int) -> (table: Int, record: Int) {
        let table = starts.dropFirst().firstIndex { record < $0 }! - 1
        return (table, record - starts[table])
    }

    func name(_ record: Int) -> String {
        let place = place(record)
        return prefixes[place.table] + tables[place.table].name(place.record)
    }
    func group(_ record: Int) -> String {
        let place = place(record)
        return prefixes[place.table] + tables[place.table].group(place.record)
    }
    func interval(_ record: Int) -> Range<Int>? {
        let place = place(record)
        return tables[place.table].interval(place.record)
    }
    func reader() -> any RecordReader { Reader(self) }

    private final class Reader: RecordReader {
        private let union: RecordUnion
        private let readers: [any RecordReader]

        init(_ union: RecordUnion) {
            self.union = union
            readers = union.tables.map { $0.reader() }
        }

        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            let place = union.place(record)
            try readers[place.table].read(place.record, into: elements)
        }
        func digest(_ record: Int) throws(DataError) -> [UInt8]? {
            let place = union.place(record)
            return try readers[place.table].digest(place.record)
        }
        func originalSize(_ record: Int) throws(DataError) -> (height: Int, width: Int)? {
            let place = union.place(record)
            return try readers[place.table].originalSize(place.record)
        }
        func takeRemarks() -> [String: Int] {
            readers.reduce(into: [:]) { $0.merge($1.takeRemarks(), uniquingKeysWith: +) }
        }
    }
}

extension RecordTable {
    /// Returns the records in an order drawn from their names alone. Records that are added later
    /// leave the order of the others as it is.
    func spread() -> [Int] {
        let keys = (0..<count).map { record in
            RecordHash.hash(name(record))
        }
        return keys.indices.sorted { (keys[$0], $0) < (keys[$1], $1) }
    }
}

/// Numbers that follow from the names and contents of records.
enum RecordHash {
    /// A hash of a text: FNV-1a of 64 bits, then SplitMix64's finalizer.
    ///
    /// Source: Fowler, Noll, Vo, RFC 9923.
    static func hash(_ text: String) -> UInt64 {
        mix64(text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 })
    }

    /// The first eight bytes of a digest as a number.
    static func number(_ digest: [UInt8]) -> UInt64 {
        digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Whether a number out of all 64-bit numbers is among the first `share` of them.
    static func isAmong(_ number: UInt64, first share: Double) -> Bool {
        Double(number >> 11) * 0x1p-53 < share
    }
}
