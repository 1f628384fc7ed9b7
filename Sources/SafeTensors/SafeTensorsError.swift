/// The reason why a safetensors file could not be read or written.
public struct SafeTensorsError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of a safetensors error.
    public enum Kind: Sendable, Hashable {
        /// The operating system refused: no such file, no permission or a full disk.
        case inputOutput
        /// The file is shorter than its own header says.
        case truncated
        /// The file is longer than its own header says.
        case trailingBytes
        /// The header's length or text is not what the format allows.
        case malformedHeader
        /// A name appears twice, or a tensor to write has the reserved name `__metadata__`.
        case duplicateName
        /// The header names a data type that Convoy does not know.
        case unknownDataType
        /// Byte offsets overlap, leave a hole, run backwards, or are not aligned to the elements.
        case badOffsets
        /// Bytes, shape and data type do not agree.
        case sizeMismatch
        /// The file holds no tensor with the name asked for.
        case missingTensor
        /// The tensor has another data type than the caller asked for.
        case wrongDataType
    }

    /// The kind of the error.
    public let kind: Kind
    /// The path of the file, or a name for bytes in memory.
    public let file: String
    /// The thing that is wrong, as a noun phrase or a short clause.
    public let what: String
    /// The value or state that was expected.
    public let expected: String
    /// The value or state that was found.
    public let found: String

    /// Creates an error from its parts.
    public init(_ kind: Kind, file: String, what: String, expected: String, found: String) {
        self.kind = kind
        self.file = file
        self.what = what
        self.expected = expected
        self.found = found
    }

    /// Creates an `inputOutput` error from a failed system call.
    init(_ error: SystemCallError) {
        self.init(
            .inputOutput, file: error.path, what: "cannot \(error.action) the file",
            expected: "success", found: error.reason)
    }

    /// One line of text: file, what is wrong, expected and found.
    public var description: String {
        "\(file): \(what): expected \(expected), found \(found)"
    }
}
