import Glibc

/// The four IDX files of the MNIST family, plain or gzip. Both spellings of the names are accepted:
/// `train-images-idx3-ubyte` and `train-images.idx3-ubyte`; and EMNIST's names, for instance
/// `emnist-letters-train-images-idx3-ubyte`. EMNIST stores its images transposed, and they stay so.
///
/// Format: a big-endian magic number (0x803 for images, 0x801 for labels), one 32-bit count for
/// each dimension, then bytes.
/// Source: LeCun, Cortes, Burges, "The MNIST database", section "File formats".
struct IDXSource: BytesSource {
    static let scheme = "idx"
    static let form = "idx:DIR"
    static let summary = "IDX files in the format of MNIST or EMNIST"

    let name: String
    let classCount: Int?
    let classNames: [String]?
    private let directory: String

    /// Creates a source that reads from any directory. The labels decide the number of classes,
    /// except for EMNIST.
    init(_ specification: DataSpecification) {
        directory = specification.location
        name = directory.split(separator: "/").last.map(String.init) ?? "idx"
        let set = (try? IDXFiles(directory: directory))?.emnist
        classNames = set?.classNames
        classCount = classNames?.count
    }

    func stream(_ split: DataSplit) throws(DataError) -> any RecordStream {
        try IDXFiles(directory: directory).stream(split, mayLackTest: true)
    }

    func remarks() throws(DataError) -> [String] {
        let files = try IDXFiles(directory: directory)
        guard try files.countFromOne() else { return [] }
        return ["\(directory): the labels count from 1, so 1 was taken from each"]
    }
}

/// The sets of EMNIST, by the names of their files.
///
/// Source: Cohen, Afshar, Tapson, van Schaik, "EMNIST: an extension of MNIST to handwritten
/// letters" (2017), table II and figure 2; the mapping files that lie beside the data.
enum EMNISTSet: String, CaseIterable {
    case balanced, byclass, bymerge, digits, letters, mnist

    /// The characters of the labels, in order.
    var classNames: [String] {
        let digits = "0123456789"
        let capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        let characters =
            switch self {
            case .digits, .mnist: digits
            case .letters: capitals
            case .byclass: digits + capitals + "abcdefghijklmnopqrstuvwxyz"
            // Small letters that look like their capitals are one class with them.
            case .balanced, .bymerge: digits + capitals + "abdefghnqrt"
            }
        return characters.map(String.init)
    }

    func prefix(_ split: DataSplit) -> String {
        "emnist-\(rawValue)-\(split == .training ? "train" : "test")"
    }
}

/// The four IDX files of a directory.
struct IDXFiles {
    let directory: String
    /// The set of EMNIST whose files these are; nil for names like MNIST's.
    let emnist: EMNISTSet?

    /// Looks for the files.
    ///
    /// - Throws: `unreadable` when several sets of EMNIST lie in the directory.
    init(directory: String) throws(DataError) {
        let sets = EMNISTSet.allCases.filter {
            Self.find(directory, "\($0.prefix(.training))-images", rank: 3) != nil
        }
        let isMNIST = Self.find(directory, "train-images", rank: 3) != nil
        guard isMNIST || sets.count < 2 else {
            throw DataError(
                .unreadable, file: directory, what: "sets of EMNIST", expected: "one",
                found: "\(sets.count): \(sets.map(\.rawValue).joined(separator: ", "))",
                advice: "give a directory with the files of one set")
        }
        self.directory = directory
        emnist = isMNIST ? nil : sets.first
    }

    private func prefix(_ split: DataSplit) -> String {
        emnist?.prefix(split) ?? (split == .training ? "train" : "t10k")
    }

    /// Opens a split for reading.
    ///
    /// - Parameter mayLackTest: whether a directory without test files has no test records.
    func stream(_ split: DataSplit, mayLackTest: Bool) throws(DataError) -> any RecordStream {
        let prefix = prefix(split)
        if split == .test, mayLackTest, lacksTest {
            return EmptyRecordStream(
                shape: try stream(.training, mayLackTest: true).shape, place: directory)
        }
        return try IDXRecordStream(
            images: ByteStream(path: locate("\(prefix)-images", rank: 3)),
            labels: ByteStream(path: locate("\(prefix)-labels", rank: 1)),
            firstLabel: countFromOne() ? 1 : 0, mayBeEmpty: split == .test)
    }

    private var lacksTest: Bool {
        let prefix = prefix(.test)
        return Self.find(directory, "\(prefix)-images", rank: 3) == nil
            && Self.find(directory, "\(prefix)-labels", rank: 1) == nil
    }

    /// Whether the labels count from 1: those of EMNIST's letters do, unless one of them is 0.
    func countFromOne() throws(DataError) -> Bool {
        guard emnist == .letters else { return false }
        for split in DataSplit.allCases where split == .training || !lacksTest {
            let labels = try ByteStream(path: locate("\(prefix(split))-labels", rank: 1))
            _ = try labels.bytes(8, what: "IDX header")
            let buffer = UnsafeMutableRawBufferPointer.allocate(
                byteCount: 64 << 10, alignment: 16)
            defer { buffer.deallocate() }
            while true {
                let count = try labels.read(into: buffer)
                if buffer[..<count].contains(0) { return false }
                if count < buffer.count { break }
            }
        }
        return true
    }

    /// Returns the path of the file with this stem, in any spelling, plain or gzip; nil when there
    /// is no such file.
    private static func find(_ directory: String, _ stem: String, rank: Int) -> String? {
        for separator in ["-", "."] {
            for ending in ["", ".gz"] {
                let path = "\(directory)/\(stem)\(separator)idx\(rank)-ubyte\(ending)"
                if access(path, F_OK) == 0 { return path }
            }
        }
        return nil
    }

    /// Returns the path of the file with this stem, or throws `unreadable`.
    private func locate(_ stem: String, rank: Int) throws(DataError) -> String {
        if let path = Self.find(directory, stem, rank: rank) { return path }
        try requireDirectory(directory, holding: "the IDX files of a data set")
        throw DataError(
            .unreadable, file: directory, what: "missing IDX file",
            expected: "\(stem)-idx\(rank)-ubyte or .idx\(rank)-ubyte, plain or .gz",
            found: "neither")
    }
}

/// Reads the records of one pair of IDX files: images and labels.
final class IDXRecordStream: RecordStream {
    let shape: [Int]
    let recordCount: Int
    let segments: [SourceSegment]
    private let images: ByteStream
    private let labels: ByteStream
    private let firstLabel: UInt8

    /// Reads and checks the headers.
    ///
    /// - Parameter firstLabel: the stored label of class 0.
    init(
        images: ByteStream, labels: ByteStream, firstLabel: UInt8 = 0, mayBeEmpty: Bool = false
    ) throws(DataError) {
        let imageDimensions = try Self.dimensions(images, magic: 0x803, mayBeEmpty)
        let labelDimensions = try Self.dimensions(labels, magic: 0x801, mayBeEmpty)
        recordCount = imageDimensions[0]
        guard labelDimensions[0] == recordCount else {
            throw DataError(
                .sizeMismatch, file: labels.path, what: "labels for the images of \(images.path)",
                expected: "\(recordCount) records", found: "\(labelDimensions[0])",
                advice: "use the two files of one data set")
        }
        shape = [1, imageDimensions[1], imageDimensions[2]]
        self.images = images
        self.labels = labels
        self.firstLabel = firstLabel
        segments = [
            SourceSegment(file: images.path, labelFile: labels.path, recordCount: recordCount)
        ]
    }

    /// Reads and checks a header: the magic number, then `magic & 0xFF` dimensions.
    private static func dimensions(
        _ stream: ByteStream, magic: Int, _ mayBeEmpty: Bool
    ) throws(DataError) -> [Int] {
        let rank = magic & 0xFF
        let header = try stream.bytes(4 + 4 * rank, what: "IDX header")
        let words = (0...rank).map { word in
            header[4 * word..<4 * word + 4].reduce(0) { $0 << 8 | Int($1) }
        }
        guard words[0] == magic else {
            throw DataError(
                .wrongMagic, file: stream.path, what: "IDX magic number",
                expected: "0x\(String(magic, radix: 16))",
                found: "0x\(String(words[0], radix: 16))",
                advice: "check that the file is an IDX file of the kind its name says")
        }
        let dimensions = Array(words.dropFirst())
        guard dimensions[0] > 0 || mayBeEmpty else {
            throw DataError(
                .emptySet, file: stream.path, what: "record count", expected: "at least 1",
                found: "0")
        }
        var byteCount = 1
        // A file without records must still have image dimensions of at least 1.
        for dimension in [max(1, dimensions[0])] + dimensions.dropFirst() {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: dimension)
            byteCount = overflow ? Int.max : product
        }
        guard byteCount > 0 else {
            throw DataError(
                .sizeMismatch, file: stream.path, what: "IDX dimensions",
                expected: "all at least 1",
                found: "\(dimensions)")
        }
        if dimensions[0] == 0 { return dimensions }
        guard byteCount <= stream.maximumByteCount - header.count else {
            throw DataError(
                .truncated, file: stream.path, what: "records of dimensions \(dimensions)",
                expected: "\(byteCount) bytes",
                found: "at most \(stream.maximumByteCount - header.count)",
                advice: "fetch the file again")
        }
        return dimensions
    }

    func read(
        count: Int, images: UnsafeMutableRawPointer, labels: UnsafeMutablePointer<Int32>
    ) throws(DataError) {
        try self.images.fill(
            UnsafeMutableRawBufferPointer(start: images, count: count * imageByteCount),
            what: "images")
        // The label bytes are read into the last quarter of the labels' memory and widened in place
        // from the first label on.
        let bytes = UnsafeMutableRawPointer(labels) + 3 * count
        try self.labels.fill(
            UnsafeMutableRawBufferPointer(start: bytes, count: count), what: "labels")
        for index in 0..<count {
            let label = bytes.load(fromByteOffset: index, as: UInt8.self)
            // A label below the first one wraps around to one that is out of range.
            labels[index] = Int32(label &- firstLabel)
        }
    }

    func finish() throws(DataError) {
        try images.finish()
        try labels.finish()
    }
}
