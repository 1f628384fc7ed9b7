import Glibc

/// A file that is being written from its start. It replaces the contents of an existing file.
package struct WritableFile: ~Copyable {
    package let path: String
    private var descriptor: Int32

    /// Creates a file, or empties an existing one, and opens it for writing.
    package static func create(path: String) throws(SystemCallError) -> WritableFile {
        guard !path.utf8.contains(0) else {
            throw SystemCallError(path: path, action: "create", reason: "the path holds a NUL byte")
        }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw SystemCallError(path: path, action: "create") }
        return WritableFile(path: path, descriptor: descriptor)
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Appends bytes to the file.
    package func write(_ bytes: UnsafeRawBufferPointer) throws(SystemCallError) {
        var done = 0
        while done < bytes.count {
            let count = Glibc.write(
                descriptor, bytes.baseAddress! + done, min(bytes.count - done, 1 << 30))
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemCallError(path: path, action: "write")
            }
            done += count
        }
    }

    /// Appends bytes to the file.
    package func write(_ bytes: [UInt8]) throws(SystemCallError) {
        var failure: SystemCallError?
        bytes.withUnsafeBytes { buffer in
            do throws(SystemCallError) {
                try write(buffer)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// Closes the file. With `synchronizing` its bytes are on the disk when this returns.
    ///
    /// A failure to close is an error too: some file systems report a full disk only then.
    package consuming func finish(synchronizing: Bool) throws(SystemCallError) {
        if synchronizing, fsync(descriptor) != 0 {
            throw SystemCallError(path: path, action: "write to the disk")
        }
        let ended = descriptor
        descriptor = -1
        guard close(ended) == 0 else { throw SystemCallError(path: path, action: "close") }
    }

    /// Makes the names in a directory durable. An `fsync` of a file does not do that.
    package static func synchronizeDirectory(_ path: String) throws(SystemCallError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemCallError(path: path, action: "open") }
        let failed = fsync(descriptor) != 0
        let error = SystemCallError(path: path, action: "write to the disk")
        close(descriptor)
        if failed { throw error }
    }

    /// Gives the file at `path` the name `destination`. A file of that name is replaced atomically.
    package static func rename(_ path: String, to destination: String) throws(SystemCallError) {
        let status = Glibc.rename(path, destination)
        guard status == 0 else {
            throw SystemCallError(path: destination, action: "rename from \(path)")
        }
    }
}
