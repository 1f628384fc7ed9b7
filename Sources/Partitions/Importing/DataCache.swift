import Checksums
import FoundationEssentials
import Glibc
import SafeTensors

/// The place on this host's disk where imported data sets lie: a directory for each, named by a key
/// that follows from the contents of the source's files, its options and the decoders.
///
/// A directory appears whole or not at all. Several processes may use a cache at once. When an import
/// makes the cache larger than its limit, the sets that were not used for longest are removed, but
/// never one that a process has open.
public struct DataCache: Sendable {
    /// The default limit on the size of the cache, in bytes: 50 GiB.
    public static let defaultByteLimit = 50 << 30
    /// The environment variable that gives another limit, in bytes.
    public static let byteLimitVariable = "CONVOY_DATA_CACHE_BYTES"

    /// The directory of the cache.
    public let directory: String
    /// The limit on the size of all sets, in bytes. A set that is larger by itself stays until the
    /// next import.
    public let byteLimit: Int

    /// Creates a cache in a directory, which need not exist yet.
    public init(directory: String, byteLimit: Int = defaultByteLimit) {
        self.directory = directory
        self.byteLimit = byteLimit
    }

    /// The user's cache: `convoy/data` below `XDG_CACHE_HOME`, or below `~/.cache` where that is not
    /// set; nil without a home directory. `CONVOY_DATA_CACHE_BYTES` may give its limit; a text that is
    /// no number of at least 0 is ignored.
    public static var standard: DataCache? {
        func variable(_ name: String) -> String? {
            getenv(name).map { String(cString: $0) }.flatMap { $0.hasPrefix("/") ? $0 : nil }
        }
        let base = variable("XDG_CACHE_HOME") ?? variable("HOME").map { "\($0)/.cache" }
        let limit = getenv(byteLimitVariable).flatMap { Int(String(cString: $0)) }
        return base.map {
            DataCache(
                directory: "\($0)/convoy/data",
                byteLimit: limit.flatMap { $0 >= 0 ? $0 : nil } ?? defaultByteLimit)
        }
    }

    /// The error for a host without a cache.
    static func missing(_ specification: DataSpecification) -> DataError {
        DataError(
            .unwritable, file: "\(specification)", what: "place for the decoded records",
            expected: "a home directory or XDG_CACHE_HOME", found: "neither",
            advice: "set XDG_CACHE_HOME to a directory with free space")
    }

    /// Returns the directory of an imported set, whether or not it exists.
    func path(_ key: String) -> String { "\(directory)/\(key)" }

    /// Returns the directory of an imported set if it is there. It counts as used now.
    func find(_ key: String) -> String? {
        let path = path(key)
        guard access("\(path)/\(PartitionManifest.fileName)", R_OK) == 0 else { return nil }
        utimensat(AT_FDCWD, path, nil, 0)
        return path
    }

    /// Creates the cache's directories.
    func prepare() throws(DataError) {
        for path in [directory, "\(directory)/index"] { try Self.makeDirectory(path) }
    }

    /// Creates a directory and those above it, readable by the user alone.
    static func makeDirectory(_ path: String) throws(DataError) {
        var parts = ""
        for part in path.split(separator: "/") {
            parts += (parts.isEmpty && !path.hasPrefix("/") ? "" : "/") + part
            if mkdir(parts, 0o700) != 0, errno != EEXIST {
                throw DataError(writing: SystemCallError(path: parts, action: "create"))
            }
        }
    }

    // MARK: The index

    /// Finds the key of a source whose files the system says are unchanged, without reading them.
    ///
    /// - Parameters:
    ///   - name: what names the source: its place, options and number of partitions.
    ///   - stamp: a digest of what the system says of the files.
    func knownKey(_ name: String, stamp: String) -> String? {
        guard let file = try? ReadOnlyFile(path: indexPath(name)), file.byteCount < 1024,
            let bytes = try? file.bytes(at: 0, byteCount: file.byteCount)
        else { return nil }
        let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
        guard words.count == 2, words[0] == stamp, isSHA256(String(words[1])) else { return nil }
        return String(words[1])
    }

    /// Remembers the key of a source. That it cannot be written costs time at the next start, no more.
    func remember(_ key: String, _ name: String, stamp: String) {
        let path = indexPath(name)
        let temporary = "\(path).\(getpid())"
        guard let file = try? OpenFile(path: temporary),
            (try? file.write(Array("\(stamp) \(key)\n".utf8))) != nil,
            (try? file.finish(synchronizing: false)) != nil
        else {
            unlink(temporary)
            return
        }
        if rename(temporary, path) != 0 { unlink(temporary) }
    }

    private func indexPath(_ name: String) -> String {
        "\(directory)/index/\(hexadecimal(SHA256.hash(data: Array(name.utf8))))"
    }
}

/// The exclusive right to import one set. The system takes it back when the process ends.
final class ImportLock {
    private let descriptor: Int32

    /// Waits for the lock.
    ///
    /// - Parameters:
    ///   - path: the lock's file.
    ///   - limit: the longest wait without a sign of work, in seconds.
    ///   - lastWork: returns the time of the newest sign of the other process's work, in seconds since
    ///     1970.
    ///   - isDone: whether the other process has finished the work.
    /// - Returns: nil when the work was finished meanwhile.
    init?(
        _ path: String, limit: Int, lastWork: () -> Int, isDone: () -> Bool
    ) throws(DataError) {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw DataError(writing: SystemCallError(path: path, action: "open"))
        }
        let start = time(nil)
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR else {
                let error = SystemCallError(path: path, action: "lock")
                close(descriptor)
                throw DataError(writing: error)
            }
            if isDone() {
                close(descriptor)
                return nil
            }
            guard time(nil) - max(start, lastWork()) < limit else {
                close(descriptor)
                throw DataError(
                    .unreachable, file: path, what: "another process imports the same data",
                    expected: "progress within \(limit) s", found: "none",
                    advice: "end that process, which fuser \(path) names")
            }
            usleep(50_000)
        }
        if isDone() {
            close(descriptor)
            return nil
        }
    }

    deinit { close(descriptor) }
}
