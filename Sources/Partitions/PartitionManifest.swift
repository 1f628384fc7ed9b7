import FoundationEssentials
import SafeTensors

/// The contents of `manifest.json` in a partitioned directory. Spark, Python and Swift read and
/// write it.
///
/// Keys that are not listed here are ignored.
public struct PartitionManifest: Sendable, Codable, Hashable {
    /// The name of the manifest's file.
    public static let fileName = "manifest.json"
    /// The format's name, which every manifest must give.
    public static let format = "convoy-partitions"
    /// The format's version, which every manifest must give.
    public static let version = 1
    /// The largest size of a manifest that is read, in bytes.
    static let maximumByteCount = 64 << 20

    /// The manifest's entry for one partition.
    public struct Entry: Sendable, Codable, Hashable {
        /// The path of the file below the manifest's directory.
        public var file: String
        /// The number of records in the partition.
        public var records: Int
        /// The number of records of each class; empty, and may be left out, for records with
        /// targets.
        public var histogram: [Int]
        /// The SHA-256 of the whole file, as 64 lower-case hexadecimal digits.
        public var sha256: String
    }

    /// The name of the format; a valid manifest has `PartitionManifest.format`.
    public var format = Self.format
    /// The version of the format; a valid manifest has `PartitionManifest.version`.
    public var version = Self.version
    /// The name of the data set.
    public var name: String
    /// The shape [C, H, W] of one image.
    public var shape: [Int]
    /// The type in which the images are stored.
    public var dtype: DataSetDescription.ElementType
    /// The number of classes; 0, and may be left out, for records with targets.
    public var classes: Int
    /// The names of the classes, in the order of the labels; nil, and may be left out, where they are
    /// not known.
    public var classNames: [String]?
    /// The number of targets of a record; nil for records with labels.
    public var targets: Int?
    /// The partitions of the training split, in record order.
    public var training: [Entry]
    /// The partitions of the test split, in record order.
    public var test: [Entry]

    private enum CodingKeys: String, CodingKey {
        case format, version, name, shape, dtype, classes, targets, training, test
        case classNames = "class_names"
    }

    /// Returns the entries of a split's partitions.
    public func entries(_ split: DataSplit) -> [Entry] { split == .training ? training : test }

    /// Returns the number of records in a split.
    public func recordCount(_ split: DataSplit) -> Int {
        entries(split).reduce(0) { $0 + $1.records }
    }

    /// The number of elements in one image, C · H · W.
    var elementCount: Int { shape.reduce(1, *) }

    init(
        name: String, shape: [Int], dtype: DataSetDescription.ElementType, classes: Int,
        classNames: [String]? = nil, targets: Int? = nil, training: [Entry], test: [Entry]
    ) {
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.classes = classes
        self.classNames = classNames
        self.targets = targets
        self.training = training
        self.test = test
    }

    /// Reads a manifest's file and checks everything but the partitions' files.
    ///
    /// - Throws: `unreadable` when the file cannot be read, and what `parse(_:file:)` throws.
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

    /// Parses a manifest from memory and checks everything but the partitions' files.
    ///
    /// - Parameters:
    ///   - bytes: the JSON.
    ///   - file: the name of the file, for errors.
    /// - Throws: `badManifest` when the manifest is malformed or contradicts itself; `emptySet`
    ///   when there are no training records.
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

    /// Checks format, shape, classes and entries.
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
        if let targets {
            try require((1...65_536).contains(targets), "targets", "1 to 65536", "\(targets)")
            try require(
                classes == 0, "classes", "none, since the records have targets", "\(classes)")
        } else {
            try require((1...65_536).contains(classes), "classes", "1 to 65536", "\(classes)")
        }
        if let classNames {
            try require(
                classNames.count == classes && Set(classNames).count == classes
                    && classNames.allSatisfy { !$0.isEmpty && $0.utf8.count <= 1024 },
                "class_names", "\(classes) different names", "\(classNames.count) names")
        }
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
                        && (targets != nil || entry.histogram.reduce(0, +) == entry.records),
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

extension PartitionManifest {
    /// Reads a manifest. Classes and histograms are missing for records with targets.
    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            name: try fields.decode(String.self, forKey: .name),
            shape: try fields.decode([Int].self, forKey: .shape),
            dtype: try fields.decode(DataSetDescription.ElementType.self, forKey: .dtype),
            classes: try fields.decodeIfPresent(Int.self, forKey: .classes) ?? 0,
            classNames: try fields.decodeIfPresent([String].self, forKey: .classNames),
            targets: try fields.decodeIfPresent(Int.self, forKey: .targets),
            training: try fields.decode([Entry].self, forKey: .training),
            test: try fields.decode([Entry].self, forKey: .test))
        format = try fields.decode(String.self, forKey: .format)
        version = try fields.decode(Int.self, forKey: .version)
    }

    /// The number of training records of each class; empty for records with targets.
    var classHistogram: [Int] {
        training.reduce(into: [Int](repeating: 0, count: classes)) { sums, entry in
            for (label, count) in entry.histogram.enumerated() { sums[label] += count }
        }
    }
}

extension PartitionManifest.Entry {
    /// Reads an entry. A histogram that is missing is empty.
    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            file: try fields.decode(String.self, forKey: .file),
            records: try fields.decode(Int.self, forKey: .records),
            histogram: try fields.decodeIfPresent([Int].self, forKey: .histogram) ?? [],
            sha256: try fields.decode(String.self, forKey: .sha256))
    }
}

/// Whether a text is 64 lower-case hexadecimal digits. Such a text cannot be a path that leads
/// elsewhere.
func isSHA256(_ text: String) -> Bool {
    text.utf8.count == 64
        && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
}

extension DecodingError {
    /// One line of text: what is wrong, and at which key.
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
