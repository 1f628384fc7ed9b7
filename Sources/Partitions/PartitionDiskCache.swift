import Checksums
import Glibc
import SafeTensors

/// A directory of partition files on this host's disk, named by their SHA-256, within a limit.
///
/// Several processes may share a directory. A file appears only when it is complete, under a name
/// that tells its contents. A file that another process removes is fetched again. The cache removes
/// only files that are named like its own.
///
/// Threading: any thread.
public final class PartitionDiskCache: Sendable {
    /// The default limit on the size of the cache, in bytes: 10 GiB.
    public static let defaultByteLimit = 10 << 30
    /// An unfinished file that was not written to for so many seconds counts as abandoned.
    private static let abandonedAfterSeconds = 3600

    /// The path of the cache's directory.
    public let directory: String
    /// The limit on the size of all files, in bytes.
    public let byteLimit: Int

    /// Creates the directory where it is missing, and removes unfinished files that a killed
    /// process left more than an hour ago.
    ///
    /// - Throws: `unwritable` when the directory cannot be created.
    public init(directory: String, byteLimit: Int = defaultByteLimit) throws(DataError) {
        self.directory = directory
        self.byteLimit = byteLimit
        var path = directory.hasPrefix("/") ? "" : "."
        for part in directory.split(separator: "/") {
            path += "/\(part)"
            // Mode 0700, because other users must not read the data.
            if mkdir(path, 0o700) != 0, errno != EEXIST {
                throw DataError(writing: SystemCallError(path: path, action: "create"))
            }
        }
        let now = time(nil)
        for file in files() where file.isDraft && now - file.used > Self.abandonedAfterSeconds {
            unlink(file.path)
        }
    }

    /// Returns the path of the file with this SHA-256, whether or not the file exists.
    public func path(_ sha256: String) -> String { "\(directory)/\(sha256)\(Self.suffix)" }

    // MARK: Reading

    /// Returns the path of the file with this SHA-256, and nil when there is no such file. The file
    /// counts as used now. Its contents are not checked.
    public func find(_ sha256: String) -> String? {
        let path = path(sha256)
        // A null pointer sets both times to now.
        return utimensat(AT_FDCWD, path, nil, 0) == 0 ? path : nil
    }

    /// Returns the contents of the file with this name and the SHA-256 of those contents; nil when
    /// there is no such file.
    ///
    /// - Throws: `unreadable` when the file exists and cannot be read.
    public func read(_ sha256: String) throws(DataError) -> (bytes: [UInt8], sha256: String)? {
        guard let path = find(sha256) else { return nil }
        let bytes: [UInt8]
        do throws(SystemCallError) {
            let file = try ReadOnlyFile(path: path)
            bytes = try file.bytes(at: 0, byteCount: file.byteCount)
        } catch {
            // Another process removed the file in the meantime.
            if access(path, F_OK) != 0 { return nil }
            throw DataError(reading: error)
        }
        return (bytes, hexadecimal(SHA256.hash(data: bytes)))
    }

    /// Removes the file with this SHA-256, if there is one.
    public func remove(_ sha256: String) { unlink(path(sha256)) }

    // MARK: Writing

    /// Begins a file of `byteCount` bytes, after removing the files that have been unused for
    /// longest until the new one fits.
    ///
    /// - Parameters:
    ///   - sha256: the SHA-256 that the finished file must have.
    ///   - byteCount: the size of the file in bytes.
    ///   - sparing: the SHA-256 of files that must stay.
    /// - Returns: the file to write; nil when there is no room without removing a spared file.
    /// - Throws: `unwritable` when the file is larger than the limit, or the disk is full or
    ///   read-only.
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

    /// Removes files, those unused for longest first, until `byteCount` more bytes fit. Returns
    /// false when they cannot fit beside the spared files. Two processes that make room at once
    /// remove the same files.
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

    /// A file in the cache's directory.
    private struct CachedFile {
        let sha256: String
        let path: String
        let byteCount: Int
        let isDraft: Bool
        /// The time of the last use: whole seconds since 1970, and the nanoseconds beyond them.
        let used: Int
        let nanoseconds: Int

        func isBefore(_ other: CachedFile) -> Bool {
            (used, nanoseconds, path) < (other.used, other.nanoseconds, other.path)
        }
    }

    /// Returns the files that belong to the cache and ignores all others.
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
