import Glibc

/// Reads the whole lines that were added to a file since the last read.
package struct FileTail {
    /// The most bytes of one read; the rest is left for the next one. A longer line is left out.
    package static let maximumByteCount = 4 << 20

    /// The path of the file.
    package let path: String
    private var offset = 0
    /// Whether the next bytes are the rest of a line that is too long.
    private var isInLongLine = false

    /// Creates a reader that begins at the start of the file.
    package init(_ path: String) { self.path = path }

    /// Returns the lines that were added since the last call, without their newlines.
    ///
    /// The list is empty when the file does not exist.
    package mutating func added() -> [Substring] {
        let size = FileSystem.byteCount(path)
        // A file that has become shorter belongs to a run that went on from an earlier step. It is
        // read from its start again.
        if size < offset {
            offset = 0
            isInLongLine = false
        }
        guard size > offset else { return [] }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: min(size - offset, Self.maximumByteCount))
        let count = pread(descriptor, &bytes, bytes.count, off_t(offset))
        guard count > 0 else { return [] }
        // The last line may be incomplete: the writer may still be at it.
        guard let end = bytes[..<count].lastIndex(of: UInt8(ascii: "\n")) else {
            if count == Self.maximumByteCount {
                offset += count
                isInLongLine = true
            }
            return []
        }
        offset += end + 1
        var whole = bytes[...end]
        if isInLongLine, let rest = whole.firstIndex(of: UInt8(ascii: "\n")) {
            whole = whole[(rest + 1)...]
            isInLongLine = false
        }
        return String(decoding: whole, as: UTF8.self).split(separator: "\n")
    }
}
