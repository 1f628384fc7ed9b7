import ClusterHosts
import ClusterRuntime
import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// Another user of this host: a number without a name, with a directory and a copy of the program.
final class OtherUser {
    /// Whether another user can be had: that needs root, and setpriv from util-linux.
    static let isAvailable: Bool =
        geteuid() == 0
        && (try? run(["setpriv", "--reuid=64017", "--clear-groups", "true"])) == true

    let identifier: Int
    /// A directory that belongs to this user.
    let directory: TemporaryDirectory
    let executable: String

    /// The directory in which this user's processes find the keys of runs.
    var registry: String { "/tmp/convoy-\(identifier)" }

    init(_ number: Int = 0) throws {
        // Tests in another process use another number.
        identifier = 100_000 + 10 * (Int(getpid()) % 1_000_000) + number
        directory = try TemporaryDirectory()
        executable = "\(directory.path)/convoy"
        try FileManager.default.copyItem(atPath: ConvoyExecutable.path, toPath: executable)
        chmod(executable, 0o755)
        for path in [directory.path, executable] {
            try #require(chown(path, uid_t(identifier), gid_t(identifier)) == 0)
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: registry) }

    /// The words before a command line that make it run as this user.
    var prefix: [String] {
        ["setpriv", "--reuid=\(identifier)", "--regid=\(identifier)", "--clear-groups"]
    }

    /// Returns whether a command succeeds as this user.
    func can(_ command: String, _ words: String...) throws -> Bool {
        try Self.run(prefix + ["timeout", "5", "sh", "-c", command, "sh"] + words)
    }

    private static func run(_ words: [String]) throws -> Bool {
        let child = try ChildProcess(
            name: words[0], executable: "/bin/sh", arguments: ["-c", "exec \"$@\"", "sh"] + words,
            output: "/dev/null")
        let end = child.wait(within: .seconds(10))
        if end == nil { child.stop(asking: SIGKILL, within: .seconds(5)) }
        return end == .exited(0)
    }
}
