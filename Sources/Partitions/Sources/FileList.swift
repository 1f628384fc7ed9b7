import Checksums
import Glibc
import SafeTensors

/// The files of a source, by their paths below a directory.
///
/// Paths are bytes, as the system has them. They lie in one array, so that a million of them take
/// little more memory than their text.
public struct FileList: Sendable {
    /// The directory that the paths are below.
    public let root: String
    private var bytes: [UInt8] = []
    private var ends: [Int] = []
    /// Notes for the user on what was left out, one line each.
    public var remarks: [String] = []

    /// Creates an empty list.
    public init(root: String) { self.root = root }

    /// Creates the list of some files below a directory.
    public init(root: String, names: [String]) {
        self.root = root
        for name in names { append(Array(name.utf8)) }
    }

    /// The number of files.
    public var count: Int { ends.count }

    /// Appends a path below the root.
    public mutating func append(_ path: some Sequence<UInt8>) {
        bytes.append(contentsOf: path)
        ends.append(bytes.count)
    }

    /// Returns the bytes of a path below the root.
    public func path(_ index: Int) -> ArraySlice<UInt8> {
        bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
    }

    /// Returns a path below the root as text; bytes that are no UTF-8 are replaced.
    public func name(_ index: Int) -> String { String(decoding: path(index), as: UTF8.self) }

    /// Returns the whole path as text, for errors.
    public func fullName(_ index: Int) -> String {
        root.isEmpty ? name(index) : "\(root)/\(name(index))"
    }

    private func wholePath(_ index: Int) -> [UInt8] {
        (root.isEmpty ? [] : Array(root.utf8) + [0x2F]) + path(index)
    }

    /// Opens a file for reading.
    ///
    /// - Throws: `unreadable`.
    public func open(_ index: Int) throws(DataError) -> SourceFile {
        try SourceFile(path: wholePath(index), name: fullName(index))
    }

    /// Appends the files of another list, by their whole paths.
    mutating func append(_ other: FileList) {
        for index in 0..<other.count {
            append(other.wholePath(index))
        }
        remarks += other.remarks
    }
}

/// A file of a source that is open for reading. It is closed with the last reference.
///
/// Threading: any thread; reads name their offset.
public final class SourceFile: Sendable {
    /// The path, for errors.
    public let name: String
    /// The length in bytes when the file was opened.
    public let byteCount: Int
    /// The state of the file when it was opened. It differs once the file was written to or replaced.
    let stamp: Stamp
    private let descriptor: Int32

    /// What the system says of a file without reading it.
    struct Stamp: Sendable, Hashable, CustomStringConvertible {
        var device: UInt64
        var inode: UInt64
        var byteCount: Int
        /// The times of the last change of the contents and of the entry, in nanoseconds since 1970.
        var modified: Int
        var changed: Int

        var description: String { "\(device) \(inode) \(byteCount) \(modified) \(changed)" }

        init(_ status: stat) {
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
            byteCount = Int(status.st_size)
            modified = Int(status.st_mtim.tv_sec) * 1_000_000_000 + Int(status.st_mtim.tv_nsec)
            changed = Int(status.st_ctim.tv_sec) * 1_000_000_000 + Int(status.st_ctim.tv_nsec)
        }
    }

    /// Opens a file by the bytes of its path.
    ///
    /// - Parameters:
    ///   - path: the bytes, without the terminating zero.
    ///   - name: the text for errors.
    public init(path: [UInt8], name: String) throws(DataError) {
        self.name = name
        let text = path.map { CChar(bitPattern: $0) } + [0]
        guard !path.contains(0) else {
            throw DataError(
                .unreadable, file: name, what: "cannot open the file", expected: "a path",
                found: "a NUL byte in it")
        }
        // Without O_NONBLOCK a pipe would hold the program up.
        descriptor = Glibc.open(text, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw DataError(reading: SystemCallError(path: name, action: "open"))
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let error = SystemCallError(path: name, action: "inspect")
            close(descriptor)
            throw DataError(reading: error)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw DataError(
                .unreadable, file: name, what: "cannot read the file", expected: "a regular file",
                found: "a directory or a device", advice: "take it out of the data")
        }
        stamp = Stamp(status)
        byteCount = stamp.byteCount
    }

    deinit { close(descriptor) }

    /// Reads at most `buffer.count` bytes from an offset, and returns their number.
    ///
    /// - Throws: `unreadable`.
    public func read(
        into buffer: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(DataError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress! + done, min(buffer.count - done, 1 << 30),
                off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                throw DataError(reading: SystemCallError(path: name, action: "read"))
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Reads a stretch that must be there.
    ///
    /// - Throws: `truncated` when the file ends before; `unreadable`.
    public func bytes(at offset: Int, count: Int) throws(DataError) -> [UInt8] {
        var failure: DataError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, found in
            found = 0
            do throws(DataError) {
                found = try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        guard bytes.count == count else {
            throw DataError(
                .truncated, file: name, what: "bytes from offset \(offset)",
                expected: "\(count)", found: "\(bytes.count)", advice: "fetch the file again")
        }
        return bytes
    }

    /// Reads the whole file into `bytes`, whose memory is used again.
    ///
    /// - Throws: `badRecord` for a file of more than `limit` bytes; `unreadable`.
    public func readAll(into bytes: inout [UInt8], limit: Int) throws(DataError) {
        guard byteCount <= limit else {
            throw DataError(
                .badRecord, file: name, what: "size", expected: "at most \(limit) bytes",
                found: "\(byteCount)")
        }
        if bytes.count < byteCount {
            bytes = [UInt8](repeating: 0, count: max(byteCount, 2 * bytes.count))
        }
        var failure: DataError?
        let count = bytes.withUnsafeMutableBytes { buffer -> Int in
            do throws(DataError) {
                return try read(
                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<byteCount]), at: 0)
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        try requireUnchanged()
        guard count == byteCount else {
            throw DataError(
                .truncated, file: name, what: "contents", expected: "\(byteCount) bytes",
                found: "\(count)", advice: "another program writes to it; wait until it has ended")
        }
    }

    /// Throws `changed` when the file was written to since it was opened.
    public func requireUnchanged() throws(DataError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw DataError(reading: SystemCallError(path: name, action: "inspect"))
        }
        guard Stamp(status) == stamp else { throw Self.changed(name) }
    }

    /// The error for a file that was written to while it was read.
    static func changed(_ name: String) -> DataError {
        DataError(
            .changed, file: name, what: "the file", expected: "the same while it is imported",
            found: "a change", advice: "start again when no other program writes to the data")
    }

    /// Returns the SHA-256 of the whole file.
    func digest(_ buffer: inout [UInt8]) throws(DataError) -> [UInt8] {
        if buffer.isEmpty { buffer = [UInt8](repeating: 0, count: 256 << 10) }
        var hash = SHA256()
        var offset = 0
        while true {
            var failure: DataError?
            let count = buffer.withUnsafeMutableBytes { bytes -> Int in
                do throws(DataError) {
                    let count = try read(into: bytes, at: offset)
                    hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                    return count
                } catch {
                    failure = error
                    return 0
                }
            }
            if let failure { throw failure }
            if count == 0 { break }
            offset += count
        }
        try requireUnchanged()
        return hash.finalize()
    }
}
