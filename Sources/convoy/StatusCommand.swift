import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles
import Threads

/// The command `convoy status`, which shows the state of a run.
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "How a run is: progress, members, who is slow, what has failed.",
        discussion: """
            Exit codes: 0 healthy (it runs, has a worker, and all shards are in place), 75 reached \
            but not healthy, 69 not reached, 65 no run directory. Of a run that has ended: its \
            exit code.
            """)

    @Argument(help: "The run's directory; without one, the newest in runs/.")
    var runDir: String?

    @Option(help: "Ask the coordinator at this endpoint, for instance tcp://10.1.2.3:5555.")
    var coordinator: String?

    @Flag(help: "One JSON object on one line.")
    var json = false

    @Flag(help: "Renew it every second, until Ctrl-C or the end of the run.")
    var watch = false

    @OptionGroup var security: SecurityOptions

    @Option(help: "Seconds to wait for an answer.")
    var timeout: Double = 3

    /// The time that `--watch` waits for another coordinator. Members wait as long.
    private static let watchPatience = Duration.seconds(120)

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            guard timeout > 0, timeout <= 3600 else {
                throw .usage("--timeout: expected seconds above 0, at most 3600, found \(timeout)")
            }
            let query = StatusQuery(try target(), try security.transport())
            guard watch else { return show(try query.ask(within: limit)) }
            return try follow(query)
        }
    }

    private var limit: Duration { .milliseconds(Int(max(1, timeout * 1000))) }

    private func target() throws(RunError) -> StatusQuery.Target {
        if let coordinator {
            guard runDir == nil else {
                throw .usage("--coordinator and a run directory exclude each other")
            }
            return .endpoint(coordinator)
        }
        guard let directory = runDir ?? RunDirectory.newest(in: "runs") else {
            throw .usage("name a run directory, or --coordinator ENDPOINT; there is none in runs/")
        }
        return .directory(RunDirectory(directory))
    }

    /// Shows an answer.
    ///
    /// - Returns: the exit code that belongs to it.
    private func show(_ answer: StatusQuery.Answer) -> Int {
        if json {
            Terminal.show(StatusJSON.text(answer))
        } else {
            let screen = watch && isatty(1) == 1
            Terminal.show(
                (screen ? "\u{1B}[H\u{1B}[2J" : "")
                    + StatusTable.lines(answer).joined(separator: "\n"))
        }
        return switch answer {
        case .live(let status): status.isHealthy ? ExitCode.done : ExitCode.degraded
        case .finished(let run): run.exitCode
        }
    }

    /// Shows an answer every second until the run ends or the user stops the command.
    ///
    /// - Returns: the exit code of the last answer.
    private func follow(_ query: StatusQuery) throws(RunError) -> Int {
        let interruptions = try Interruptions()
        var silentSince: Duration?
        var code = ExitCode.lost
        while true {
            do throws(RunError) {
                let answer = try query.ask(within: limit)
                silentSince = nil
                code = show(answer)
                if case .finished = answer { return code }
            } catch {
                // A coordinator that died may get a successor. A coordinator that was never reached
                // is an error.
                guard error.kind == .lost, code != ExitCode.lost else { throw error }
                let since = silentSince ?? SteadyClock.now
                silentSince = since
                guard SteadyClock.now - since < Self.watchPatience else { throw error }
                Terminal.report(error.text)
            }
            if case .stopRequested = interruptions.wait(timeout: .seconds(1)) { return code }
        }
    }
}
