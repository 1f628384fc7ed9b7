import ClusterProtocol
import Glibc
import RunFiles

/// A file about a run's processes that only one launch holds at a time. The kernel releases the
/// lock when the process ends.
package final class HeldFile {
    /// The path of the file.
    package let path: String
    private let descriptor: Int32

    /// Opens or creates the file and locks it.
    ///
    /// - Throws: `.occupied` when another process holds the file.
    package init(_ path: String, run: String) throws(RunError) {
        self.path = path
        try FileSystem.makeDirectories(FileSystem.parent(of: path))
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileSystem.failure("open", path) }
        // From here on `deinit` closes the descriptor, also after an error.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw .occupied("another launch of \(run) is under way")
        }
    }

    deinit { close(descriptor) }

    /// Whether the file has no content.
    package var isEmpty: Bool { FileSystem.byteCount(path) == 0 }

    /// Replaces the content in place, since the lock belongs to this very file.
    package func write(_ text: String) throws(RunError) {
        let bytes = Array(text.utf8)
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, bytes, bytes.count, 0) == bytes.count
        else { throw FileSystem.failure("write", path) }
    }

    /// Removes the file.
    package func remove() { unlink(path) }
}

/// The hosts of a run that was launched with a cluster file, stored in the file RUN_DIR.hosts.
///
/// The file has a line for each host, with fields separated by tabs: the host's name, ssh's
/// destination (`-` for this machine), the directory of its processes (`-` for the login
/// directory), the executable, and `coordinator` or `members`. The first line is `launch NUMBER`.
/// The last line is `complete` once all processes were started.
package struct RunHosts {
    /// A host and its executable.
    package struct Entry: Hashable {
        /// The host. An entry read from the file has only its name, user, directory and whether it
        /// runs the coordinator.
        package var host: ClusterFile.Host
        /// The path of the executable on the host.
        package var executable: String
    }

    /// The number of the launch.
    package var launch: String
    /// The hosts in the order of the file.
    package var entries: [Entry]
    /// Whether all processes of the launch were started.
    package var isComplete: Bool

    /// Returns the path of a run's file.
    package static func path(_ runDirectory: String) -> String { "\(runDirectory).hosts" }

    /// The coordinator's host.
    package var coordinator: Entry? { entries.first { $0.host.isCoordinator } }

    /// Creates the hosts of a launch.
    package init(launch: String, entries: [Entry], isComplete: Bool) {
        self.launch = launch
        self.entries = entries
        self.isComplete = isComplete
    }

    /// Reads the file at `path`.
    ///
    /// - Returns: Nil when the file cannot be read or lists no host.
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

    /// The content of the file.
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
