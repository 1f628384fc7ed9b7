import Glibc

/// An open regular file that is only read, at offsets that the caller gives. The file is closed
/// with its last reference.
///
/// Threading: any thread, because `pread` moves no shared file position.
package final class ReadOnlyFile: Sendable {
    /// What the system says of a file's contents. It changes when the file is written to.
    package struct Stamp: Sendable, Hashable {
        /// The length of the file in bytes.
        package let byteCount: Int
        private let device: UInt64
        private let number: UInt64
        /// The time of the last change of the contents: seconds since 1970, and nanoseconds.
        private let seconds: Int
        private let nanoseconds: Int

        fileprivate init(_ status: stat) {
            byteCount = Int(status.st_size)
            device = UInt64(status.st_dev)
            number = UInt64(status.st_ino)
            seconds = Int(status.st_mtim.tv_sec)
            nanoseconds = Int(status.st_mtim.tv_nsec)
        }
    }

    package let path: String
    /// What the system said of the file when it was opened.
    package let stamp: Stamp
    private let descriptor: Int32

    /// The length of the file in bytes when it was opened.
    package var byteCount: Int { stamp.byteCount }

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
        stamp = Stamp(status)
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

    /// Returns what the system says of the file now.
    package func presentStamp() throws(SystemCallError) -> Stamp {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw SystemCallError(path: path, action: "examine")
        }
        return Stamp(status)
    }

    // MARK: Hints to the system, which change no result

    /// The number of bytes of a hint. The system takes no more at once than it reads ahead, which
    /// is 128 KiB unless somebody changed it.
    private static let hintByteCount = 128 << 10

    /// Tells the system that reads will jump about, so that it reads nothing beside them.
    package func expectRandomReads() {
        _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM)
    }

    /// Has the system read a stretch into its cache, and does not wait for it.
    package func willNeed(_ range: Range<Int>) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = min(range.upperBound - offset, Self.hintByteCount)
            _ = posix_fadvise(descriptor, off_t(offset), off_t(count), POSIX_FADV_WILLNEED)
            offset += count
        }
    }

    /// Lets the system forget what its cache holds of the file, for measurements of a cold disk.
    package func dropFromCache() {
        _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    }
}
