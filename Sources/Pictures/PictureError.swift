import CPictures

/// The reason why a picture cannot be used. The description is one line, without the file's name,
/// which the caller adds.
public struct PictureError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of an error, for code that reacts to some kinds.
    public enum Kind: Sendable, Hashable, CaseIterable {
        /// The file has no bytes.
        case empty
        /// The file's first bytes are those of no known format.
        case unknownFormat
        /// The file has a format that is not read, such as GIF, or is animated.
        case refusedFormat
        /// The file ends before the picture does.
        case truncated
        /// The file contradicts its format or its checksums.
        case damaged
        /// The file uses a part of its format that is not read, such as 12 bits a number.
        case unsupported
        /// The picture has more pixels than allowed.
        case tooLarge
        /// The JPEG has more scans than allowed.
        case tooManyScans
        /// The picture is a grey PNG of 16 bits, and the options do not say what to do with it.
        case sixteenBit
        /// The process has no memory for the picture.
        case noMemory
        /// An option or a size given by the caller does not fit.
        case badOption
    }

    /// The kind of the error.
    public let kind: Kind
    /// The thing that was expected.
    public let expected: String
    /// The thing that was found.
    public let found: String
    /// The place in the file, in bytes, where it is known.
    public let offset: Int?
    /// Advice on how to remove the cause; may be empty.
    public let advice: String

    init(_ failure: convoy_picture_failure) {
        kind =
            switch UInt32(failure.trouble) {
            case CONVOY_PICTURE_EMPTY.rawValue: .empty
            case CONVOY_PICTURE_UNKNOWN_FORMAT.rawValue: .unknownFormat
            case CONVOY_PICTURE_REFUSED_FORMAT.rawValue: .refusedFormat
            case CONVOY_PICTURE_TRUNCATED.rawValue: .truncated
            case CONVOY_PICTURE_UNSUPPORTED.rawValue: .unsupported
            case CONVOY_PICTURE_TOO_LARGE.rawValue: .tooLarge
            case CONVOY_PICTURE_TOO_MANY_SCANS.rawValue: .tooManyScans
            case CONVOY_PICTURE_SIXTEEN_BIT.rawValue: .sixteenBit
            case CONVOY_PICTURE_NO_MEMORY.rawValue: .noMemory
            case CONVOY_PICTURE_BAD_OPTION.rawValue: .badOption
            default: .damaged
            }
        expected = withUnsafeBytes(of: failure.expected, Self.text)
        found = withUnsafeBytes(of: failure.found, Self.text)
        advice = withUnsafeBytes(of: failure.advice, Self.text)
        offset = failure.offset < 0 ? nil : Int(failure.offset)
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        let text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        return String(text.map { $0.isNewline ? " " : $0 })
    }

    /// One line of text: expected, found, place and advice.
    public var description: String {
        let place = offset.map { " (byte \($0))" } ?? ""
        let text = "expected \(expected), found \(found)\(place)"
        return advice.isEmpty ? text : "\(text); \(advice)"
    }
}
