import Checksums
import Glibc
import SafeTensors
import Synchronization

/// A file of the cache that is being written; it gets its name when it is whole, and goes away with
/// its last holder otherwise.
///
/// Threading: for one thread.
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

    public func append(_ bytes: [UInt8]) throws(DataError) {
        try file.write(bytes)
        hash.update(data: bytes)
    }

    /// Gives the file its name if it is what that name says.
    ///
    /// - Returns: the SHA-256 of what was written; with another than the one it should have,
    ///   nothing is kept.
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

    /// Tells the drafts of one process apart.
    static func nextNumber() -> Int { lastNumber.wrappingAdd(1, ordering: .relaxed).newValue }
}
