import Glibc

/// Reads the whole lines that were added to a file since it was read last.
package struct FileTail {
    /// More than this at once is left for the next time.
    private static let maximumByteCount = 4 << 20

    package let path: String
    private var offset = 0

    package init(_ path: String) { self.path = path }

    package mutating func added() -> [Substring] {
        let size = FileSystem.byteCount(path)
        // Shorter than before: the run was taken up at an earlier step.
        if size < offset { offset = 0 }
        guard size > offset else { return [] }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: min(size - offset, Self.maximumByteCount))
        let count = pread(descriptor, &bytes, bytes.count, off_t(offset))
        // The last line may still be being written.
        guard count > 0,
            let end = bytes[..<count].lastIndex(of: UInt8(ascii: "\n"))
        else { return [] }
        offset += end + 1
        return String(decoding: bytes[...end], as: UTF8.self).split(separator: "\n")
    }
}
