/// Why a safetensors file could not be read or written.
public struct SafeTensorsError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// The operating system refused: no such file, no permission, disk full.
        case inputOutput
        /// Shorter than its own header says.
        case truncated
        /// Longer than its own header says.
        case trailingBytes
        /// The header's length or text is not what the format allows.
        case malformedHeader
        case duplicateName
        case unknownDataType
        /// Byte offsets that overlap, leave a hole, run backwards or past the end.
        case badOffsets
        /// Bytes, shape and data type do not agree.
        case sizeMismatch
        case missingTensor
        /// The tensor holds another data type than the caller asked for.
        case wrongDataType
    }

    public let kind: Kind
    public let file: String
    public let what: String
    public let expected: String
    public let found: String

    public init(_ kind: Kind, file: String, what: String, expected: String, found: String) {
        self.kind = kind
        self.file = file
        self.what = what
        self.expected = expected
        self.found = found
    }

    init(_ error: SystemCallError) {
        self.init(
            .inputOutput, file: error.path, what: "cannot \(error.action) the file",
            expected: "success", found: error.reason)
    }

    public var description: String {
        "\(file): \(what): expected \(expected), found \(found)"
    }
}
