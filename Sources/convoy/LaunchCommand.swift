import ArgumentParser
import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import RunFiles

/// The command `convoy launch`, which starts a run that outlives the terminal.
struct LaunchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "launch",
        abstract: "Start a run that outlives the terminal, here or on the hosts of a cluster file.",
        discussion: """
            Ends as soon as all processes are started; convoy monitor follows the run, convoy stop ends \
            it. Once more for the same run directory it goes on from the newest checkpoint, or starts \
            what is gone. Hosts of a cluster file need ssh without a question (CONVOY_SSH replaces it \
            with its options) and a POSIX shell; the program is copied to them.

            \(RunOptions.help)
            """)

    @Option(help: "The hosts, one a line: see Cluster/hosts.example. Without it: this machine.")
    var cluster: String?

    @Option(help: "Where everything of the run is written, on the coordinator's host.")
    var runDir: String?

    @Flag(help: "With --cluster: go on in spite of errors that convoy doctor finds.")
    var force = false

    @OptionGroup var options: RunOptions
    @OptionGroup var security: SecurityOptions
    @OptionGroup var insecurity: InsecureOption
    @OptionGroup var dataFlags: DataFlags
    @OptionGroup var listening: ListenOptions

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let interruptions = try Interruptions()
            try insecurity.requireFitting(security)
            let file: ClusterFile?
            if let cluster { file = try ClusterFile.load(cluster) } else { file = nil }
            let directory = RunDirectory.name(runDir ?? TrainCommand.defaultDirectory())
            var settings = try ClusterLaunch.Settings(
                executable: try Executable.path(), runDirectory: directory, cluster: file)
            try add(to: &settings)
            let launch = try ClusterLaunch(settings, interruptions: interruptions) {
                Screen.report("launch: \($0)\n")
            }
            Terminal.show(try launch.run())
            return ExitCode.done
        }
    }

    /// Adds what the flags say to the settings of the launch.
    private func add(to settings: inout ClusterLaunch.Settings) throws(RunError) {
        let isOnHosts = settings.cluster != nil
        let flags = try SettingFlags(options.settings)
        // Errors in the flags are reported before any host is contacted.
        settings.data = try options.configuration(isElsewhere: true).data.source
        settings.isForced = force
        settings.changesSettings = options.changeSettings
        settings.isInsecure = insecurity.insecure
        settings.keys = security.keys ?? ProcessInfo.processInfo.environment["CONVOY_KEYS"]
        settings.workerArguments = try dataFlags.arguments()
        var arguments = try listening.arguments(isOnHosts: isOnHosts)
        if options.changeSettings { arguments.append("--change-settings") }
        guard isOnHosts else {
            if let config = options.config { arguments += ["--config", config] }
            settings.coordinatorArguments = arguments + options.settings
            return
        }
        for key in ["cluster.workers", "cluster.servers", "cluster.threads"] where flags.has(key) {
            throw .usage("--\(key.dropFirst(8)): the cluster file says that")
        }
        if let config = options.config { settings.files.append(("config", config)) }
        var left: Set = ["init.file"]
        if let model = flags.text("model"), FileSystem.exists(model) {
            settings.files.append(("model", model))
            left.insert("model")
        }
        if let path = flags.text("init.file") { settings.files.append(("init", path)) }
        settings.coordinatorArguments = arguments + flags.arguments(leavingOut: left)
    }
}

/// The flags that say where a launched coordinator listens.
struct ListenOptions: ParsableArguments {
    @Option(help: "Endpoint of the coordinator, tcp://ADDRESS:PORT; not with --cluster.")
    var listen: String?

    @Option(help: "Port of the coordinator's second socket, for checkpoints.")
    var statePort: Int?

    @Option(help: "Address or name under which others reach the coordinator; not with --cluster.")
    var announce: String?

    /// Returns these flags as arguments for the coordinator.
    ///
    /// - Parameter isOnHosts: whether a cluster file is used. It names the addresses, so flags for
    ///   them are refused.
    func arguments(isOnHosts: Bool) throws(RunError) -> [String] {
        for (flag, value) in [("--listen", listen), ("--announce", announce)]
        where isOnHosts && value != nil {
            throw .usage("\(flag): the cluster file says that")
        }
        var arguments = listen.map { ["--listen", $0] } ?? []
        arguments += statePort.map { ["--state-port", "\($0)"] } ?? []
        return arguments + (announce.map { ["--announce", $0] } ?? [])
    }
}

/// The command `convoy stop`, which ends what `convoy launch` started.
struct StopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop",
        abstract: "End what convoy launch started, here and on the hosts of a cluster file.",
        discussion: """
            The coordinator takes a checkpoint first. Ends with 0 when all went by themselves, with 1 \
            when one had to be killed or a host was not reached: then the hosts stay listed, for \
            another try. convoy launch and convoy train --resume go on with the run.
            """)

    @Option(help: "Seconds for the coordinator; then processes are asked, and 5 s later killed.")
    var within: Int = 30

    @Argument(help: "The run's directory; without one, the newest that was launched in runs/.")
    var runDir: String?

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            guard (0...86_400).contains(within) else {
                throw .usage("--within: expected seconds from 0 to 86400, found \(within)")
            }
            guard let directory = runDir ?? ClusterStop.newest(in: "runs") else {
                throw .runDirectory("runs/*.pids is not there; nothing was launched here")
            }
            let path = RunDirectory.name(directory)
            let outcome = try ClusterStop.stop(
                path, within: within, executable: try Executable.path()
            ) { Screen.report("\($0)\n") }
            let were = outcome.count == 1 ? "process was" : "processes were"
            Terminal.show("\(path): \(outcome.count) \(were) running")
            return outcome.isClean ? ExitCode.done : ExitCode.incomplete
        }
    }
}

/// The command `convoy monitor`, which follows a run.
struct MonitorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "monitor",
        abstract: "Follow a run: its state, then a line an epoch, and the warnings of all processes.",
        discussion: """
            Ends when the run has ended, with the run's exit code, or with 69 when no coordinator has \
            answered for two minutes. A run on the hosts of a cluster file is followed there, over ssh.
            """)

    @Option(help: "A line every so many steps; 0 for none.")
    var every: Int = 100

    @Flag(help: "Show what there is and end.")
    var once = false

    @Flag(help: "Nothing but warnings and errors, until it is stopped.")
    var logs = false

    @Flag(help: .hidden)
    var exitWithParent = false

    @OptionGroup var security: SecurityOptions

    @Argument(help: "The run's directory; without one, the newest in runs/.")
    var runDir: String?

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            guard (0...1_000_000_000).contains(every) else {
                throw .usage("--every: expected a number of steps from 0, found \(every)")
            }
            let interruptions = try Interruptions(watchingParent: exitWithParent)
            guard let directory = runDir ?? RunDirectory.newest(in: "runs") else {
                throw .usage("name a run directory; there is none in runs/")
            }
            let path = RunDirectory.name(directory)
            let show: (String) -> Void = { Terminal.show($0) }
            if !exitWithParent, let follower = try ClusterFollower(path, show: show) {
                let options = ["--every", "\(every)"] + (once ? ["--once"] : []) + (logs ? ["--logs"] : [])
                return try follower.follow(
                    options: options, isOnce: once, showsLogsAlone: logs, interruptions)
            }
            let run = RunDirectory(path)
            var transport = try security.transport()
            // A launch on hosts puts the keys of the run into this directory.
            if transport.keys == nil, FileSystem.exists("\(path).node") {
                transport = Transport(keys: try KeyRing(directory: "\(path).node"))
            }
            var follower = RunFollower(
                run, stepInterval: every, showsLogsAlone: logs,
                query: StatusQuery(.directory(run), transport), show: show)
            return try follower.follow(isOnce: once, interruptions)
        }
    }
}

/// The helper that `convoy launch` and `convoy stop` start on each host.
struct HostCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "host", abstract: "Do what a launch asks on standard input.",
        shouldDisplay: false)

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let request = try HostAgent.readRequest()
            let agent = HostAgent(request, executable: try Executable.path()) {
                Screen.report("\($0)\n")
            }
            do {
                let json = try JSONEncoder().encode(agent.perform())
                Terminal.show(String(decoding: json, as: UTF8.self))
            } catch { throw .fault("cannot write an answer: \(error)") }
            return ExitCode.done
        }
    }
}
