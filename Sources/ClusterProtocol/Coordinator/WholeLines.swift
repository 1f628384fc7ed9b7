/// The lines of a file that grows by whole lines: those whose newline is there.
///
/// A crash leaves a prefix of the last write. What stands behind the last newline was never
/// promised to anyone, however much it looks like a line: nobody reads it, and whoever appends cuts
/// it off.
public struct WholeLines: Sendable {
    private static let newline = UInt8(ascii: "\n")

    /// In the order of the file, without their newlines.
    public let lines: [ArraySlice<UInt8>]
    /// Where the next line is to begin.
    public let byteCount: Int

    public init(_ bytes: [UInt8]) {
        byteCount = bytes.lastIndex(of: Self.newline).map { $0 + 1 } ?? 0
        let whole = bytes[..<byteCount].dropLast()
        lines =
            byteCount == 0
            ? [] : whole.split(separator: Self.newline, omittingEmptySubsequences: false)
    }
}
