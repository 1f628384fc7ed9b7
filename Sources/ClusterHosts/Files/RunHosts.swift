import ClusterProtocol
import Glibc
import RunFiles

/// A file that says what a run has where, held by one launch or stop at a time: the kernel lets go of
/// the lock with the process.
package final class HeldFile {
    package let path: String
    private let descriptor: Int32

    /// - Throws: 65 when another process holds it.
    package init(_ path: String, run: String) throws(Failure) {
        self.path = path
        try FileSystem.makeDirectories(FileSystem.parent(of: path))
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileSystem.failure("open", path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw .data("another launch of \(run) is under way")
        }
    }

    deinit { close(descriptor) }

    package var isEmpty: Bool { FileSystem.byteCount(path) == 0 }

    /// Writes it anew, in place: the lock is on this file.
    package func write(_ text: String) throws(Failure) {
        let bytes = Array(text.utf8)
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, bytes, bytes.count, 0) == bytes.count
        else { throw FileSystem.failure("write", path) }
    }

    package func remove() { unlink(path) }
}

/// The hosts of a run that was launched by a cluster file: RUN_DIR.hosts.
///
/// A line a host, fields separated by tabs: its name, how it is reached (ssh's destination, or `-` for
/// this machine), the directory of its processes (`-` where one is logged in), the executable, and
/// `coordinator` or `members`. The first line is `launch NUMBER`, the last one `complete` once all was
/// started.
package struct RunHosts {
    package struct Entry: Hashable {
        package var host: ClusterFile.Host
        package var executable: String
    }

    package var launch: String
    package var entries: [Entry]
    package var isComplete: Bool

    package static func path(_ runDirectory: String) -> String { "\(runDirectory).hosts" }

    package var coordinator: Entry? { entries.first { $0.host.isCoordinator } }

    package init(launch: String, entries: [Entry], isComplete: Bool) {
        self.launch = launch
        self.entries = entries
        self.isComplete = isComplete
    }

    /// - Returns: nil where no launch was begun.
    package init?(_ path: String) {
        guard let bytes = try? FileSystem.read(path, atMost: ClusterFile.maximumByteCount) else {
            return nil
        }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        launch = lines.first?.split(separator: " ").last.map(String.init) ?? ""
        isComplete = lines.last == "complete"
        entries = lines.compactMap { line in
            let fields = line.split(separator: "\t").map(String.init)
            guard fields.count == 5 else { return nil }
            var host = ClusterFile.Host(line: 0, name: fields[0])
            if let at = fields[1].firstIndex(of: "@") { host.user = String(fields[1][..<at]) }
            host.directory = fields[2] == "-" ? nil : fields[2]
            host.isCoordinator = fields[4] == ProcessList.coordinator
            return Entry(host: host, executable: fields[3])
        }
        guard !entries.isEmpty else { return nil }
    }

    package var text: String {
        var text = "launch \(launch)\n"
        for entry in entries {
            let fields = [
                entry.host.name, HostShell.isHere(entry.host.name) ? "-" : entry.host.destination,
                entry.host.directory ?? "-", entry.executable,
                entry.host.isCoordinator ? ProcessList.coordinator : "members",
            ]
            text += fields.joined(separator: "\t") + "\n"
        }
        return text + (isComplete ? "complete\n" : "")
    }
}
