import CPictures

/// What a picture's file says of itself.
public struct Facts: Sendable, Hashable {
    /// A format of picture files that is read.
    public enum Format: String, Sendable, Hashable, CaseIterable {
        case jpeg
        case png
        case webp
    }

    /// The format that the file's first bytes show; its name plays no part.
    public let format: Format
    /// Pixels of a row of the file, before it is turned, cropped or resized.
    public let width: Int
    /// Rows of the file, before it is turned, cropped or resized.
    public let height: Int
    /// Numbers a pixel: grey 1, grey and alpha 2, colour or palette 3, colour and alpha or CMYK 4.
    public let channels: Int
    /// Bits a number (1, 2, 4, 8 or 16); of a palette, bits an index.
    public let bitDepth: Int
    /// The orientation that EXIF gives, 1 to 8; 1 where the file has none, and then the picture is
    /// upright as it is stored. XMP is not looked at.
    public let orientation: Int
    /// Whether the file has an alpha channel or transparent colours.
    public let hasAlpha: Bool
    /// Whether the file's pixels are numbers of colours.
    public let hasPalette: Bool
    /// Whether the file is a JPEG of four inks.
    public let isCMYK: Bool
    /// Whether the file is a progressive JPEG or an interlaced PNG.
    public let isProgressive: Bool
    /// Bytes within a JPEG that belong to nothing. Known after decoding; such a picture is shown by
    /// every program, but may be damaged.
    public let strayByteCount: Int

    init(_ facts: convoy_picture_facts) {
        format =
            switch UInt32(facts.format) {
            case CONVOY_PICTURE_JPEG.rawValue: .jpeg
            case CONVOY_PICTURE_PNG.rawValue: .png
            default: .webp
            }
        width = Int(facts.width)
        height = Int(facts.height)
        channels = Int(facts.channels)
        bitDepth = Int(facts.bit_depth)
        orientation = Int(facts.orientation)
        hasAlpha = facts.has_alpha != 0
        hasPalette = facts.has_palette != 0
        isCMYK = facts.is_cmyk != 0
        isProgressive = facts.is_progressive != 0
        strayByteCount = Int(facts.stray_byte_count)
    }
}
