import ClusterProtocol
import Glibc
import RunFiles
import Threads

/// Starts commands on the hosts of a cluster file: here directly, elsewhere over ssh.
///
/// What starts it elsewhere is called as ssh is, `WORDS... [USER@]HOST COMMAND`, and ends with 255
/// when it cannot reach the host.
struct HostShell: Sendable {
    static let ssh = [
        "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o",
        "ServerAliveCountMax=3",
    ]

    /// ssh, or what the environment names in its place.
    static func transport(_ override: String? = nil) throws(Failure) -> [String] {
        guard let text = override ?? ProcessEnvironment.variables["CONVOY_SSH"], !text.isEmpty else {
            return ssh
        }
        let words = text.split(separator: " ").map(String.init)
        guard !words.isEmpty else { throw .usage("--ssh: expected a command, found nothing") }
        return words
    }

    /// Exit codes of the command line on the host.
    static let noDirectory = 125
    static let notExecutable = 126
    static let notFound = 127
    static let loginFailed = 255

    var transport = Self.ssh
    /// Where the executable is on hosts without `directory=`: the same path as here.
    var executable: String
    /// Files for what the hosts say.
    var scratch: String

    /// Starts it; files are called after `name`, which must differ between those at work.
    func start(
        _ arguments: [String], on host: ClusterFile.Host, name: String, input: String? = nil
    ) throws(Failure) -> HostCommand {
        try start(
            line: Self.command(arguments, directory: host.directory, executable: executable),
            on: host, name: name, input: input)
    }

    /// Starts a line for the host's shell.
    ///
    /// - Parameters:
    ///   - input: a file for its standard input; nil: one that closes when this process ends.
    ///   - sharesOutput: what it says goes to this process's standard output, however much it is.
    func start(
        line command: String, on host: ClusterFile.Host, name: String, input: String? = nil,
        sharesOutput: Bool = false
    ) throws(Failure) -> HostCommand {
        let words =
            Self.isHere(host.name)
            ? ["/bin/sh", "-c", command] : transport + [host.destination, command]
        let (output, errors) = ("\(scratch)/\(name).out", "\(scratch)/\(name).err")
        unlink(output)
        unlink(errors)
        // A host that says more than 8 MiB is cut off.
        let limited =
            "\(sharesOutput ? "" : "ulimit -f 16384; ")exec \"$@\" 2>\"$0\""
            + (input.map { " <\(Self.quoted($0))" } ?? "")
        let child = try ChildProcess(
            name: name, executable: "/bin/sh", arguments: ["-c", limited, errors] + words,
            output: sharesOutput ? nil : output)
        return HostCommand(host: host, child: child, outputPath: output, errorPath: errors)
    }

    /// A line for the host's shell.
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

    /// Whether a name or address is this machine's.
    static func isHere(_ name: String) -> Bool {
        if name == "localhost" { return true }
        guard case .success(let all) = NetworkProbe.addresses(of: name, port: 0), !all.isEmpty
        else { return false }
        let own = Set(NetworkProbe.interfaces.map(\.address))
        return all.allSatisfy { own.contains($0.text) || NetworkProbe.isLoopback($0.text) }
    }
}

/// A command at work on a host; it ends with its last reference.
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

    /// Whole lines of standard output.
    var lines: [String] {
        let text = String(decoding: (try? FileSystem.read(outputPath)) ?? [], as: UTF8.self)
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        lines.removeLast()
        return lines
    }

    /// Whole lines of standard output since this was asked last.
    func addedLines() -> [Substring] { tail.added() }

    /// What it said on standard error.
    var errors: [String] {
        String(decoding: (try? FileSystem.read(errorPath)) ?? [], as: UTF8.self)
            .split(whereSeparator: \.isNewline).map { String($0.prefix(1000)) }
    }

    /// The last thing it said on standard error.
    var lastError: String? { errors.last.map { String($0.prefix(200)) } }

    /// Ends it: standard input closes, which the other side sees too.
    func stop() { child.stop(asking: SIGKILL, within: .zero) }
}
