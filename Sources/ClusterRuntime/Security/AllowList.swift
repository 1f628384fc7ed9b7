import ClusterProtocol
import Glibc
import RunFiles

/// The public keys of those who may connect: files `NAME.public` of one directory, read again when
/// they change.
///
/// Threading: one thread's.
package final class AllowList {
    /// Keys read at most; a directory of more is refused.
    package static let maximumCount = 8192

    /// What another look at the directory found.
    package struct Change: Sendable {
        package var added: [String] = []
        package var removed: [String] = []
        /// Files that hold no key; they let nobody in.
        package var faults: [Failure] = []
    }

    /// Enough to see that a file was replaced or written to.
    private struct Stamp: Hashable {
        var inode: UInt
        var size: Int
        var seconds: Int
        var nanoseconds: Int
    }

    private let directory: String
    private var stamps: [String: Stamp] = [:]
    /// Names by key.
    package private(set) var names: [String: String] = [:]

    package var keys: Set<String> { Set(names.keys) }

    /// - Throws: one line for the first thing that is wrong.
    package init(_ directory: String) throws(Failure) {
        self.directory = directory
        try KeyFile.requireProtected(directory)
        stamps = Self.stamps(in: directory)
        guard stamps.count <= Self.maximumCount else {
            throw .data(
                "\(directory) holds \(stamps.count) keys, at most \(Self.maximumCount) are taken")
        }
        let (names, faults) = Self.read(directory, stamps.keys.sorted())
        if let fault = faults.first { throw fault }
        self.names = names
    }

    /// Looks at the directory again; nil when it is as before. What cannot be read lets nobody in.
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

    private static func read(
        _ directory: String, _ files: [String]
    ) -> ([String: String], [Failure]) {
        var names: [String: String] = [:]
        var faults: [Failure] = []
        for file in files {
            do throws(Failure) {
                let key = try KeyFile.read("\(directory)/\(file)")
                names[key] = String(file.dropLast(KeyRing.publicSuffix.count))
            } catch {
                faults.append(error)
            }
        }
        return (names, faults)
    }

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
