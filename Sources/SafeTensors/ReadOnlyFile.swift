import Glibc

/// An open regular file that is only read, at offsets that the caller gives. The file is closed
/// with its last reference.
///
/// Threading: any thread, because `pread` moves no shared file position.
package final class ReadOnlyFile: Sendable {
    package let path: String
    /// The length of the file in bytes when it was opened.
    package let byteCount: Int
    private let descriptor: Int32

    /// Opens a file.
    ///
    /// - Throws: when the file cannot be opened or is not a regular file. Reading a pipe could wait
    ///   without limit.
    package init(path: String) throws(SystemCallError) {
        guard !path.utf8.contains(0) else {
            throw SystemCallError(path: path, action: "open", reason: "the path holds a NUL byte")
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw SystemCallError(path: path, action: "open") }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let error = SystemCallError(path: path, action: "examine")
            close(descriptor)
            throw error
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw SystemCallError(path: path, action: "read", reason: "it is no regular file")
        }
        self.path = path
        self.byteCount = Int(status.st_size)
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Reads from `offset` until `buffer` is full or the file ends, and returns the number of bytes
    /// read.
    package func read(
        into buffer: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(SystemCallError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress! + done, min(buffer.count - done, 1 << 30),
                off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemCallError(path: path, action: "read")
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Returns `byteCount` bytes from `offset`, or fewer when the file ends earlier.
    package func bytes(at offset: Int, byteCount: Int) throws(SystemCallError) -> [UInt8] {
        var failure: SystemCallError?
        let bytes = [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            do throws(SystemCallError) {
                count = try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            } catch {
                count = 0
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }
}
