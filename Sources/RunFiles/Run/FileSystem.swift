import CLinux
import ClusterProtocol
import FoundationEssentials
import Glibc

/// File operations that Foundation does not offer: durable and atomic writes, and errors with their
/// `errno`.
public enum FileSystem {
    /// Returns a `.storage` error that names the operation, the path and the system's
    /// reason, and advises on what to do where that is known.
    package static func failure(_ what: String, _ path: String, code: Int32 = errno) -> RunError {
        let advice: String
        switch code {
        case ENOSPC, EDQUOT: advice = "; free some space or choose another --run-dir"
        case EROFS, EACCES, EPERM: advice = "; choose a directory that can be written"
        case EFBIG: advice = "; \(fileSizeLimit), raise it"
        default: advice = ""
        }
        return .storage("cannot \(what) \(path): \(String(cString: strerror(code)))\(advice)")
    }

    /// The limit of this process on the size of one file, in words.
    private static var fileSizeLimit: String {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0,
            limit.rlim_cur != rlim_t.max
        else { return "the file system's limit of file sizes is reached" }
        return "the limit of file sizes (ulimit -f) is \(limit.rlim_cur / 1024) KiB"
    }

    /// Returns whether a file or a directory of this name exists. Links are followed.
    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Returns numbers that tell a file from the file that replaces it: the inode and the time of
    /// its last change. Returns nil when the file does not exist.
    package static func identity(_ path: String) -> [Int]? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return [Int(status.st_ino), status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
    }

    /// Returns the time of the last write in nanoseconds since 1970, or nil when the file does not
    /// exist.
    package static func modificationTime(_ path: String) -> Int? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
    }

    /// Returns the length of a file in bytes, or 0 when the file does not exist.
    package static func byteCount(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// Returns the absolute path without symbolic links, `.` and `..`, or nil when the path does
    /// not exist.
    package static func resolved(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }

    /// Returns the target of a symbolic link, or nil when the path is not a symbolic link.
    public static func target(ofLink path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { readlink(path, $0.baseAddress!, $0.count) }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    /// Creates a new directory for this process below `TMPDIR`, or below /tmp when `TMPDIR` is not
    /// set.
    ///
    /// - Returns: the path of the directory.
    package static func makeTemporaryDirectory() throws(RunError) -> String {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/convoy-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw failure("create a directory in", parent) }
        return String(
            decoding: template.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Creates a directory and its missing parents. An existing directory is left as it is.
    ///
    /// - Throws: `.storage` when a directory cannot be created, or when a file has its name.
    public static func makeDirectories(_ path: String) throws(RunError) {
        var built = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            built += built.isEmpty || built.hasSuffix("/") ? String(part) : "/\(part)"
            if mkdir(built, 0o755) != 0, errno != EEXIST {
                throw failure("create directory", built)
            }
        }
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw .storage("cannot create directory \(path): a file of this name is in the way")
        }
    }

    /// Returns the names in a directory, sorted, without `.` and `..`. The list is empty when the
    /// directory cannot be read.
    public static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Writes a whole file. It is not atomic: a crash may leave a part of the content.
    ///
    /// - Parameters:
    ///   - bytes: the new content.
    ///   - path: the path of the file.
    ///   - mode: the permissions of a file that is created.
    ///   - durably: whether to wait until the content is on disk.
    package static func write(
        _ bytes: some Collection<UInt8>, to path: String, mode: mode_t = 0o644,
        durably: Bool = true
    ) throws(RunError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw failure("create", path) }
        let all = Array(bytes)
        var code: Int32 = 0
        var offset = 0
        while offset < all.count, code == 0 {
            let count = all.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress! + offset, all.count - offset)
            }
            if count < 0 { code = errno == EINTR ? 0 : errno } else { offset += count }
        }
        if code == 0, durably, fsync(descriptor) != 0 { code = errno }
        if close(descriptor) != 0, code == 0 { code = errno }
        if code != 0 { throw failure("write", path, code: code) }
    }

    /// Replaces a file atomically and durably: readers see the old or the new content, even after a
    /// crash.
    ///
    /// The new content is first written to `path` with the suffix `.tmp`.
    public static func replace(_ path: String, with text: String) throws(RunError) {
        let temporary = "\(path).tmp"
        try write(Array(text.utf8), to: temporary)
        try rename(temporary, to: path)
    }

    /// Renames a file or a directory atomically. An existing file `target` is replaced.
    ///
    /// - Parameters:
    ///   - source: the file or directory.
    ///   - target: its new path.
    ///   - durably: whether to wait until the new name is on disk.
    package static func rename(
        _ source: String, to target: String, durably: Bool = true
    ) throws(RunError) {
        guard Glibc.rename(source, target) == 0 else { throw failure("rename to", target) }
        guard durably else { return }
        try synchronize(directory: parent(of: target))
    }

    /// Puts the directory `source` in the place of the directory `target` and removes the former
    /// `target`.
    ///
    /// One of the two has the name `target` at any moment where the file system can exchange names.
    package static func replaceDirectory(_ target: String, with source: String) throws(RunError) {
        guard convoy_exchange(source, target) == 0 else {
            // Some file systems cannot exchange names, NFS for instance. The name is then missing
            // for a moment.
            remove(target)
            return try rename(source, to: target)
        }
        try synchronize(directory: parent(of: target))
        remove(source)
    }

    /// Makes the names in a directory durable.
    package static func synchronize(directory path: String) throws(RunError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open directory", path) }
        defer { close(descriptor) }
        if fsync(descriptor) != 0, errno != EINVAL { throw failure("sync directory", path) }
    }

    /// Returns the path of the directory that contains `path`.
    package static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Reads a whole file.
    ///
    /// - Parameters:
    ///   - path: the path of the file.
    ///   - limit: the largest accepted length in bytes; a longer file is an error.
    /// - Throws: `.storage` when the file cannot be read or is too long.
    public static func read(_ path: String, atMost limit: Int = .max) throws(RunError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("read", path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("read", path)
            }
            if count == 0 { return bytes }
            bytes += buffer[..<count]
            guard bytes.count <= limit else {
                throw .storage("\(path): expected at most \(limit) bytes, found more")
            }
        }
    }

    /// Removes a file, a symbolic link, or a directory that contains files only. What a link names
    /// stays. Errors are ignored.
    package static func remove(_ path: String) {
        // This fails for a directory, and only for a directory is it looked into.
        guard unlink(path) != 0, errno != ENOENT else { return }
        for name in names(in: path) { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    /// Returns the path with the working directory in front of it if the path is relative.
    public static func absolute(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        guard let current = getcwd(nil, 0) else { return path }
        defer { free(current) }
        var rest = path[...]
        while rest.hasPrefix("./") { rest = rest.dropFirst(2) }
        return "\(String(cString: current))/\(rest)"
    }
}
