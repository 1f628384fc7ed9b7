import Checksums
import Glibc
import SafeTensors
import Synchronization

/// A file of the disk cache that is being written. It gets its final name when it is complete;
/// otherwise it is removed with the last reference to this object.
///
/// Threading: one thread only.
public final class PartitionDraft {
    private let sha256: String
    private let target: String
    private let file: OpenFile
    private var hash = SHA256()

    init(sha256: String, target: String, temporary: String) throws(DataError) {
        self.sha256 = sha256
        self.target = target
        file = try OpenFile(path: temporary)
    }

    deinit { unlink(file.path) }

    /// Appends bytes to the file.
    ///
    /// - Throws: `unwritable` when the disk is full or read-only.
    public func append(_ bytes: [UInt8]) throws(DataError) {
        try file.write(bytes)
        hash.update(data: bytes)
    }

    /// Completes the file. The file gets its final name only if its contents have the SHA-256 of
    /// that name.
    ///
    /// - Returns: the SHA-256 of the written contents. If it differs from the expected one, the
    ///   file is not kept.
    /// - Throws: `unwritable` when the file cannot be completed or renamed.
    public func finish() throws(DataError) -> String {
        let found = hexadecimal(hash.finalize())
        try file.finish(synchronizing: false)
        guard found == sha256 else { return found }
        do throws(SystemCallError) { try WritableFile.rename(file.path, to: target) } catch {
            throw DataError(writing: error)
        }
        return found
    }
}

extension PartitionDiskCache {
    private static let lastNumber = Atomic(0)

    /// Returns a number that distinguishes the unfinished files of one process.
    static func nextNumber() -> Int { lastNumber.wrappingAdd(1, ordering: .relaxed).newValue }
}
