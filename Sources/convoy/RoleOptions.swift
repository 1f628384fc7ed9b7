import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import Logging
import RunFiles

/// The flags of every role that runs as a process of its own.
struct RoleOptions: ParsableArguments {
    @Option(help: "Write the log there, as JSON lines.")
    var logFile: String?

    @Flag(help: .hidden)
    var exitWithParent = false

    @Option(help: "A name for people, in place of a number in the order of joining.")
    var label: String?

    /// Directs the log of this process to its destination.
    ///
    /// - Parameter path: the log file when `--log-file` is not given; nil for standard error.
    func installLog(role: String, default path: String? = nil) -> Logger {
        let output = (logFile ?? path).map { LogOutput.file($0) } ?? .standardError
        output.install(role: role)
        return Logger(label: role)
    }
}

/// The flags of workers and servers.
struct MemberOptions: ParsableArguments {
    @Option(help: "The coordinator's endpoint, for instance tcp://127.0.0.1:5555.")
    var coordinator: String

    @OptionGroup var security: SecurityOptions
    @OptionGroup var insecurity: InsecureOption

    @Option(
        help: """
            Where its shards listen: ADDRESS, NETWORK/BITS or an interface, :PORT behind it or not. \
            Otherwise the address that the route to the coordinator uses.
            """)
    var bind: String?

    @Option(help: "Address or name under which others reach this host, where that is another.")
    var announce: String?

    @Option(help: "Give up when no coordinator answers within this many seconds.")
    var connectTimeout: Double = 30

    @Option(help: "Run on these cores alone, for instance 0-3,8; all that the system allows otherwise.")
    var cores: String?

    /// Runs a worker or a server to its end.
    func run(
        _ role: Role, threadCount: Int, options: RoleOptions, data: DataOptions = DataOptions(),
        makeEngine: EngineMaker? = nil
    ) throws {
        try Terminal.run { () throws(RunError) -> Int in
            guard connectTimeout > 0, connectTimeout <= 86_400 else {
                throw .usage(
                    "--connect-timeout: expected seconds above 0, found \(connectTimeout)")
            }
            // Threads that are started later inherit the binding.
            try Self.confine(to: cores)
            let interruptions = try Interruptions(watchingParent: options.exitWithParent)
            LifeSigns.begin(isChild: options.exitWithParent)
            let limit = Duration.milliseconds(Int(connectTimeout * 1000))
            try insecurity.requireFitting(security)
            var transport = try security.transport()
            let place = try MemberPlace(
                coordinator: coordinator, bind: bind, announce: announce, within: limit,
                interruptions)
            try transport.requireSafe(
                place.addresses.listen, flag: "--bind", insecure: insecurity.insecure)
            let log = options.installLog(role: role.rawValue)
            if transport.keys == nil, !insecurity.insecure {
                transport = Transport(
                    keys: try KeyRegistry.own.keys(
                        at: place.localPlaces, place.text, within: limit,
                        pause: ListenAddress.pause(interruptions)))
            }
            transport.warnIfOpen(log)
            if let cores { log.info("bound to cores", metadata: [LogKey.cores: "\(cores)"]) }
            var settings = MemberProcess.Settings(
                role: role, coordinator: place.coordinator, coordinatorPlace: place.text,
                addresses: place.addresses, transport: transport, threadCount: threadCount,
                connectTimeout: limit, label: options.label)
            settings.data = data
            settings.makeEngine = makeEngine
            var end: Shutdown
            var isStopping = false
            repeat {
                let process = try MemberProcess(settings, log: log) { interruptions.wake() }
                while !process.hasEnded {
                    switch interruptions.wait(timeout: .seconds(1)) {
                    case .stopRequested:
                        isStopping = true
                        process.requestStop()
                    case .parentGone:
                        isStopping = true
                        process.requestStop()
                        process.requestStop()
                    case .woken, .timeout: break
                    }
                }
                end = process.join()
                // The coordinator has to read the checkpoint before it listens again.
                settings.connectTimeout = max(limit, .seconds(120))
            } while end.rejoins && !isStopping
            if options.logFile != nil {
                // On a terminal the line below, if any, says the reason.
                log.info(
                    "ended",
                    metadata: [
                        LogKey.reason: "\(end.reason)", LogKey.exitCode: "\(end.exitCode)",
                    ])
            }
            if end.exitCode != ExitCode.done, !options.exitWithParent { Terminal.report(end.reason) }
            return end.exitCode
        }
    }

    /// Binds this thread, and all that it starts later, to cores.
    private static func confine(to text: String?) throws(RunError) {
        guard let text else { return }
        let cores = try CoreSet(text, flag: "--cores")
        let allowed = CoreSet.allowed
        guard Set(cores.cores).isSubset(of: allowed.cores), cores.confine() else {
            throw .usage("--cores: expected some of \(allowed), where this process may run, found \(text)")
        }
    }
}
