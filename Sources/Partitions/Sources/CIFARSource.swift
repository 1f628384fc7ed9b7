import FoundationEssentials

/// CIFAR-10 in its binary form: each record is one label byte and 3 x 32 x 32 image bytes.
///
/// Every `data_batch_N.bin` in the directory is training data, in the order of N. `test_batch.bin`
/// is the test split and may be missing.
/// Source: Krizhevsky's page of the CIFAR-10 data set, section "Binary version".
struct CIFARSource: BytesSource {
    static let scheme = "cifar10"
    static let form = "cifar10:DIR"
    static let summary = "CIFAR-10 in its binary form"

    let name = "cifar10"
    let classCount: Int? = 10
    /// Source: Krizhevsky's page of the CIFAR-10 data set.
    let classNames: [String]? = [
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ]
    private let directory: String

    /// Creates the source. Its location is the directory of the batch files, or the one that
    /// contains `cifar-10-batches-bin`.
    init(_ specification: DataSpecification) {
        let directory = specification.location
        let inner = "\(directory)/cifar-10-batches-bin"
        self.directory = FileManager.default.fileExists(atPath: inner) ? inner : directory
    }

    func stream(_ split: DataSplit) throws(DataError) -> any RecordStream {
        guard split == .training else {
            guard FileManager.default.fileExists(atPath: "\(directory)/test_batch.bin") else {
                return EmptyRecordStream(shape: try stream(.training).shape, place: directory)
            }
            return try CIFARRecordStream(paths: ["\(directory)/test_batch.bin"])
        }
        try requireDirectory(directory, holding: "data_batch_N.bin")
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
            throw DataError(
                .unreadable, file: directory, what: "cannot list the directory",
                expected: "a directory with data_batch_N.bin", found: "nothing readable")
        }
        let batches = names.compactMap { name -> (Int, String)? in
            guard name.hasPrefix("data_batch_"), name.hasSuffix(".bin"),
                let number = Int(name.dropFirst(11).dropLast(4)), number >= 0
            else { return nil }
            return (number, name)
        }
        guard !batches.isEmpty else {
            throw DataError(
                .unreadable, file: directory, what: "missing CIFAR-10 batches",
                expected: "data_batch_1.bin and so on", found: "none",
                advice: "unpack cifar-10-binary.tar.gz there")
        }
        return try CIFARRecordStream(
            paths: batches.sorted { $0 < $1 }.map { "\(directory)/\($0.1)" })
    }
}

/// Reads the records of several batch files, one file after the other. A record is its label bytes
/// and 3 x 32 x 32 image bytes.
final class CIFARRecordStream: RecordStream {
    private static let chunkRecordCount = 64

    let shape = [3, 32, 32]
    let recordCount: Int
    let segments: [SourceSegment]
    private var streams: [ByteStream] = []
    private var segmentIndex = 0
    private var recordIndex = 0
    private let labelByteCount: Int
    private let labelOffset: Int
    private let recordByteCount: Int
    private let buffer: UnsafeMutableRawBufferPointer

    /// Opens the files.
    ///
    /// - Parameters:
    ///   - labelByteCount: the number of label bytes before an image.
    ///   - labelOffset: the place of the label among them.
    init(
        paths: [String], labelByteCount: Int = 1, labelOffset: Int = 0
    ) throws(DataError) {
        let recordByteCount = labelByteCount + 3 * 32 * 32
        var segments: [SourceSegment] = []
        for path in paths {
            let stream = try ByteStream(path: path)
            let byteCount = stream.maximumByteCount
            guard !stream.isCompressed, byteCount % recordByteCount == 0 else {
                throw DataError(
                    .sizeMismatch, file: path, what: "size of a batch of CIFAR records",
                    expected: "a multiple of \(recordByteCount) bytes",
                    found: stream.isCompressed ? "a gzip file" : "\(byteCount) bytes",
                    advice: stream.isCompressed ? "unpack it" : "fetch the file again")
            }
            guard byteCount > 0 else {
                throw DataError(
                    .emptySet, file: path, what: "record count", expected: "at least 1", found: "0")
            }
            segments.append(
                SourceSegment(
                    file: path, labelFile: path, recordCount: byteCount / recordByteCount))
            streams.append(stream)
        }
        self.segments = segments
        self.labelByteCount = labelByteCount
        self.labelOffset = labelOffset
        self.recordByteCount = recordByteCount
        recordCount = segments.reduce(0) { $0 + $1.recordCount }
        buffer = .allocate(byteCount: Self.chunkRecordCount * recordByteCount, alignment: 16)
    }

    deinit { buffer.deallocate() }

    func read(
        count: Int, images: UnsafeMutableRawPointer, labels: UnsafeMutablePointer<Int32>
    ) throws(DataError) {
        var done = 0
        while done < count {
            let left = segments[segmentIndex].recordCount - recordIndex
            let chunk = min(count - done, left, Self.chunkRecordCount)
            try streams[segmentIndex].fill(
                UnsafeMutableRawBufferPointer(rebasing: buffer[..<(chunk * recordByteCount)]),
                what: "records")
            for index in 0..<chunk {
                let record = buffer.baseAddress! + index * recordByteCount
                labels[done + index] = Int32(
                    record.load(fromByteOffset: labelOffset, as: UInt8.self))
                (images + (done + index) * imageByteCount).copyMemory(
                    from: record + labelByteCount, byteCount: imageByteCount)
            }
            done += chunk
            recordIndex += chunk
            if recordIndex == segments[segmentIndex].recordCount {
                segmentIndex += 1
                recordIndex = 0
            }
        }
    }

    func finish() throws(DataError) {
        for stream in streams { try stream.finish() }
    }
}
