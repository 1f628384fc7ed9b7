import Checksums

/// The properties of a split that reading it to its end shows.
struct SplitSummary {
    let shape: [Int]
    let recordCount: Int
    /// The number of records of each label, up to the largest label.
    let histogram: [Int]
    /// The SHA-256 of all images and the SHA-256 of all labels, in hexadecimal.
    let digests: [String]
    let segments: [SourceSegment]
}

/// Reads a split block by block. Each block's labels are checked and its bytes hashed while they
/// are in the processor's cache.
struct SplitReader {
    /// The size of a block of images in bytes.
    static let chunkByteCount = 256 << 10

    private let stream: any RecordStream
    /// The bound that every label must be below.
    private let labelBound: Int

    /// Opens a split of a source.
    init(_ source: any BytesSource, _ split: DataSplit) throws(DataError) {
        stream = try source.stream(split)
        labelBound = source.classCount ?? 256
    }

    var shape: [Int] { stream.shape }
    var recordCount: Int { stream.recordCount }
    private var chunkRecordCount: Int { max(1, Self.chunkByteCount / stream.imageByteCount) }

    /// Reads the whole split and keeps only its summary.
    func scan() throws(DataError) -> SplitSummary {
        let count = min(chunkRecordCount, recordCount)
        let images = UnsafeMutableRawPointer.allocate(
            byteCount: max(1, count) * stream.imageByteCount, alignment: 16)
        let labels = UnsafeMutablePointer<Int32>.allocate(capacity: max(1, count))
        defer {
            images.deallocate()
            labels.deallocate()
        }
        return try run(images: images, labels: labels, keeping: false)
    }

    /// Reads the whole split into memory.
    func load() throws(DataError) -> (summary: SplitSummary, table: MemoryTable) {
        var result: Result<SplitSummary, DataError>?
        var labels: [Int32] = []
        let images = [UInt8](
            unsafeUninitializedCapacity: max(1, recordCount) * stream.imageByteCount
        ) { images, imageCount in
            labels = [Int32](unsafeUninitializedCapacity: max(1, recordCount)) { labels, labelCount in
                do throws(DataError) {
                    let summary = try run(
                        images: UnsafeMutableRawPointer(images.baseAddress!),
                        labels: labels.baseAddress!, keeping: true)
                    result = .success(summary)
                    imageCount = recordCount * stream.imageByteCount
                    labelCount = recordCount
                } catch {
                    result = .failure(error)
                    (imageCount, labelCount) = (0, 0)
                }
            }
        }
        return (
            try result!.get(),
            MemoryTable(
                bytes: images, labels: labels, recordByteCount: stream.imageByteCount,
                segments: stream.segments)
        )
    }

    /// Reads the whole split. With `keeping` the memory holds all records, otherwise one block that
    /// is overwritten again and again.
    private func run(
        images: UnsafeMutableRawPointer, labels: UnsafeMutablePointer<Int32>, keeping: Bool
    ) throws(DataError) -> SplitSummary {
        var imageHash = SHA256()
        var labelHash = SHA256()
        var histogram: [Int] = []
        var done = 0
        while done < recordCount {
            let count = min(chunkRecordCount, recordCount - done)
            let position = keeping ? done : 0
            let chunk = images + position * stream.imageByteCount
            let chunkLabels = labels + position
            try stream.read(count: count, images: chunk, labels: chunkLabels)
            for index in 0..<count {
                let label = Int(chunkLabels[index])
                if label >= labelBound { throw labelError(record: done + index, label: label) }
                while histogram.count <= label { histogram.append(0) }
                histogram[label] += 1
            }
            imageHash.update(
                bufferPointer: UnsafeRawBufferPointer(
                    start: chunk, count: count * stream.imageByteCount))
            labelHash.update(
                bufferPointer: UnsafeRawBufferPointer(start: chunkLabels, count: 4 * count))
            done += count
        }
        try stream.finish()
        return SplitSummary(
            shape: shape, recordCount: recordCount, histogram: histogram,
            digests: [hexadecimal(imageHash.finalize()), hexadecimal(labelHash.finalize())],
            segments: stream.segments)
    }

    /// Returns the error for a label that is out of range, with the record's number within its
    /// file.
    private func labelError(record: Int, label: Int) -> DataError {
        var local = record
        var file = ""
        for segment in stream.segments {
            file = segment.labelFile
            if local < segment.recordCount { break }
            local -= segment.recordCount
        }
        return DataError(
            .labelOutOfRange, file: file, what: "label of record \(local)",
            expected: "0 to \(labelBound - 1)", found: "\(label)", advice: "fetch the file again")
    }
}
