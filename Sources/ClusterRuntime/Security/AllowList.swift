import ClusterProtocol
import Glibc
import RunFiles

/// The public keys of the nodes that may connect: the files `NAME.public` of one directory, read again
/// when they change.
///
/// Threading: belongs to one thread.
package final class AllowList {
    /// The highest number of keys; a directory with more is refused.
    package static let maximumCount = 8192

    /// What another look at the directory found.
    package struct Change: Sendable {
        /// The keys that are new.
        package var added: [String] = []
        /// The keys that are gone.
        package var removed: [String] = []
        /// What is wrong with files that hold no key; such a file lets no node in.
        package var faults: [RunError] = []
    }

    /// The facts that show whether a file was replaced or written to.
    private struct Stamp: Hashable {
        var inode: UInt
        var size: Int
        var seconds: Int
        var nanoseconds: Int
    }

    private let directory: String
    private var stamps: [String: Stamp] = [:]
    /// The nodes' names by key.
    package private(set) var names: [String: String] = [:]

    /// The keys of all nodes that may connect.
    package var keys: Set<String> { Set(names.keys) }

    /// Reads a directory.
    ///
    /// - Throws: `.keys` for the first fault.
    package init(_ directory: String) throws(RunError) {
        self.directory = directory
        try KeyFile.requireProtected(directory)
        stamps = Self.stamps(in: directory)
        guard stamps.count <= Self.maximumCount else {
            throw .keys(
                "\(directory) holds \(stamps.count) keys, at most \(Self.maximumCount) are taken")
        }
        let (names, faults) = Self.read(directory, stamps.keys.sorted())
        if let fault = faults.first { throw fault }
        self.names = names
    }

    /// Looks at the directory again. A file that cannot be read lets no node in.
    ///
    /// - Returns: What has changed; nil when the directory is as before.
    package func refresh() -> Change? {
        let now = Self.stamps(in: directory)
        guard now != stamps else { return nil }
        stamps = now
        let (names, faults) = Self.read(
            directory, Array(now.keys.sorted().prefix(Self.maximumCount)))
        let change = Change(
            added: Set(names.keys).subtracting(self.names.keys).sorted(),
            removed: Set(self.names.keys).subtracting(names.keys).sorted(), faults: faults)
        self.names = names
        return change
    }

    /// Reads the keys of files, and returns the nodes' names by key and the faults.
    private static func read(
        _ directory: String, _ files: [String]
    ) -> ([String: String], [RunError]) {
        var names: [String: String] = [:]
        var faults: [RunError] = []
        for file in files {
            do throws(RunError) {
                let key = try KeyFile.read("\(directory)/\(file)")
                names[key] = String(file.dropLast(KeyRing.publicSuffix.count))
            } catch {
                faults.append(error)
            }
        }
        return (names, faults)
    }

    /// Returns the stamps of a directory's keys by file name.
    private static func stamps(in directory: String) -> [String: Stamp] {
        var result: [String: Stamp] = [:]
        for name in FileSystem.names(in: directory)
        where name.hasSuffix(KeyRing.publicSuffix) && !name.hasPrefix(".") {
            var status = stat()
            guard stat("\(directory)/\(name)", &status) == 0 else { continue }
            result[name] = Stamp(
                inode: UInt(status.st_ino), size: Int(status.st_size),
                seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
        }
        return result
    }
}
