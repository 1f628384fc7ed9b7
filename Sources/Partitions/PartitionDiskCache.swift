import Checksums
import Glibc
import SafeTensors

/// Partition files on this host's disk, named by their SHA-256, within a bound.
///
/// Several processes may share a directory: files appear whole, under a name that says what they
/// hold, and one that another process removes is fetched again. Only files named like the cache's
/// own are ever removed.
///
/// Threading: any thread.
public final class PartitionDiskCache: Sendable {
    public static let defaultByteLimit = 10 << 30
    /// A file being written that nobody touched for so long is left over, in seconds.
    private static let abandonedAfterSeconds = 3600

    public let directory: String
    public let byteLimit: Int

    /// Makes the directory and removes what a killed process left half written.
    public init(directory: String, byteLimit: Int = defaultByteLimit) throws(DataError) {
        self.directory = directory
        self.byteLimit = byteLimit
        var path = directory.hasPrefix("/") ? "" : "."
        for part in directory.split(separator: "/") {
            path += "/\(part)"
            // Another user's eyes have no business with the data.
            if mkdir(path, 0o700) != 0, errno != EEXIST {
                throw DataError(writing: SystemCallError(path: path, action: "create"))
            }
        }
        let now = time(nil)
        for file in files() where file.isDraft && now - file.used > Self.abandonedAfterSeconds {
            unlink(file.path)
        }
    }

    public func path(_ sha256: String) -> String { "\(directory)/\(sha256)\(Self.suffix)" }

    // MARK: Reading

    /// Path of a file that is here; it counts as used now. Its contents are not checked.
    public func find(_ sha256: String) -> String? {
        let path = path(sha256)
        // Both times to now.
        return utimensat(AT_FDCWD, path, nil, 0) == 0 ? path : nil
    }

    /// What is here under this name, with its own SHA-256; nil when there is nothing.
    public func read(_ sha256: String) throws(DataError) -> (bytes: [UInt8], sha256: String)? {
        guard let path = find(sha256) else { return nil }
        let bytes: [UInt8]
        do throws(SystemCallError) {
            let file = try ReadOnlyFile(path: path)
            bytes = try file.bytes(at: 0, byteCount: file.byteCount)
        } catch {
            // Another process removed it meanwhile.
            if access(path, F_OK) != 0 { return nil }
            throw DataError(reading: error)
        }
        return (bytes, hexadecimal(SHA256.hash(data: bytes)))
    }

    public func remove(_ sha256: String) { unlink(path(sha256)) }

    // MARK: Writing

    /// Begins a file of `byteCount` bytes, after removing what is unused for longest until it fits.
    ///
    /// - Parameter sparing: names that stay; nil comes back when there is no room without them.
    /// - Throws: when it is larger than the bound, and when the disk is full or read-only.
    public func begin(
        _ sha256: String, byteCount: Int, sparing: Set<String> = []
    ) throws(DataError) -> PartitionDraft? {
        guard byteCount <= byteLimit else {
            throw DataError(
                .unwritable, file: directory, what: "size of a partition",
                expected: "at most the cache's bound of \(byteLimit) bytes", found: "\(byteCount)",
                advice: "give a larger --cache-bytes")
        }
        guard makeRoom(byteCount, sparing: sparing) else { return nil }
        return try PartitionDraft(
            sha256: sha256, target: path(sha256),
            temporary: "\(directory)/\(sha256).\(getpid())-\(Self.nextNumber())\(Self.draftSuffix)")
    }

    /// Two processes that make room at once remove the same files, the oldest first.
    private func makeRoom(_ byteCount: Int, sparing: Set<String>) -> Bool {
        let files = files()
        var total = files.reduce(byteCount) { $0 + $1.byteCount }
        let removable = files.filter { !$0.isDraft && !sparing.contains($0.sha256) }
        let spared = removable.reduce(total) { $0 - $1.byteCount }
        guard sparing.isEmpty || spared <= byteLimit else { return false }
        for file in removable.sorted(by: { $0.isBefore($1) }) where total > byteLimit {
            unlink(file.path)
            total -= file.byteCount
        }
        return true
    }

    // MARK: The directory

    private static let suffix = ".safetensors"
    private static let draftSuffix = ".part"

    private struct CachedFile {
        let sha256: String
        let path: String
        let byteCount: Int
        let isDraft: Bool
        /// Seconds since 1970, and nanoseconds.
        let used: Int
        let nanoseconds: Int

        func isBefore(_ other: CachedFile) -> Bool {
            (used, nanoseconds, path) < (other.used, other.nanoseconds, other.path)
        }
    }

    /// The cache's own files; others are not its business.
    private func files() -> [CachedFile] {
        guard let handle = opendir(directory) else { return [] }
        defer { closedir(handle) }
        var files: [CachedFile] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            let isDraft = name.hasSuffix(Self.draftSuffix)
            guard isDraft || name.hasSuffix(Self.suffix),
                let first = name.split(separator: ".").first, isSHA256(String(first))
            else { continue }
            let path = "\(directory)/\(name)"
            var status = stat()
            guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
            files.append(
                CachedFile(
                    sha256: String(first), path: path, byteCount: Int(status.st_size),
                    isDraft: isDraft, used: Int(status.st_mtim.tv_sec),
                    nanoseconds: Int(status.st_mtim.tv_nsec)))
        }
        return files
    }
}
