import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import Logging
import RunFiles

/// The command `convoy coordinator`, which coordinates one run.
struct CoordinatorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator",
        abstract: "Coordinate a run whose servers and workers are started elsewhere.",
        discussion: RunOptions.help)

    @OptionGroup var options: RunOptions
    @OptionGroup var role: RoleOptions

    @Option(help: "Where everything of the run is written.")
    var runDir: String

    @OptionGroup var security: SecurityOptions
    @OptionGroup var insecurity: InsecureOption

    @Option(help: "Endpoint to listen at, tcp://ADDRESS:PORT; * as port lets the system choose one.")
    var listen: String

    @Option(help: "Port of the second socket, for checkpoints; the system chooses one otherwise.")
    var statePort: Int?

    @Option(help: "Address or name under which others reach this host, where that is another.")
    var announce: String?

    @Flag(help: "Go on with the run in the run directory; members still at work are taken back.")
    var resume = false

    @Flag(help: .hidden)
    var freshMembers = false

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let interruptions = try Interruptions(watchingParent: role.exitWithParent)
            LifeSigns.begin(isChild: role.exitWithParent)
            let directory = RunDirectory(runDir)
            let endpoint = try ListenAddress.resolve(
                Endpoint(listen, flag: "--listen"), flag: "--listen", interruptions)
            if let statePort, !(1...65_535).contains(statePort) {
                throw .usage("--state-port: expected 1 to 65535, found \(statePort)")
            }
            try options.requireFitting(isResuming: resume)
            let announced = try ListenAddress.announced(announce)
            try insecurity.requireFitting(security)
            let given = try security.transport()
            try given.keys?.requireCoordinator()
            try given.requireSafe(endpoint, flag: "--listen", insecure: insecurity.insecure)
            let (configuration, made) = try prepare(directory)
            let log = role.installLog(
                role: "coordinator", default: "\(directory.logs)/coordinator.jsonl")
            var settings = CoordinatorProcess.Settings(
                configuration: configuration, directory: directory, listen: endpoint,
                statePort: statePort, announce: announced, transport: given,
                isResuming: resume, mayHaveMembers: resume && !freshMembers)
            settings.changesSettings = options.changeSettings
            var end: CoordinatorMachine.Outcome
            repeat {
                guard let (found, wasStopped) = try run(settings, made, log, interruptions) else {
                    Terminal.report("the process that started this coordinator is gone")
                    return ExitCode.lost
                }
                end = found
                // A stop that came after the decision to go on.
                if end.goesOn, wasStopped { return ExitCode.interrupted }
                // The run goes on with what was frozen. Its members join anew, at the same place.
                settings.isResuming = true
                settings.mayHaveMembers = false
                settings.keepsEndpoints = true
            } while end.goesOn
            if end.exitCode != ExitCode.done, end.exitCode != ExitCode.interrupted {
                Terminal.report(end.reason)
            }
            return end.exitCode
        }
    }

    /// Runs a coordinator to its end; nil when the process that started this one is gone.
    private func run(
        _ settings: CoordinatorProcess.Settings, _ made: Made, _ log: Logger,
        _ interruptions: Interruptions
    ) throws(RunError) -> (CoordinatorMachine.Outcome, wasStopped: Bool)? {
        let (process, entry) = try start(settings, made, log, interruptions)
        defer { entry?.withdraw() }
        var wasStopped = false
        while !process.hasEnded {
            switch interruptions.wait(timeout: .seconds(1)) {
            case .stopRequested:
                wasStopped = true
                process.requestStop()
            case .parentGone: return nil
            case .woken, .timeout: break
            }
        }
        return (process.join(), wasStopped)
    }

    /// What this process has created for a run that may never begin.
    private enum Made { case nothing, directory, contents }

    /// Starts the coordinator. If it cannot start, what this process has created for the run is
    /// removed, so that nothing stands in the way of the next attempt.
    private func start(
        _ settings: CoordinatorProcess.Settings, _ made: Made, _ log: Logger,
        _ interruptions: Interruptions
    ) throws(RunError) -> (CoordinatorProcess, KeyRegistry.Entry?) {
        var settings = settings
        do throws(RunError) {
            settings.transport = try RunKeys.transport(
                settings.transport, in: settings.directory, insecure: insecurity.insecure, log: log)
            let process = try CoordinatorProcess(settings, log: log, output: .standard) {
                interruptions.wake()
            }
            let entry = RunKeys.publish(settings.transport, of: settings.directory) {
                Terminal.warn($0)
                log.warning(
                    "the run's keys are not found by its endpoint",
                    metadata: [LogKey.reason: "\($0)"])
            }
            return (process, entry)
        } catch {
            if made != .nothing {
                settings.directory.removeIfUnused(wasThere: made == .contents)
            }
            throw error
        }
    }

    /// Returns the configuration, and creates the run directory if the coordinator was started by
    /// hand. `convoy train` has created the directory before it starts a coordinator.
    private func prepare(
        _ directory: RunDirectory
    ) throws(RunError) -> (RunConfiguration, Made) {
        if role.exitWithParent { return (try options.configuration(), .nothing) }
        if resume {
            try directory.requireExisting()
            let configuration = try options.configuration(
                over: RunConfiguration.load(file: directory.configuration))
            return (configuration, .nothing)
        }
        let configuration = try options.configuration()
        let made = try directory.create() ? Made.contents : .directory
        do throws(RunError) {
            try FileSystem.replace(directory.configuration, with: configuration.yaml)
        } catch {
            directory.removeIfUnused(wasThere: made == .contents)
            throw error
        }
        return (configuration, made)
    }
}

/// The command `convoy server`, which hosts shards of a run.
struct ServerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server", abstract: "Hold slices of the parameters for a coordinator's run.")

    @OptionGroup var member: MemberOptions
    @OptionGroup var role: RoleOptions

    func run() throws { try member.run(.server, threadCount: 1, options: role) }
}

/// The command `convoy worker`, which computes gradients for a run.
struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Compute gradients for a coordinator's run.")

    @OptionGroup var member: MemberOptions
    @OptionGroup var role: RoleOptions
    @OptionGroup var data: DataFlags

    @Option(help: "Compute threads.")
    var threads: Int = 1

    /// A step in which one bit of one gradient is flipped, to test that an audit finds it.
    @Option(help: .hidden)
    var flipBitInStep: Int?

    func run() throws {
        guard (1...1024).contains(threads) else {
            throw Terminal.fail(
                .usage("--threads: expected a whole number from 1 to 1024, found \(threads)"))
        }
        if let step = flipBitInStep, step < 0 {
            throw Terminal.fail(.usage("--flip-bit-in-step: expected at least 0, found \(step)"))
        }
        try member.run(
            .worker, threadCount: threads, options: role, data: try data.options(),
            makeEngine: flipBitInStep.map { BitFlippingEngine.maker(flippingInStep: $0) })
    }
}
