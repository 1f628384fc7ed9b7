import FoundationEssentials
import SafeTensors

/// `manifest.json` of a partitioned directory; Spark, Python and Swift read and write it.
///
/// Keys that are not listed here are ignored.
public struct PartitionManifest: Sendable, Codable, Hashable {
    public static let fileName = "manifest.json"
    public static let format = "convoy-partitions"
    public static let version = 1
    /// A larger manifest is refused, in bytes.
    static let maximumByteCount = 64 << 20

    /// One partition's line.
    public struct Entry: Sendable, Codable, Hashable {
        /// Below the manifest's directory.
        public var file: String
        public var records: Int
        /// Records of each class.
        public var histogram: [Int]
        /// Of the whole file, in hexadecimal.
        public var sha256: String
    }

    public var format = Self.format
    public var version = Self.version
    public var name: String
    /// [C, H, W].
    public var shape: [Int]
    public var dtype: DataSetDescription.ElementType
    public var classes: Int
    public var training: [Entry]
    public var test: [Entry]

    public func entries(_ split: DataSplit) -> [Entry] { split == .training ? training : test }

    public func recordCount(_ split: DataSplit) -> Int {
        entries(split).reduce(0) { $0 + $1.records }
    }

    var elementCount: Int { shape.reduce(1, *) }

    init(
        name: String, shape: [Int], dtype: DataSetDescription.ElementType, classes: Int,
        training: [Entry], test: [Entry]
    ) {
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.classes = classes
        self.training = training
        self.test = test
    }

    /// Reads and checks everything but the partitions themselves.
    public static func read(path: String) throws(DataError) -> PartitionManifest {
        let file = try reading { () throws(SystemCallError) in try ReadOnlyFile(path: path) }
        guard file.byteCount <= maximumByteCount else {
            throw DataError(
                .badManifest, file: path, what: "size",
                expected: "at most \(maximumByteCount) bytes",
                found: "\(file.byteCount)")
        }
        let bytes = try reading { () throws(SystemCallError) in
            try file.bytes(at: 0, byteCount: file.byteCount)
        }
        return try parse(bytes, file: path)
    }

    /// The same from memory; `file` is only a name for errors.
    public static func parse(_ bytes: [UInt8], file: String) throws(DataError) -> PartitionManifest {
        let manifest: PartitionManifest
        do {
            manifest = try JSONDecoder().decode(PartitionManifest.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw DataError(
                .badManifest, file: file, what: "JSON", expected: "a manifest of format \(format)",
                found: error.oneLine)
        } catch {
            throw DataError(
                .badManifest, file: file, what: "JSON", expected: "a manifest of format \(format)",
                found: "\(error)")
        }
        try manifest.check(file: file)
        return manifest
    }

    func check(file: String) throws(DataError) {
        func require(
            _ condition: Bool, _ what: String, _ expected: String,
            _ found: @autoclosure () -> String
        ) throws(DataError) {
            guard condition else {
                throw DataError(
                    .badManifest, file: file, what: what, expected: expected, found: found())
            }
        }
        try require(
            format == Self.format && version == Self.version, "format and version",
            "\(Self.format) \(Self.version)", "\(format) \(version)")
        try require(
            shape.count == 3 && shape.allSatisfy { (1...65_535).contains($0) }
                && elementCount <= 1 << 28, "shape", "[C, H, W], each at least 1", "\(shape)")
        try require((1...65_536).contains(classes), "classes", "1 to 65536", "\(classes)")
        for split in DataSplit.allCases {
            var total = 0
            for entry in entries(split) {
                let place = "partition \(entry.file)"
                try require(
                    (0...1 << 40).contains(entry.records), "records of \(place)", "0 to 2^40",
                    "\(entry.records)")
                try require(
                    entry.histogram.count == classes
                        && entry.histogram.allSatisfy { (0...1 << 40).contains($0) }
                        && entry.histogram.reduce(0, +) == entry.records,
                    "histogram of \(place)", "\(classes) counts that add up to \(entry.records)",
                    "\(entry.histogram.count) counts")
                try require(
                    isSHA256(entry.sha256),
                    "sha256 of \(place)", "64 lower-case hexadecimal digits", "'\(entry.sha256)'")
                total += entry.records
                try require(
                    total <= 1 << 50, "records of the \(split) split", "at most 2^50", "more")
            }
            guard total > 0 || split == .test else {
                throw DataError(
                    .emptySet, file: file, what: "records of the \(split) split",
                    expected: "at least 1",
                    found: "0")
            }
        }
    }
}

/// 64 lower-case hexadecimal digits, and so no path that leads anywhere.
func isSHA256(_ text: String) -> Bool {
    text.utf8.count == 64
        && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
}

extension DecodingError {
    /// What is wrong and at which key.
    fileprivate var oneLine: String {
        func text(_ context: Context) -> String {
            let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }
            return "\(context.debugDescription) (at '\(path.joined(separator: "."))')"
        }
        return switch self {
        case .keyNotFound(let key, let context): "no key '\(key.stringValue)': \(text(context))"
        case .typeMismatch(_, let context), .valueNotFound(_, let context),
            .dataCorrupted(let context):
            text(context)
        @unknown default: "\(self)"
        }
    }
}
