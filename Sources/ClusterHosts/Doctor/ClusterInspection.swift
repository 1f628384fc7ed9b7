import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import Threads

/// Collects the facts of all hosts of a cluster file, then lets the hosts connect to one another.
///
/// A bounded number of commands runs at a time, each with a deadline. Every command has ended when
/// `facts` returns.
package final class ClusterInspection {
    private static let parallelCount = 32
    /// The time for a host to report that it listens. Listeners stay open for twice this time and
    /// the time limit of an answer.
    private static let listenTime = Duration.seconds(20)

    private let file: ClusterFile
    private let data: String?
    private let limit: Duration
    private let shell: HostShell
    private var number = 0
    /// Signals that end a wait early; nil where none may.
    package var interruptions: Interruptions?

    /// Creates an inspection of a cluster.
    ///
    /// - Parameters:
    ///   - ssh: Command that starts a command on another host, in place of ssh.
    ///   - executable: Path of this program.
    ///   - data: Data set to look for on each host; nil for none.
    ///   - limit: Time limit for the answer of one host.
    /// - Throws: `.usage` when `ssh` is blank.
    package init(
        _ file: ClusterFile, ssh: String? = nil, executable: String, data: String?, limit: Duration
    ) throws(RunError) {
        self.file = file
        self.data = data
        self.limit = limit
        shell = HostShell(
            transport: try HostShell.transport(ssh), executable: executable,
            scratch: try FileSystem.makeTemporaryDirectory())
    }

    deinit { FileSystem.remove(shell.scratch) }

    /// Collects the facts. A host that cannot be reached is part of the facts, not an error.
    ///
    /// - Throws: `.interrupted` when it was interrupted.
    package func facts() throws(RunError) -> ClusterFacts {
        let names = file.hosts.filter { $0.address == nil }.map(\.name)
        var facts = ClusterFacts(hosts: try collect(names))
        let answering = facts.hosts.filter { $0.report != nil }.map(\.host)
        guard answering.count > 1 else { return facts }
        for start in stride(from: 0, to: answering.count, by: Self.parallelCount) {
            let group = answering[start..<min(answering.count, start + Self.parallelCount)]
            facts.links += try links(to: Array(group), from: answering)
        }
        return facts
    }

    // MARK: Facts of each host

    private func collect(_ names: [String]) throws(RunError) -> [ClusterFacts.Host] {
        let results = try run(on: file.hosts, within: limit) { host in
            var words = ["doctor", "--json"]
            // A cluster of one host needs no names resolved.
            if self.file.hosts.count > 1 { words += names.flatMap { ["--resolve", $0] } }
            if let address = host.address { words += ["--bind", address] }
            if let port = host.port { words += ["--free-port", "\(port)"] }
            words += ["--directory", host.directory ?? "."]
            let needsData = host.isCoordinator || host.workerCount > 0
            words += needsData ? self.data.map { ["--data", $0] } ?? [] : []
            return words
        }
        return zip(file.hosts, results).map { host, result in
            ClusterFacts.Host(
                host: host, outcome: Self.outcome(result), askedAt: result.askedAt,
                answeredAt: result.answeredAt)
        }
    }

    private struct Answer {
        var end: ChildProcess.End?
        var lines: [String]
        var error: String?
        var askedAt: Double
        var answeredAt: Double
        var limit: Duration
    }

    private static func outcome(_ answer: Answer) -> ClusterFacts.Outcome {
        let error = answer.error.map { ": \($0)" } ?? ""
        switch answer.end {
        case nil: return .unreachable("no answer within \(answer.limit)\(error)")
        case .exited(HostShell.loginFailed):
            return .unreachable(answer.error ?? "exit code \(HostShell.loginFailed)")
        case .exited(HostShell.noDirectory): return .noDirectory
        case .exited(HostShell.notFound), .exited(HostShell.notExecutable):
            return .noExecutable(answer.error ?? "nothing that can be started")
        case .exited(ExitCode.done): break
        case .exited(let code): return .noReport("exit code \(code)\(error)")
        case .signalled(let signal): return .noReport("its end by signal \(signal)\(error)")
        }
        guard let report = report(answer.lines) else {
            return .noReport("\(answer.lines.count) lines of something else")
        }
        return .report(report)
    }

    /// Returns the report in a command's output. A login shell may have printed lines before it.
    private static func report(_ lines: [String]) -> HostReport? {
        guard let line = lines.last(where: { $0.hasPrefix("{") }),
            let report = try? JSONDecoder().decode(HostReport.self, from: Data(line.utf8)),
            report.version == HostReport.currentVersion
        else { return nil }
        return report
    }

    /// Runs a command on each host, several at a time.
    private func run(
        on hosts: [ClusterFile.Host], within limit: Duration,
        _ words: (ClusterFile.Host) -> [String]
    ) throws(RunError) -> [Answer] {
        var answers: [Int: Answer] = [:]
        let round = HostRound(
            parallelCount: Self.parallelCount, limit: limit, interruptions: interruptions)
        try round.run(on: hosts) { host throws(RunError) in
            try start(words(host), on: host)
        } ended: { index, command, end in
            answers[index] = Answer(
                end: end, lines: command.lines, error: command.lastError,
                askedAt: command.askedAt, answeredAt: SteadyClock.wallSeconds, limit: limit)
        }
        return hosts.indices.compactMap { answers[$0] }
    }

    private func start(
        _ words: [String], on host: ClusterFile.Host
    ) throws(RunError) -> HostCommand {
        number += 1
        return try shell.start(words, on: host, name: "\(number)")
    }

    // MARK: Ways between hosts

    /// Lets each source connect to each target. Every target listens on a port that the system
    /// chooses; the coordinator also listens on its own port.
    private func links(
        to targets: [ClusterFile.Host], from sources: [ClusterFile.Host]
    ) throws(RunError) -> [ClusterFacts.Link] {
        let seconds = Int((Self.listenTime * 2 + limit) / .seconds(1)) + 1
        var listeners: [HostCommand] = []
        for target in targets {
            for port in Set([0, target.port ?? 0]).sorted() {
                let words = [
                    "doctor", "--json", "--bind", target.address ?? NetworkProbe.anywhere,
                    "--listen-probe", "\(port),\(min(600, seconds))", "--exit-with-parent",
                ]
                listeners.append(try start(words, on: target))
            }
        }
        defer { for listener in listeners { listener.stop() } }
        let places = try awaitPorts(listeners)
        let answers = try run(on: sources, within: limit) { source in
            let others = places.filter { $0.host.name != source.name }
            return ["doctor", "--json"]
                + others.flatMap { ["--connect", Self.target($0.host, $0.port)] }
        }
        var links: [ClusterFacts.Link] = []
        for (source, answer) in zip(sources, answers) {
            let others = places.filter { $0.host.name != source.name }
            let probes = Self.report(answer.lines)?.connections ?? []
            for (place, probe) in zip(others, probes) {
                links.append(.init(from: source.name, to: place.host.name, probe))
            }
        }
        return links
    }

    private static func target(_ host: ClusterFile.Host, _ port: Int) -> String {
        let isIPv6 = host.reachableAt.contains(":")
        return isIPv6 ? "[\(host.reachableAt)]:\(port)" : "\(host.reachableAt):\(port)"
    }

    /// Waits until the listeners report their ports. A listener that does not report in time is
    /// left out; its host's own report says why.
    private func awaitPorts(
        _ listeners: [HostCommand]
    ) throws(RunError) -> [(host: ClusterFile.Host, port: Int)] {
        let deadline = SteadyClock.now + Self.listenTime
        var ports: [Int: Int] = [:]
        while SteadyClock.now < deadline {
            var isWaiting = false
            for (index, listener) in listeners.enumerated() where ports[index] == nil {
                if let port = Self.port(listener.lines) {
                    ports[index] = port
                } else if listener.end == nil {
                    isWaiting = true
                }
            }
            if !isWaiting { break }
            try HostRound.pause(interruptions)
        }
        return listeners.indices.compactMap { index in
            ports[index].map { (listeners[index].host, $0) }
        }
    }

    private static func port(_ lines: [String]) -> Int? {
        lines.lazy.compactMap { line in
            line.hasPrefix("listening ") ? Int(line.dropFirst("listening ".count)) : nil
        }.first
    }
}
