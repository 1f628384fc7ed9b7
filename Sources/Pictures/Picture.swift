/// A picture as bytes, and what its file said.
public struct Picture: Sendable, Hashable {
    /// Pixels of a row.
    public let width: Int
    /// Rows.
    public let height: Int
    /// 1 (grey) or 3 (RGB).
    public let channels: Int
    /// Shape [height, width, channels].
    public let pixels: [UInt8]
    /// What the file says of itself.
    public let facts: Facts

    /// The pixels in shape [channels, height, width].
    public func planar() -> [UInt8] {
        guard channels > 1 else { return pixels }
        let count = width * height
        return [UInt8](unsafeUninitializedCapacity: pixels.count) { planes, initializedCount in
            for channel in 0..<channels {
                for index in 0..<count {
                    planes.initializeElement(
                        at: channel * count + index, to: pixels[index * channels + channel])
                }
            }
            initializedCount = pixels.count
        }
    }
}

/// The form of a picture in memory that the caller owns.
public struct PictureForm: Sendable, Hashable {
    /// Pixels of a row.
    public let width: Int
    /// Rows.
    public let height: Int
    /// 1 (grey) or 3 (RGB).
    public let channels: Int
    /// What the file says of itself.
    public let facts: Facts

    /// Bytes of the picture.
    public var byteCount: Int { width * height * channels }
}
