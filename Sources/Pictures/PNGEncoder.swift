import CPictures
import Glibc

/// Writes PNG files of 8 bits a number.
public enum PNGEncoder {
    /// Encodes pixels in shape [height, width, channels]; 1 channel is grey, 3 are RGB.
    ///
    /// Determinism: equal pixels give equal bytes with one version of libpng and zlib.
    public static func encode(width: Int, height: Int, channels: Int, pixels: [UInt8]) -> [UInt8] {
        precondition(
            (1...65_535).contains(width) && (1...65_535).contains(height),
            "expected sides of 1 to 65535 pixels, found \(width) by \(height)")
        precondition(channels == 1 || channels == 3, "expected 1 or 3 channels, found \(channels)")
        precondition(
            pixels.count == width * height * channels,
            "expected \(width * height * channels) bytes, found \(pixels.count)")
        var byteCount = 0
        // Safety: the C function returns memory of malloc with `byteCount` bytes, freed here.
        let bytes = convoy_picture_encode_png(
            Int32(width), Int32(height), Int32(channels), pixels, &byteCount)
        guard let bytes else { fatalError("no memory for a PNG of \(width) by \(height) pixels") }
        defer { free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: byteCount))
    }
}
