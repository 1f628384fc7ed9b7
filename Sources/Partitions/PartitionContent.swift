import Crypto
import SafeTensors

/// One partition file in memory, checked: SHA-256, header, labels, histogram.
final class PartitionContent: Sendable {
    let labels: [Int32]
    /// The whole file.
    private let bytes: [UInt8]
    private let imagesOffset: Int
    let layout: PartitionDirectory.Layout

    init(_ entry: PartitionManifest.Entry, of directory: PartitionDirectory) throws(DataError) {
        let file = try directory.open(entry)
        let bytes = try reading { () throws(SystemCallError) in
            try file.bytes(at: 0, byteCount: file.byteCount)
        }
        let digest = hexadecimal(SHA256.hash(data: bytes))
        let header = try tensors { () throws(SafeTensorsError) in
            try SafeTensorsFile.parseHeader(bytes, file: file.path)
        }
        guard digest == entry.sha256 else {
            throw DataError(
                .checksumMismatch, file: file.path, what: "SHA-256",
                expected: "the manifest's \(entry.sha256)", found: digest,
                advice: "copy the file again; it changed after the manifest was written")
        }
        let layout = try directory.layout(header, entry, file: file.path)
        var labels: Result<[Int32], DataError> = .success([])
        bytes.withUnsafeBytes { buffer in
            let range = UnsafeRawBufferPointer(rebasing: buffer[layout.labels])
            do throws(DataError) {
                labels = .success(try directory.labels(range, entry, file: file.path))
            } catch {
                labels = .failure(error)
            }
        }
        self.labels = try labels.get()
        self.bytes = bytes
        self.layout = layout
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
