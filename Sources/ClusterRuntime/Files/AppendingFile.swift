import ClusterProtocol

#if canImport(Glibc)
    import Glibc
#endif

/// A file that lines are appended to; written in whole lines, now and then.
///
/// Threading: one thread.
final class AppendingFile {
    private let path: String
    private let descriptor: Int32
    private var pending: [UInt8] = []
    /// The first error; later lines are lost, and the run goes on.
    private(set) var failure: Failure?

    /// - Parameter keeping: bytes of the present content that stay; nil for all.
    init(_ path: String, keeping byteCount: Int? = nil) throws(Failure) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileSystem.failure("open", path) }
        if let byteCount, ftruncate(descriptor, off_t(byteCount)) != 0 {
            throw FileSystem.failure("truncate", path)
        }
    }

    deinit { close(descriptor) }

    func append(_ line: String) {
        pending += Array(line.utf8)
        pending.append(UInt8(ascii: "\n"))
        if pending.count > 1 << 16 { flush() }
    }

    /// - Parameter durable: also waits for the disk.
    func flush(durable: Bool = false) {
        var offset = 0
        while offset < pending.count {
            let count = pending.withUnsafeBytes {
                write(descriptor, $0.baseAddress! + offset, pending.count - offset)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                failure = failure ?? FileSystem.failure("write", path)
                break
            }
            offset += count
        }
        pending.removeAll(keepingCapacity: true)
        if durable, fsync(descriptor) != 0 {
            failure = failure ?? FileSystem.failure("sync", path)
        }
    }
}
