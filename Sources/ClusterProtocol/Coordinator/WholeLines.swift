/// The complete lines of a file that grows by whole lines: those that end in a newline.
///
/// A crash leaves a prefix of the last write. The bytes behind the last newline were never promised to
/// any process, however much they look like a line. Readers ignore these bytes, and the next writer
/// cuts them off.
public struct WholeLines: Sendable {
    private static let newline = UInt8(ascii: "\n")

    /// The lines in the order of the file, without their newlines.
    public let lines: [ArraySlice<UInt8>]
    /// The length of the complete lines in bytes, which is the offset of the next line.
    public let byteCount: Int

    /// Splits a file's bytes into lines.
    public init(_ bytes: [UInt8]) {
        byteCount = bytes.lastIndex(of: Self.newline).map { $0 + 1 } ?? 0
        let whole = bytes[..<byteCount].dropLast()
        lines =
            byteCount == 0
            ? [] : whole.split(separator: Self.newline, omittingEmptySubsequences: false)
    }
}
