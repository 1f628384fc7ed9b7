import Glibc

extension DataCache {
    /// An unfinished import that nobody went on with for so many seconds counts as abandoned: a week.
    private static let abandonedAfterSeconds = 7 * 86_400
    private static let partSuffix = ".part"
    private static let removedSuffix = ".removed"

    /// A set in the cache.
    private struct CachedSet {
        let name: String
        let byteCount: Int
        /// The time of the last use: seconds since 1970, and nanoseconds.
        let used: Int
        let nanoseconds: Int
    }

    /// Removes imports that were abandoned, and then sets until the cache keeps its limit: those that
    /// were not used for longest first. A set that a process has open stays, and so does the one with
    /// the key `spared`.
    ///
    /// That something cannot be removed costs room on the disk, no more.
    func makeRoom(sparing spared: String) {
        let now = Int(time(nil))
        var sets: [CachedSet] = []
        for name in Self.names(directory) {
            var status = stat()
            let path = "\(directory)/\(name)"
            guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { continue }
            if isSHA256(name) {
                sets.append(
                    CachedSet(
                        name: name, byteCount: Self.byteCount(path), used: status.st_mtim.tv_sec,
                        nanoseconds: status.st_mtim.tv_nsec))
            } else if now - status.st_mtim.tv_sec > Self.abandonedAfterSeconds {
                removeLeftover(name)
            }
        }
        sets.sort { ($0.used, $0.nanoseconds, $0.name) < ($1.used, $1.nanoseconds, $1.name) }
        var total = sets.reduce(0) { $0 + $1.byteCount }
        for set in sets where total > byteLimit && set.name != spared {
            if remove(set.name) { total -= set.byteCount }
        }
    }

    /// Removes a set unless a process has it open. Returns whether it is gone.
    private func remove(_ key: String) -> Bool {
        let path = path(key)
        guard let claim = SetClaim(path, isExclusive: true) else { return false }
        return withExtendedLifetime(claim) {
            // The name goes first, so that nobody finds half a set.
            let removed = "\(path).\(getpid())\(Self.removedSuffix)"
            guard rename(path, removed) == 0 else { return false }
            Self.removeDirectory(removed)
            return true
        }
    }

    /// Removes what a killed process left: an import that nobody works on, or half a removed set.
    private func removeLeftover(_ name: String) {
        let path = "\(directory)/\(name)"
        if name.hasSuffix(Self.removedSuffix), isSHA256(String(name.prefix(64))) {
            return Self.removeDirectory(path)
        }
        let key = String(name.dropLast(Self.partSuffix.count))
        guard name.hasSuffix(Self.partSuffix), isSHA256(key) else { return }
        let lock = open("\(directory)/\(key).lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { return }
        defer { close(lock) }
        if flock(lock, LOCK_EX | LOCK_NB) == 0 { Self.removeDirectory(path) }
    }

    /// Returns the size of the files in a directory, in bytes.
    private static func byteCount(_ path: String) -> Int {
        names(path).reduce(0) { sum, name in
            var status = stat()
            return lstat("\(path)/\(name)", &status) == 0 ? sum + Int(status.st_size) : sum
        }
    }

    /// Removes a directory of files.
    private static func removeDirectory(_ path: String) {
        for name in names(path) { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    /// Returns the time of the last change in a directory: of its entries, or of the contents of a file
    /// in it, in seconds since 1970; 0 when there is no such directory.
    static func lastChange(in path: String) -> Int {
        ([path] + names(path).map { "\(path)/\($0)" }).reduce(0) { latest, name in
            var status = stat()
            return lstat(name, &status) == 0 ? max(latest, status.st_mtim.tv_sec) : latest
        }
    }

    /// Returns the names in a directory without those of itself and its parent; none when it cannot be
    /// read.
    private static func names(_ path: String) -> [String] {
        guard let handle = opendir(path) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }
}

/// The claim of a process to a set in the cache, as a lock of its manifest: shared by those that have
/// the set open, exclusive for the one that removes it. The system takes it back when the process
/// ends.
final class SetClaim: Sendable {
    private let descriptor: Int32

    /// Claims the set in a directory; nil when somebody else's claim excludes that, or there is no
    /// set.
    init?(_ directory: String, isExclusive: Bool) {
        descriptor = open("\(directory)/\(PartitionManifest.fileName)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        guard flock(descriptor, (isExclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
    }

    deinit { close(descriptor) }
}
