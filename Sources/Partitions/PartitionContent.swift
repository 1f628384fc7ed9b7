import SafeTensors

/// One partition file in memory whose header, labels or targets, and histogram were checked.
final class PartitionContent: Sendable {
    let answers: RecordAnswers
    /// The whole file.
    private let bytes: [UInt8]
    private let imagesOffset: Int
    let layout: PartitionManifest.Layout
    /// Whether the partition can be loaded again from a disk after it was dropped from memory.
    let isOnDisk: Bool
    /// What the system said of the file; nil for bytes from elsewhere.
    let stamp: ReadOnlyFile.Stamp?
    /// The SHA-256 of the file in hexadecimal.
    let sha256: String

    /// Checks a partition's file against its manifest.
    ///
    /// - Parameters:
    ///   - supplied: bytes that match the entry's SHA-256.
    ///   - reference: the partition.
    ///   - manifest: the manifest that lists the partition.
    init(
        _ supplied: SuppliedPartition, _ reference: PartitionReference,
        manifest: PartitionManifest
    ) throws(DataError) {
        let entry = manifest.entry(reference)
        let bytes = supplied.bytes
        let header = try tensors { () throws(SafeTensorsError) in
            try SafeTensorsFile.parseHeader(bytes, file: supplied.name)
        }
        let layout = try manifest.layout(header, entry, file: supplied.name)
        var answers: Result<RecordAnswers, DataError> = .success(RecordAnswers())
        bytes.withUnsafeBytes { buffer in
            let range = UnsafeRawBufferPointer(rebasing: buffer[layout.answers])
            do throws(DataError) {
                answers = .success(try manifest.answers(range, entry, file: supplied.name))
            } catch {
                answers = .failure(error)
            }
        }
        self.answers = try answers.get()
        self.bytes = bytes
        self.layout = layout
        isOnDisk = supplied.isOnDisk
        stamp = supplied.stamp
        sha256 = entry.sha256
        imagesOffset = layout.images.lowerBound
    }

    /// The size of the whole file in bytes.
    var byteCount: Int { bytes.count }

    /// Writes image `index` as Float to `floats`, [C, H, W].
    func image(
        _ index: Int, elementCount: Int, type: DataSetDescription.ElementType,
        into floats: UnsafeMutablePointer<Float>
    ) {
        bytes.withUnsafeBytes { buffer in
            let size = elementCount * type.byteCount
            let source = buffer.baseAddress! + imagesOffset + index * size
            decodeImage(source, elementCount: elementCount, type: type, into: floats)
        }
    }

    /// Calls `body` with the stored image `index`.
    func withImage(_ index: Int, byteCount: Int, _ body: (UnsafeRawPointer) -> Void) {
        bytes.withUnsafeBytes { body($0.baseAddress! + imagesOffset + index * byteCount) }
    }

    /// Returns the stored bytes of a range of images.
    func storedImages(_ range: Range<Int>, imageByteCount: Int) -> ArraySlice<UInt8> {
        let start = imagesOffset + range.lowerBound * imageByteCount
        return bytes[start..<start + range.count * imageByteCount]
    }
}

/// Converts one stored image to Float: bytes are divided by 255, floats are copied.
func decodeImage(
    _ source: UnsafeRawPointer, elementCount: Int, type: DataSetDescription.ElementType,
    into floats: UnsafeMutablePointer<Float>
) {
    switch type {
    case .U8:
        scalePixels(source.assumingMemoryBound(to: UInt8.self), into: floats, count: elementCount)
    case .F32:
        UnsafeMutableRawPointer(floats).copyMemory(from: source, byteCount: 4 * elementCount)
    }
}
