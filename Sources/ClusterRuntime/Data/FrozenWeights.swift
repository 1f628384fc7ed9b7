import Buffers
import Checksums
import Partitions

/// The frozen weights as the coordinator sends them: fp32, little-endian, and then the SHA-256 of
/// these bytes.
enum FrozenWeights {
    /// Returns the bytes to send.
    static func encode(_ weights: FloatBuffer) -> [UInt8] {
        let bytes = Array(weights.bytes)
        return bytes + SHA256.hash(data: bytes)
    }

    /// Returns the weights that were sent.
    ///
    /// - Throws: `checksumMismatch` when they are not as many as expected, or were damaged.
    static func decode(_ bytes: [UInt8], count: Int) throws(DataError) -> FloatBuffer {
        let weights = bytes.dropLast(SHA256.byteCount)
        guard weights.count == count * 4,
            SHA256.hash(data: weights) == Array(bytes.suffix(SHA256.byteCount))
        else {
            throw DataError(
                .checksumMismatch, file: "the frozen weights", what: "what the coordinator sent",
                expected: "\(count) numbers and their SHA-256", found: "\(bytes.count) bytes")
        }
        let buffer = FloatBuffer(count: count)
        weights.withUnsafeBytes { buffer.copy($0) }
        return buffer
    }
}
