import ClusterProtocol
import Glibc

/// A file to which lines are appended. It is written from time to time, in whole lines.
///
/// Lines that a full disk does not take are kept. The next flush tries them again, in order.
///
/// Threading: used by one thread.
package final class AppendingFile {
    private let path: String
    private let descriptor: Int32
    private var pending: [UInt8] = []
    /// The reason why lines wait or, once too many have waited, are lost. The run goes on.
    private(set) var failure: RunError?
    private var hasLostLines = false

    /// The most bytes that wait for a full disk: the lines of hours of steps.
    private static let maximumPendingByteCount = 64 << 20

    /// Opens a file, or creates it.
    ///
    /// - Parameters:
    ///   - path: the path of the file.
    ///   - isNew: whether to copy what stays to a new file. A process that has the present file
    ///     open then writes into a file that is no longer used.
    ///   - byteCount: the number of bytes of the present content that stay; nil for all.
    /// - Throws: `.storage` when the file cannot be opened or cut.
    package init(
        _ path: String, keeping byteCount: Int? = nil, isNew: Bool = false
    ) throws(RunError) {
        self.path = path
        if isNew, FileSystem.exists(path) {
            let content = try FileSystem.read(path)
            let temporary = "\(path).tmp"
            try FileSystem.write(content.prefix(byteCount ?? content.count), to: temporary)
            try FileSystem.rename(temporary, to: path)
        }
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileSystem.failure("open", path) }
        if let byteCount, ftruncate(descriptor, off_t(byteCount)) != 0 {
            throw FileSystem.failure("truncate", path)
        }
    }

    deinit { close(descriptor) }

    /// Adds lines, which are written with the next flush or when more than 64 KiB wait.
    ///
    /// - Parameter lines: whole lines, each with its newline.
    package func append(_ lines: String) {
        guard !hasLostLines else { return }
        pending += Array(lines.utf8)
        if pending.count > 1 << 16 { flush() }
    }

    /// Writes the lines that wait.
    ///
    /// - Parameter durable: whether to wait until they are on disk.
    package func flush(durable: Bool = false) {
        var offset = 0
        var found: RunError?
        while offset < pending.count, found == nil {
            let count = pending.withUnsafeBytes {
                write(descriptor, $0.baseAddress! + offset, pending.count - offset)
            }
            if count > 0 {
                offset += count
            } else if count == 0 || errno != EINTR {
                found = FileSystem.failure("write", path)
            }
        }
        pending.removeFirst(offset)
        if durable, found == nil, fsync(descriptor) != 0 {
            found = FileSystem.failure("sync", path)
            hasLostLines = true
        }
        if pending.count > Self.maximumPendingByteCount {
            // A line that a full disk has cut off must stay the last one.
            hasLostLines = true
            pending = []
        }
        if !hasLostLines || failure == nil { failure = found }
    }
}
