import ArgumentParser
import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Glibc
import Partitions
import RunFiles

/// The command `convoy train`, which trains on this machine with several processes.
struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Train on this machine: coordinator, servers and workers as processes.",
        discussion: RunOptions.help)

    @OptionGroup var options: RunOptions

    @OptionGroup var security: SecurityOptions

    @OptionGroup var insecurity: InsecureOption

    @OptionGroup var dataFlags: DataFlags

    @Option(help: "Where everything of the run is written; must not hold anything yet.")
    var runDir: String?

    @Option(help: "Go on with the run in this directory, from its newest checkpoint.")
    var resume: String?

    @Flag(
        inversion: .prefixedNo,
        help: """
            Bind each worker to its part of the cores; done when there are enough, and no other run \
            on this machine does it.
            """)
    var bindCores = true

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let interruptions = try Interruptions()
            if resume != nil, runDir != nil {
                throw .usage("--resume and --run-dir exclude each other")
            }
            try options.requireFitting(isResuming: resume != nil)
            let directory = RunDirectory(resume ?? runDir ?? Self.defaultDirectory())
            var base: RunConfiguration?
            if resume != nil {
                try directory.requireExisting()
                base = try RunConfiguration.load(file: directory.configuration)
            }
            let configuration = try options.configuration(over: base)
            try configuration.requireInstructions()
            try importData(of: configuration)
            var settings = LocalLauncher.Settings(
                executable: try Executable.path(), configuration: configuration,
                directory: directory, isResuming: resume != nil,
                keys: try security.transport().keys?.directory)
            settings.isInsecure = insecurity.insecure
            settings.bindsCores = bindCores
            settings.changesSettings = options.changeSettings
            settings.workerArguments = try dataFlags.arguments()
            let launcher = LocalLauncher(settings, interruptions: interruptions) {
                // The thread that supervises processes must not wait for a reader.
                Screen.show("  \($0)\n")
            }
            return try launcher.run()
        }
    }

    /// Imports the data where that is necessary, with a line of progress. The processes of the run
    /// find it in the cache.
    private func importData(of configuration: RunConfiguration) throws(RunError) {
        let data = configuration.data
        let specification: DataSpecification
        do throws(DataError) { specification = try data.specification() } catch {
            throw RunError(error)
        }
        try ImportDisplay.importing(specification) { (importer) throws(RunError) in
            do throws(DataError) {
                _ = try importer?.directory(specification, partitionCount: data.partitions)
            } catch {
                throw RunError(error)
            }
        }
    }

    /// Returns the default run directory: `runs/`, then the local time and the process identifier.
    static func defaultDirectory() -> String {
        var now = time(nil)
        var parts = tm()
        localtime_r(&now, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let day = "\(1900 + parts.tm_year)\(two(parts.tm_mon + 1))\(two(parts.tm_mday))"
        let clock = "\(two(parts.tm_hour))\(two(parts.tm_min))\(two(parts.tm_sec))"
        return "runs/\(day)-\(clock)-\(getpid())"
    }
}
