import SafeTensors

/// One partition file in memory, checked: header, labels, histogram.
final class PartitionContent: Sendable {
    let labels: [Int32]
    /// The whole file.
    private let bytes: [UInt8]
    private let imagesOffset: Int
    let layout: PartitionManifest.Layout
    /// Dropped from memory it can be loaded again from a disk.
    let isOnDisk: Bool

    /// - Parameter supplied: bytes that match the entry's SHA-256.
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
        var labels: Result<[Int32], DataError> = .success([])
        bytes.withUnsafeBytes { buffer in
            let range = UnsafeRawBufferPointer(rebasing: buffer[layout.labels])
            do throws(DataError) {
                labels = .success(try manifest.labels(range, entry, file: supplied.name))
            } catch {
                labels = .failure(error)
            }
        }
        self.labels = try labels.get()
        self.bytes = bytes
        self.layout = layout
        isOnDisk = supplied.isOnDisk
        imagesOffset = layout.images.lowerBound
    }

    var byteCount: Int { bytes.count }

    /// Writes one image as Float.
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

    func storedImages(_ range: Range<Int>, imageByteCount: Int) -> ArraySlice<UInt8> {
        let start = imagesOffset + range.lowerBound * imageByteCount
        return bytes[start..<start + range.count * imageByteCount]
    }
}

/// One stored image as Float: bytes divided by 255, floats as they are.
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
