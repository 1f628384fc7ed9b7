import Checksums

/// Records in memory, with elements of one byte.
final class MemoryTable: RecordTable {
    let labels: [Int32]
    let segments: [SourceSegment]
    private let bytes: [UInt8]
    private let recordByteCount: Int

    /// Creates a table.
    ///
    /// - Parameters:
    ///   - bytes: the records one after another, [count, C, H, W].
    ///   - labels: the labels, [count].
    ///   - segments: the files of the records, in order.
    init(bytes: [UInt8], labels: [Int32], recordByteCount: Int, segments: [SourceSegment]) {
        self.bytes = bytes
        self.labels = labels
        self.recordByteCount = recordByteCount
        self.segments = segments
    }

    var count: Int { labels.count }

    func name(_ record: Int) -> String {
        var local = record
        for segment in segments {
            if local < segment.recordCount {
                return "\(segment.file.split(separator: "/").last ?? "")#\(local)"
            }
            local -= segment.recordCount
        }
        return "#\(record)"
    }

    func reader() -> any RecordReader { Reader(self) }

    private final class Reader: RecordReader {
        private let table: MemoryTable

        init(_ table: MemoryTable) { self.table = table }

        func read(_ record: Int, into elements: UnsafeMutableRawPointer) throws(DataError) {
            let size = table.recordByteCount
            table.bytes.withUnsafeBytes {
                elements.copyMemory(from: $0.baseAddress! + record * size, byteCount: size)
            }
        }
    }
}

/// A source whose records are bytes in files of a fixed layout. Both splits are read from their
/// starts to their ends.
protocol BytesSource: RecordSource {
    var name: String { get }
    /// The number of classes; nil when the labels decide it.
    var classCount: Int? { get }
    /// The names of the classes; nil where they are not known.
    var classNames: [String]? { get }
    /// Opens a split for reading.
    func stream(_ split: DataSplit) throws(DataError) -> any RecordStream
    /// Returns notes for the user, one line each.
    func remarks() throws(DataError) -> [String]
}

extension BytesSource {
    static var isBytes: Bool { true }

    var classNames: [String]? { nil }

    func remarks() throws(DataError) -> [String] { [] }

    func files() throws(DataError) -> FileList {
        var names: [String] = []
        for split in DataSplit.allCases {
            for segment in try stream(split).segments where segment.recordCount > 0 {
                for file in [segment.file, segment.labelFile] where !names.contains(file) {
                    names.append(file)
                }
            }
        }
        return FileList(root: "", names: names)
    }

    func scan(_ files: FileList) throws(DataError) -> SourceScan { try read().scan }

    /// Reads both splits into memory.
    func read() throws(DataError) -> (scan: SourceScan, description: DataSetDescription) {
        let (training, trainingTable) = try SplitReader(self, .training).load()
        let (test, testTable) = try SplitReader(self, .test).load()
        let description = try description(training: training, test: test)
        var scan = SourceScan(
            name: name, shape: training.shape, classNames: classNames,
            classCount: description.classCount, training: trainingTable, test: testTable,
            isSpread: false)
        scan.remarks = try remarks()
        return (scan, description)
    }

    /// Reads both splits without keeping them.
    func describe() throws(DataError) -> DataSetDescription {
        let training = try SplitReader(self, .training).scan()
        let test = try SplitReader(self, .test).scan()
        return try description(training: training, test: test)
    }

    /// Returns the description of the source after both splits have been read.
    private func description(
        training: SplitSummary, test: SplitSummary
    ) throws(DataError) -> DataSetDescription {
        guard training.shape == test.shape else {
            throw DataError(
                .sizeMismatch, file: test.segments[0].file, what: "shape of the test images",
                expected: "\(training.shape), as in \(training.segments[0].file)",
                found: "\(test.shape)",
                advice: "use the files of one data set")
        }
        var lines = ["convoy-data 1", "U8 \(training.shape)"]
        for summary in [training, test] {
            lines.append("\(summary.recordCount) \(summary.digests.joined(separator: " "))")
        }
        let fingerprint = SHA256.hash(data: Array(lines.joined(separator: "\n").utf8))
        let classCount = classCount ?? max(1, training.histogram.count, test.histogram.count)
        let unused = [Int](repeating: 0, count: classCount - training.histogram.count)
        return DataSetDescription(
            name: name, shape: training.shape,
            classCount: classCount, classHistogram: training.histogram + unused,
            trainingCount: training.recordCount, testCount: test.recordCount, elementType: .U8,
            fingerprint: hexadecimal(fingerprint), classNames: classNames)
    }
}
