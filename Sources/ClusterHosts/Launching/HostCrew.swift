import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import Threads

/// Asks many hosts at the same time, each within a time limit.
///
/// Standard error of each host is shown line by line after the host's name. Every command has ended
/// when a method returns.
final class HostCrew {
    private static let parallelCount = 16

    let shell: HostShell
    private let interruptions: Interruptions?
    private let show: (String) -> Void
    private var number = 0
    /// Whether to go on when a host is not reached or fails. Such a host is missing among the
    /// answers.
    var isPatient = false

    /// Creates a crew with a scratch directory of its own.
    ///
    /// - Parameters:
    ///   - interruptions: Signals that end a wait early; nil where none may.
    ///   - show: Shows a line to people.
    init(
        transport: [String], executable: String, interruptions: Interruptions?,
        show: @escaping (String) -> Void
    ) throws(RunError) {
        shell = HostShell(
            transport: transport, executable: executable,
            scratch: try FileSystem.makeTemporaryDirectory())
        self.interruptions = interruptions
        self.show = show
    }

    deinit { FileSystem.remove(shell.scratch) }

    /// A command line for a host, and the path of a file for its standard input.
    struct Order {
        var line: String
        var input: String?
    }

    /// Runs an order on each host that has one.
    ///
    /// - Returns: The lines that each host printed, by host name.
    /// - Throws: `.lost` when a host was not reached, `.host` or `.fault` when a command failed;
    ///   every failure has been shown by then. `.interrupted` when the launch was interrupted.
    func run(
        on hosts: [ClusterFile.Host], within limit: Duration,
        _ order: (ClusterFile.Host) throws(RunError) -> Order?
    ) throws(RunError) -> [String: [String]] {
        var answers: [String: [String]] = [:]
        var worst = 0
        let round = HostRound(
            parallelCount: Self.parallelCount, limit: limit, interruptions: interruptions)
        try round.run(on: hosts) { host throws(RunError) in
            guard let order = try order(host) else { return nil }
            number += 1
            return try shell.start(
                line: order.line, on: host, name: "\(number)", input: order.input)
        } ended: { index, command, end in
            let name = hosts[index].name
            for line in command.errors { show("\(name): \(LineText.printable(line))") }
            let code = Self.exitCode(end, name, show)
            if code == 0 { answers[name] = command.lines }
            worst = max(worst, code)
        }
        guard worst == 0 || isPatient else {
            let text =
                worst == ExitCode.lost ? "not all hosts were reached" : "not all hosts can be used"
            throw RunError(Failure(text: text, exitCode: worst))
        }
        return answers
    }

    private static func exitCode(
        _ end: ChildProcess.End?, _ host: String, _ show: (String) -> Void
    ) -> Int {
        switch end {
        case .exited(0): return 0
        case .exited(HostShell.loginFailed):
            show("\(host): error: not reached over ssh")
            return ExitCode.lost
        case .exited(HostShell.noDirectory):
            show("\(host): error: its directory= is not there")
            return ExitCode.data
        case .exited(let code):
            return [ExitCode.lost, ExitCode.internalError].contains(code) ? code : ExitCode.data
        case .signalled(let signal):
            show("\(host): error: ended by signal \(signal)")
            return ExitCode.internalError
        case nil:
            show("\(host): error: no answer in time")
            return ExitCode.lost
        }
    }

    /// Sends each host's agent a request and waits for the answers.
    ///
    /// - Parameter payload: Path of a file that is sent after the request.
    /// - Returns: The answers by host name.
    /// - Throws: As `run(on:within:_:)` does, and the first failure that an agent reports.
    func ask(
        _ hosts: [ClusterFile.Host], within limit: Duration, payload: String? = nil,
        _ request: (ClusterFile.Host) throws(RunError) -> HostRequest?
    ) throws(RunError) -> [String: HostAnswer] {
        let lines = try run(on: hosts, within: limit) { host throws(RunError) in
            guard let request = try request(host) else { return nil }
            let line = HostShell.command(
                ["host"], directory: host.directory, executable: shell.executable)
            return Order(line: line, input: try write(request, payload))
        }
        var answers: [String: HostAnswer] = [:]
        for host in hosts {
            guard let said = lines[host.name] else { continue }
            guard let line = said.last(where: { $0.hasPrefix("{") }),
                let answer = try? JSONDecoder().decode(HostAnswer.self, from: Data(line.utf8))
            else { throw .fault("\(host.name): expected an answer, found something else") }
            answers[host.name] = answer
        }
        for host in hosts {
            guard let answer = answers[host.name], let problem = answer.problem else { continue }
            let text = host.name == ClusterLaunch.thisMachine.name ? problem : "\(host.name): \(problem)"
            guard isPatient else {
                throw RunError(Failure(text: text, exitCode: answer.exitCode))
            }
            show(text)
        }
        return answers
    }

    /// Writes a request into a file for standard input and returns its path. The file may contain
    /// keys, so only this user may read it.
    private func write(_ request: HostRequest, _ payload: String?) throws(RunError) -> String {
        guard let json = try? JSONEncoder().encode(request) else {
            throw .fault("cannot write a request")
        }
        let path = "\(shell.scratch)/\(number + 1).in"
        var bytes = Array(json) + [UInt8(ascii: "\n")]
        if let payload { bytes += try FileSystem.read(payload) }
        try FileSystem.write(bytes, to: path, mode: 0o600, durably: false)
        return path
    }
}
