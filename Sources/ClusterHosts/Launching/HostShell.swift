import ClusterProtocol
import Glibc
import RunFiles
import Threads

/// Starts commands on the hosts of a cluster file: directly on this machine, over ssh elsewhere.
///
/// A command that replaces ssh is called as ssh is, `WORDS... [USER@]HOST COMMAND`. It must end
/// with 255 when it cannot reach the host.
struct HostShell: Sendable {
    static let ssh = [
        "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o",
        "ServerAliveCountMax=3",
    ]

    /// Returns the words of the command that reaches other hosts: `override`, otherwise the
    /// environment variable CONVOY_SSH, otherwise ssh.
    ///
    /// - Throws: `.usage` when the command is blank.
    static func transport(_ override: String? = nil) throws(RunError) -> [String] {
        guard let text = override ?? ProcessEnvironment.variables["CONVOY_SSH"], !text.isEmpty else {
            return ssh
        }
        let words = text.split(separator: " ").map(String.init)
        guard !words.isEmpty else { throw .usage("--ssh: expected a command, found nothing") }
        return words
    }

    /// The exit code of the command line on a host when its directory does not exist.
    static let noDirectory = 125
    /// The exit code of a shell that cannot execute the program.
    static let notExecutable = 126
    /// The exit code of a shell that does not find the program.
    static let notFound = 127
    /// The exit code of ssh when it cannot reach or log in to the host.
    static let loginFailed = 255

    var transport = Self.ssh
    /// The path of the executable on hosts without `directory=`. It is the same path as on this
    /// machine.
    var executable: String
    /// The directory for files with the output of the hosts.
    var scratch: String

    /// Starts the executable on a host. Its output files are called after `name`, which must differ
    /// between commands at work.
    func start(
        _ arguments: [String], on host: ClusterFile.Host, name: String, input: String? = nil
    ) throws(RunError) -> HostCommand {
        try start(
            line: Self.command(arguments, directory: host.directory, executable: executable),
            on: host, name: name, input: input)
    }

    /// Starts a command line for the host's shell.
    ///
    /// - Parameters:
    ///   - input: Path of a file for its standard input. With nil, standard input closes when this
    ///     process ends.
    ///   - sharesOutput: Whether standard output goes to this process's standard output, without a
    ///     limit of its size.
    func start(
        line command: String, on host: ClusterFile.Host, name: String, input: String? = nil,
        sharesOutput: Bool = false
    ) throws(RunError) -> HostCommand {
        let words =
            Self.isHere(host.name)
            ? ["/bin/sh", "-c", command] : transport + [host.destination, command]
        let (output, errors) = ("\(scratch)/\(name).out", "\(scratch)/\(name).err")
        unlink(output)
        unlink(errors)
        // The output of a host is cut off after 8 MiB.
        let limited =
            "\(sharesOutput ? "" : "ulimit -f 16384; ")exec \"$@\" 2>\"$0\""
            + (input.map { " <\(Self.quoted($0))" } ?? "")
        let child = try ChildProcess(
            name: name, executable: "/bin/sh", arguments: ["-c", limited, errors] + words,
            output: sharesOutput ? nil : output)
        return HostCommand(host: host, child: child, outputPath: output, errorPath: errors)
    }

    /// Returns a command line for the host's shell that runs the executable.
    static func command(_ arguments: [String], directory: String?, executable: String) -> String {
        let words = arguments.map(quoted).joined(separator: " ")
        guard let directory else { return "exec \(quoted(executable)) \(words)" }
        return "cd \(quoted(directory)) || exit \(noDirectory); "
            + "exec \(quoted("\(directory)/convoy")) \(words)"
    }

    static func quoted(_ word: String) -> String {
        let parts = word.split(separator: "'", omittingEmptySubsequences: false)
        return "'" + parts.joined(separator: #"'\''"#) + "'"
    }

    /// Returns whether a name or address belongs to this machine.
    static func isHere(_ name: String) -> Bool {
        if name == "localhost" { return true }
        guard case .success(let all) = NetworkProbe.addresses(of: name, port: 0), !all.isEmpty
        else { return false }
        let own = Set(NetworkProbe.interfaces.map(\.address))
        return all.allSatisfy { own.contains($0.text) || NetworkProbe.isLoopback($0.text) }
    }
}

/// A command at work on a host. It is killed when its last reference goes.
final class HostCommand {
    let host: ClusterFile.Host
    let startedAt = SteadyClock.now
    let askedAt = SteadyClock.wallSeconds
    private let child: ChildProcess
    private let outputPath: String
    private let errorPath: String
    private var tail: FileTail

    init(host: ClusterFile.Host, child: ChildProcess, outputPath: String, errorPath: String) {
        self.host = host
        self.child = child
        self.outputPath = outputPath
        self.errorPath = errorPath
        tail = FileTail(outputPath)
    }

    var end: ChildProcess.End? { child.poll() }

    /// The complete lines of standard output so far.
    var lines: [String] {
        let text = String(decoding: (try? FileSystem.read(outputPath)) ?? [], as: UTF8.self)
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        lines.removeLast()
        return lines
    }

    /// Returns the complete lines of standard output since the last call.
    func addedLines() -> [Substring] { tail.added() }

    /// The lines of standard error so far, each cut to 1,000 characters.
    var errors: [String] {
        String(decoding: (try? FileSystem.read(errorPath)) ?? [], as: UTF8.self)
            .split(whereSeparator: \.isNewline).map { String($0.prefix(1000)) }
    }

    /// The last line of standard error, cut to 200 characters.
    var lastError: String? { errors.last.map { String($0.prefix(200)) } }

    /// Kills the local process. A command on another host sees its standard input close.
    func stop() { child.stop(asking: SIGKILL, within: .zero) }
}
