import Checksums
import SafeTensors

/// A partition whose file was compared with the manifest and is on a disk. Its labels or targets are
/// in memory, its images are not.
final class CheckedPartition: Sendable {
    let answers: RecordAnswers
    let layout: PartitionManifest.Layout
    private let byteCount: Int
    /// What the system said of the file when it was compared; nil for a file whose name is its
    /// SHA-256.
    private let stamp: ReadOnlyFile.Stamp?
    private let sha256: String

    /// Compares a file with its manifest. The file is read once, slice by slice.
    ///
    /// Memory: one slice, the header, and the labels or targets.
    ///
    /// - Throws: the disagreement, and `changed` when the file is written to meanwhile.
    init(
        _ file: ReadOnlyFile, _ reference: PartitionReference, manifest: PartitionManifest
    ) throws(DataError) {
        let entry = manifest.entry(reference)
        let header = try tensors { () throws(SafeTensorsError) in
            try SafeTensorsFile.readHeader(file)
        }
        let found = try file.sha256()
        guard found == entry.sha256 else { throw entry.mismatch(file: file.path, found: found) }
        layout = try manifest.layout(header, entry, file: file.path)
        answers = try manifest.answers(file, layout, entry)
        byteCount = file.byteCount
        sha256 = entry.sha256
        stamp = file.isNamed(entry.sha256) ? nil : file.stamp
        guard try isUnchanged(file) else { throw Self.changed(file.path) }
    }

    /// Takes what is to be kept of a partition that leaves memory.
    init(_ content: PartitionContent) {
        answers = content.answers
        layout = content.layout
        byteCount = content.byteCount
        stamp = content.stamp
        sha256 = content.sha256
    }

    /// Whether a file that was opened later is the one that was compared.
    func isOf(_ file: ReadOnlyFile) -> Bool {
        file.byteCount == byteCount && (file.stamp == stamp || file.isNamed(sha256))
    }

    /// Whether the open file is still as it was when it was compared.
    fileprivate func isUnchanged(_ file: ReadOnlyFile) throws(DataError) -> Bool {
        let now = try reading { () throws(SystemCallError) in try file.presentStamp() }
        // A file named by its SHA-256 is replaced as a whole, never written to. Its time is that of
        // its last use.
        return now == file.stamp || (now.byteCount == byteCount && file.isNamed(sha256))
    }

    /// The error for a file that is written to again and again.
    static func changed(_ path: String) -> DataError {
        DataError(
            .changed, file: path, what: "the file", expected: "the same while it is in use",
            found: "a change", advice: "start again when no other program writes to the data")
    }
}

/// A checked partition and its open file.
struct OpenPartition: Sendable {
    let partition: CheckedPartition
    let file: ReadOnlyFile

    /// Returns where the stored image `index` lies in the file.
    func place(_ index: Int, imageByteCount: Int) -> Range<Int> {
        let start = partition.layout.images.lowerBound + index * imageByteCount
        return start..<start + imageByteCount
    }

    /// Reads stored images from `index` on, as many as fill `buffer`.
    ///
    /// - Returns: false when the file was written to since it was compared with its SHA-256; the
    ///   buffer then holds nothing of use.
    func read(
        _ index: Int, imageByteCount: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(DataError) -> Bool {
        let offset = place(index, imageByteCount: imageByteCount).lowerBound
        let count = try reading { () throws(SystemCallError) in
            try file.read(into: buffer, at: offset)
        }
        // The system notes a change before it makes one, so that a change of what was read shows.
        return try partition.isUnchanged(file) && count == buffer.count
    }
}

extension ReadOnlyFile {
    /// The number of bytes that the system reads ahead of those that are hashed.
    private static let aheadByteCount = 4 << 20

    /// Returns the SHA-256 of the file in hexadecimal. The file is read slice by slice.
    func sha256() throws(DataError) -> String {
        var hash = SHA256()
        var failure: SystemCallError?
        var offset = 0
        withUnsafeTemporaryAllocation(byteCount: PartitionRendering.sliceByteCount, alignment: 64) {
            slice in
            willNeed(0..<min(Self.aheadByteCount, byteCount))
            while failure == nil {
                let ahead = offset + Self.aheadByteCount
                willNeed(min(ahead, byteCount)..<min(ahead + slice.count, byteCount))
                do throws(SystemCallError) {
                    let count = try read(into: slice, at: offset)
                    if count == 0 { return }
                    hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: slice[..<count]))
                    offset += count
                } catch {
                    failure = error
                }
            }
        }
        if let failure { throw DataError(reading: failure) }
        return hexadecimal(hash.finalize())
    }

    /// Whether the file's name is this SHA-256, as in the cache of streamed partitions.
    fileprivate func isNamed(_ sha256: String) -> Bool {
        path.hasSuffix("/\(sha256).safetensors")
    }
}

extension PartitionManifest {
    /// Reads the labels or targets of an open file, and checks them.
    ///
    /// - Throws: `truncated`, `labelOutOfRange`, `badTarget` or `badPartitionFile`.
    func answers(
        _ file: ReadOnlyFile, _ layout: Layout, _ entry: Entry
    ) throws(DataError) -> RecordAnswers {
        let bytes = try reading { () throws(SystemCallError) in
            try file.bytes(at: layout.answers.lowerBound, byteCount: layout.answers.count)
        }
        guard bytes.count == layout.answers.count else {
            throw DataError(
                .truncated, file: file.path, what: "labels or targets",
                expected: "\(layout.answers.count) bytes",
                found: "\(bytes.count)")
        }
        var answers: Result<RecordAnswers, DataError> = .success(RecordAnswers())
        bytes.withUnsafeBytes { buffer in
            do throws(DataError) {
                answers = .success(try self.answers(buffer, entry, file: file.path))
            } catch {
                answers = .failure(error)
            }
        }
        return try answers.get()
    }
}
