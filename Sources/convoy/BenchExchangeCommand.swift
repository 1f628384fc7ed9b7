import ArgumentParser
import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Glibc
import NeuralNetwork
import RunFiles

/// The command `convoy bench exchange`. It trains with gradients that cost nothing, so that the
/// time of a step is the time of the exchange and its control.
///
/// Coordinator, servers and workers are real processes. Sockets, shards, sums and the optimizer
/// (SGD, one multiplication and one addition for each parameter) are those of every run. Only the
/// engine of a worker is another one: `ExchangeEngine`.
struct BenchExchangeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exchange",
        abstract: "Measure a step without computation: gradients in, weights out.",
        discussion: """
            Prints one line of JSON: the bytes of the parameters, and median and smallest time \
            from one version of the weights to the next, as a worker sees it.
            """)

    /// The number of first steps that are not counted: connections, buffers and caches warm up.
    private static let warmUpCount = 5
    private static let classCount = 2

    @Option(help: "Bytes of the parameters, about; at least 4096.")
    var bytes: Int

    @Option(help: "Worker processes.")
    var workers: Int = 2

    @Option(help: "Parameter server processes; 0 puts a shard into every worker.")
    var servers: Int = 1

    @Option(help: "fp32 or bf16: what gradients and weights travel in.")
    var wirePrecision: String = "fp32"

    @Option(help: "Steps that count.")
    var rounds: Int = 50

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            try validateSettings()
            let interruptions = try Interruptions()
            let directory = try FileSystem.makeTemporaryDirectory()
            let code = try train(in: directory, interruptions)
            guard code == ExitCode.done else {
                if code != ExitCode.interrupted {
                    Terminal.report("the run ended with exit code \(code); it is in \(directory)")
                }
                return code
            }
            let times = try ExchangeTimes.read(directory: directory)
            Terminal.show(try report(times))
            try? FileManager.default.removeItem(atPath: directory)
            return code
        }
    }

    private func validateSettings() throws(RunError) {
        func require(_ flag: String, _ value: Int, _ range: ClosedRange<Int>) throws(RunError) {
            guard range.contains(value) else {
                throw .usage(
                    "\(flag): expected \(range.lowerBound) to \(range.upperBound), found \(value)")
            }
        }
        try require("--bytes", bytes, 4096...4_000_000_000)
        try require("--workers", workers, 1...64)
        try require("--servers", servers, 0...64)
        try require("--rounds", rounds, 1...100_000)
        var unused = RunConfiguration()
        try wireFlags().apply(to: &unused)
    }

    private func wireFlags() throws(RunError) -> SettingFlags {
        try SettingFlags(["--wire-precision=\(wirePrecision)"])
    }

    private var stepCount: Int { Self.warmUpCount + rounds }

    private func train(
        in directory: String, _ interruptions: Interruptions
    ) throws(RunError) -> Int {
        try writeData(to: directory)
        var settings = LocalLauncher.Settings(
            executable: try Executable.path(), configuration: try configuration(directory),
            directory: RunDirectory("\(directory)/run"), isResuming: false)
        settings.workerCommand = ["bench", "exchange-worker", "--times", directory]
        settings.output = "\(directory)/output"
        let launcher = LocalLauncher(settings, interruptions: interruptions) {
            Terminal.report($0)
        }
        return try launcher.run()
    }

    private func configuration(_ directory: String) throws(RunError) -> RunConfiguration {
        var result = RunConfiguration()
        result.data.source = "idx:\(directory)"
        result.data.partitions = 1
        result.model = .specification(model)
        result.training.epochs = 1
        result.training.batchSize = workers
        result.training.virtualWorkers = workers
        result.training.backend = .reference
        result.training.checkpointEvery = 1_000_000_000
        try wireFlags().apply(to: &result)
        result.optimizer = .sgd(SGD())
        result.cluster.workers = workers
        result.cluster.servers = servers
        // A worker that gets no new weights for half of this time takes messages for lost, and
        // everything is sent again.
        result.cluster.heartbeatIntervalMilliseconds = bytes > 16_000_000 ? 10_000 : 1000
        return result
    }

    /// Three dense layers behind one pixel, with about as many parameters as asked for.
    private var model: ModelSpecification {
        let wanted = bytes / 4
        let first = max(1, Int(Double(wanted).squareRoot()))
        // The three layers have 2 · first, first · second + second, and second · classes + classes
        // parameters.
        let rest = wanted - 2 * first - Self.classCount
        let second = max(1, rest / (first + 1 + Self.classCount))
        return ModelSpecification(
            name: "exchange", inputShape: [1, 1, 1],
            layers: [
                .flatten, .dense(units: first), .dense(units: second),
                .dense(units: Self.classCount),
            ])
    }

    /// Writes IDX files with one pixel in each record. There is one record for each worker and
    /// step, so that all steps are in one epoch.
    private func writeData(to directory: String) throws(RunError) {
        func write(_ name: String, _ magic: UInt32, _ dimensions: [Int], _ content: [UInt8])
            throws(RunError)
        {
            let words = [magic] + dimensions.map { UInt32($0) }
            let header = words.flatMap { word in
                withUnsafeBytes(of: word.bigEndian) { Array($0) }
            }
            let path = "\(directory)/\(name)"
            guard FileManager.default.createFile(atPath: path, contents: Data(header + content))
            else { throw .storage("cannot write \(path)") }
        }
        for (prefix, count) in [("train", stepCount * workers), ("t10k", Self.classCount)] {
            let labels = (0..<count).map { UInt8($0 % Self.classCount) }
            try write("\(prefix)-images-idx3-ubyte", 0x803, [count, 1, 1], labels)
            try write("\(prefix)-labels-idx1-ubyte", 0x801, [count], labels)
        }
    }

    private func report(_ times: ExchangeTimes) throws(RunError) -> String {
        let intervals = times.intervals.dropFirst(Self.warmUpCount).sorted()
        guard !intervals.isEmpty else {
            throw .fault("no worker saw more than \(Self.warmUpCount) versions")
        }
        let network: Network
        do throws(ModelError) { network = try Network(model) } catch {
            throw .fault("\(error)")
        }
        func seconds(_ value: Int64) -> String { "\(Double(value) / 1e9)" }
        return """
            {"bytes": \(network.parameters.elementCount * 4), "workers": \(workers), \
            "servers": \(servers), "wire_precision": "\(wirePrecision)", \
            "rounds": \(intervals.count), \
            "median_seconds": \(seconds(intervals[intervals.count / 2])), \
            "minimum_seconds": \(seconds(intervals[0])), \
            "gradients_per_step": \(times.gradientsPerStep)}
            """
    }
}

/// The worker of `convoy bench exchange`. It is not meant to be started by hand.
struct BenchExchangeWorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exchange-worker", abstract: "A worker of bench exchange.",
        shouldDisplay: false)

    @OptionGroup var member: MemberOptions
    @OptionGroup var role: RoleOptions

    @Option(help: "The directory that the times go to.")
    var times: String

    @Option(help: "Compute threads.")
    var threads: Int = 1

    func run() throws {
        let record = ExchangeRecord()
        defer {
            do throws(RunError) { try record.write(directory: times) } catch {
                Terminal.report(error.text)
            }
        }
        try member.run(.worker, threadCount: 1, options: role) { material, _ in
            ExchangeEngine(network: material.network, record: record)
        }
    }
}
