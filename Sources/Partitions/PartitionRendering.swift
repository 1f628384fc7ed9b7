import Checksums
import SafeTensors

/// A range of a data set's records as the bytes of a partition file, which are computed slice by
/// slice.
///
/// The labels or targets come before the images, because wider elements must come first and a label
/// or target is at least as wide as an image's element. Equal data gives equal bytes.
///
/// Memory: the bytes asked for. `entry(file:write:)` also holds the labels of the range.
struct PartitionRendering {
    /// The number of bytes that are hashed or written at a time.
    static let sliceByteCount = 1 << 20

    private let dataSet: DataSet
    private let split: DataSplit
    private let records: Range<Int>
    private let header: [UInt8]
    private let imageByteCount: Int
    /// The number of bytes of a record's label or targets.
    private let answerByteCount: Int

    /// Creates the rendering of records `records` of a split. No record is read yet.
    init(_ dataSet: DataSet, _ split: DataSplit, _ records: Range<Int>) throws(DataError) {
        let description = dataSet.description
        self.dataSet = dataSet
        self.split = split
        self.records = records
        let imageByteCount = description.elementCount * description.elementType.byteCount
        self.imageByteCount = imageByteCount
        let answerByteCount = 4 * (description.targetCount ?? 1)
        self.answerByteCount = answerByteCount
        header = try PartitionOutline(description).header(recordCount: records.count)
    }

    /// The length of the file in bytes.
    var byteCount: Int { header.count + records.count * (answerByteCount + imageByteCount) }

    /// Returns a range of the file's bytes, as offsets from its start.
    func bytes(_ range: Range<Int>) throws(DataError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(range.count)
        bytes += header[range.clamped(to: header.indices)]
        let images = header.count + answerByteCount * records.count
        bytes += try part(range, from: header.count, size: answerByteCount) {
            (records) throws(DataError) in
            let answers =
                dataSet.description.targetCount == nil
                ? try dataSet.labels(split, range: records).map { UInt32(bitPattern: $0) }
                : try dataSet.targets(split, range: records).map(\.bitPattern)
            return answers.map(\.littleEndian).withUnsafeBytes { [UInt8]($0) }
        }
        bytes += try part(range, from: images, size: imageByteCount) {
            (records) throws(DataError) in try dataSet.stored(split, range: records).images
        }
        return bytes
    }

    /// Returns the bytes that `range` covers of a section of the file. The section begins at offset
    /// `start` and has `size` bytes for each record.
    private func part(
        _ range: Range<Int>, from start: Int, size: Int,
        _ read: (Range<Int>) throws(DataError) -> [UInt8]
    ) throws(DataError) -> ArraySlice<UInt8> {
        let wanted = range.clamped(to: start..<start + size * records.count)
        guard !wanted.isEmpty else { return [] }
        let first = (wanted.lowerBound - start) / size
        let end = (wanted.upperBound - start - 1) / size + 1
        let all = try read(records.lowerBound + first..<records.lowerBound + end)
        let offset = start + first * size
        return all[wanted.lowerBound - offset..<wanted.upperBound - offset]
    }

    /// Returns the manifest's entry of the partition. Every byte of the file is computed once.
    ///
    /// - Parameters:
    ///   - file: the path of the file below the manifest's directory.
    ///   - write: receives the file's bytes in order, slice by slice.
    func entry(
        file: String, write: ([UInt8]) throws(DataError) -> Void
    ) throws(DataError) -> PartitionManifest.Entry {
        var histogram = [Int](repeating: 0, count: dataSet.description.classCount)
        if !histogram.isEmpty {
            for label in try dataSet.labels(split, range: records) { histogram[Int(label)] += 1 }
        }
        var hash = SHA256()
        var offset = 0
        while offset < byteCount {
            let slice = try bytes(offset..<min(byteCount, offset + Self.sliceByteCount))
            hash.update(data: slice)
            try write(slice)
            offset += slice.count
        }
        return PartitionManifest.Entry(
            file: file, records: records.count, histogram: histogram,
            sha256: hexadecimal(hash.finalize()))
    }

    /// Returns the name that this package gives to a partition's file.
    static func fileName(_ split: DataSplit, _ index: Int) -> String {
        let digits = String(index)
        let padding = String(repeating: "0", count: max(0, 5 - digits.count))
        return "\(split.rawValue)-\(padding)\(digits).safetensors"
    }

    /// Returns the number of partitions of the test split that makes its files about as large as
    /// those of the training split; 0 when the test split is empty.
    static func testPieceCount(
        trainingCount: Int, testCount: Int, trainingPieceCount: Int
    ) -> Int {
        let (scaled, overflow) = trainingPieceCount.multipliedReportingOverflow(by: testCount)
        let count = overflow ? 1 : max(1, (scaled - 1) / trainingCount + 1)
        return min(count, testCount)
    }
}
