import ClusterProtocol
import Glibc

/// A file that lines are appended to; written in whole lines, now and then.
///
/// What a full disk does not take is kept and tried again with the next flush, in order.
///
/// Threading: one thread.
package final class AppendingFile {
    private let path: String
    private let descriptor: Int32
    private var pending: [UInt8] = []
    /// Why lines wait or, once too many have waited, are lost. The run goes on.
    private(set) var failure: Failure?
    private var hasLostLines = false

    /// Hours of steps; more than that is not kept for a disk that stays full.
    private static let maximumPendingByteCount = 64 << 20

    /// - Parameters:
    ///   - keeping: bytes of the present content that stay; nil for all.
    ///   - isNew: what stays is copied to a new file, so that whoever has the present one open
    ///     writes into nothing.
    package init(_ path: String, keeping byteCount: Int? = nil, isNew: Bool = false) throws(Failure) {
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

    /// - Parameter lines: whole ones, each with its newline.
    package func append(_ lines: String) {
        guard !hasLostLines else { return }
        pending += Array(lines.utf8)
        if pending.count > 1 << 16 { flush() }
    }

    /// - Parameter durable: also waits for the disk.
    package func flush(durable: Bool = false) {
        var offset = 0
        var found: Failure?
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
            // The line that a full disk has torn must stay the last one.
            hasLostLines = true
            pending = []
        }
        if !hasLostLines || failure == nil { failure = found }
    }
}
