import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import NeuralNetwork
import Partitions

/// Flags that override the run file; `convoy train` and `convoy coordinator` have the same.
struct RunOptions: ParsableArguments {
    @Option(help: "A run file (YAML); flags override it.")
    var config: String?

    @Option(help: "Data set: fashion-mnist, idx:DIR, cifar10:DIR or partitions:DIR.")
    var data: String?

    @Option(help: "Pieces the training records are cut into.")
    var partitions: Int?

    @Option(help: "A built-in model (cnn) or a model file.")
    var model: String?

    @Option(help: "Worker processes.")
    var workers: Int?

    @Option(help: "Compute threads of a worker.")
    var threads: Int?

    @Option(help: "Parameter server processes; 0 puts a shard into every worker.")
    var servers: Int?

    @Option(help: "Passes over the training records.")
    var epochs: Int?

    @Option(help: "End after this many steps.")
    var steps: Int?

    @Option(help: "Records a step, over all virtual workers.")
    var batchSize: Int?

    @Option(help: "Fixed shares of the batch; they decide the bits, workers do not.")
    var virtualWorkers: Int?

    @Option(help: "adam, adamw or sgd.")
    var optimizer: String?

    @Option(help: "Step size of the optimizer.")
    var learningRate: Double?

    @Option(help: "Decides initial weights, order and dropout.")
    var seed: String?

    @Option(help: "fp32 or bf16.")
    var precision: String?

    @Option(help: "fp32 or bf16: what sums and weights are rounded to when they travel.")
    var wirePrecision: String?

    @Option(help: "auto, native, onednn or reference.")
    var backend: String?

    @Option(name: .customLong("init"), help: "Initial weights from a safetensors file.")
    var initialWeights: String?

    @Option(help: "Share of the work, 0 to 1, that a second worker repeats to compare the bits.")
    var audit: Double?

    @Flag(
        inversion: .prefixedNo,
        help: "Go on when a loss or weights are not finite numbers (default: end with 65).")
    var keepGoing: Bool?

    @Option(help: "Steps from one checkpoint to the next.")
    var checkpointEvery: Int?

    @Option(help: "Time between signs of life; all time-outs follow from it.")
    var heartbeatIntervalMs: Int?

    @Flag(
        inversion: .prefixedNo,
        help: "Exchange sums and weights on one host through shared memory (default) or sockets.")
    var sharedMemory: Bool?

    @Option(help: "Beyond so many workers they relay for the servers; 0 for never.")
    var fanIn: Int?

    @Flag(
        help: """
            With --resume: go on with settings that decide bits and differ from the run's; it is \
            written into the journal.
            """)
    var changeSettings = false

    /// What makes no sense for a run that begins, or for one that goes on.
    func requireFitting(isResuming: Bool) throws(Failure) {
        if changeSettings, !isResuming {
            throw .usage("--change-settings goes with --resume: a new run has no settings to change")
        }
        if initialWeights != nil, isResuming {
            throw .usage(
                "--init and --resume exclude each other: a run goes on from its own checkpoint")
        }
    }

    /// The run's settings: the file, or `base`, or the defaults, and the flags on top.
    func configuration(over base: RunConfiguration? = nil) throws(Failure) -> RunConfiguration {
        if base != nil, config != nil {
            throw .usage("--config and --resume exclude each other: a run keeps its own file")
        }
        var result = base ?? RunConfiguration()
        if let config { result = try RunConfiguration.load(file: config) }
        if hasFlags {
            try apply(to: &result)
            do throws(Failure) { try result.validate() } catch { throw .usage(error.text) }
        } else {
            try result.validate()
        }
        // A run that goes on has its own; it may go on from another working directory.
        if base == nil { result.makePathsAbsolute() }
        return result
    }

    private var hasFlags: Bool {
        data != nil || partitions != nil || model != nil || workers != nil || threads != nil
            || servers != nil || epochs != nil || steps != nil || batchSize != nil
            || virtualWorkers != nil || optimizer != nil || learningRate != nil || seed != nil
            || precision != nil || wirePrecision != nil || backend != nil
            || initialWeights != nil
            || keepGoing != nil || checkpointEvery != nil || audit != nil || heartbeatIntervalMs != nil
            || sharedMemory != nil || fanIn != nil
    }

    private func apply(to result: inout RunConfiguration) throws(Failure) {
        if let data {
            do throws(DataError) { _ = try DataSpecification(data) } catch {
                throw .usage("--data: \(error)")
            }
            result.data.source = data
            result.makePathsAbsolute()
        }
        try set(&result.data.partitions, partitions, "--partitions", 1...1_000_000)
        if let model {
            do throws(ModelError) { result.model = try RunConfiguration.model(model) } catch {
                throw .data("--model: \(error)")
            }
        }
        try set(&result.cluster.workers, workers, "--workers", 1...4096)
        try set(&result.cluster.threads, threads, "--threads", 1...1024)
        try set(&result.cluster.servers, servers, "--servers", 0...1024)
        try set(
            &result.cluster.heartbeatIntervalMilliseconds, heartbeatIntervalMs,
            "--heartbeat-interval-ms", 10...3_600_000)
        if let sharedMemory { result.cluster.sharedMemory = sharedMemory }
        if let fanIn {
            var value = 0
            try set(&value, fanIn, "--fan-in", 0...4096)
            result.cluster.fanIn = value
        }
        try applyTraining(to: &result)
        try applyOptimizer(to: &result)
    }

    private func applyTraining(to result: inout RunConfiguration) throws(Failure) {
        try set(&result.training.epochs, epochs, "--epochs", 1...1_000_000)
        if let steps {
            var value = 0
            try set(&value, steps, "--steps", 1...1_000_000_000)
            result.training.steps = value
        }
        try set(&result.training.batchSize, batchSize, "--batch-size", 1...16_777_216)
        try set(
            &result.training.virtualWorkers, virtualWorkers, "--virtual-workers",
            1...ReductionTree.maximumLeafCount)
        try set(
            &result.training.checkpointEvery, checkpointEvery, "--checkpoint-every",
            1...1_000_000_000)
        if let audit {
            guard (0...1).contains(audit) else {
                throw .usage("--audit: expected a number from 0 to 1, found \(audit)")
            }
            result.training.auditRate = audit
        }
        if let keepGoing { result.training.keepsGoing = keepGoing }
        if let seed {
            guard let value = UInt64(seed) else {
                throw .usage(
                    "--seed: expected a whole number from 0 to \(UInt64.max), found \(seed)")
            }
            result.training.seed = value
        }
        if let precision {
            guard let value = Precision(rawValue: precision) else {
                throw .usage("--precision: expected fp32 or bf16, found \(precision)")
            }
            result.training.precision = value
        }
        if let wirePrecision {
            result.training.wirePrecision = try Self.wirePrecision(wirePrecision)
        }
        if let backend {
            guard let value = BackendChoice(rawValue: backend) else {
                throw .usage("--backend: expected \(BackendChoice.list), found \(backend)")
            }
            result.training.backend = value
        }
        if let initialWeights {
            result.training.initialWeights = FileSystem.absolute(initialWeights)
        }
    }

    static func wirePrecision(_ text: String) throws(Failure) -> WirePrecision {
        guard let value = WirePrecision(rawValue: text) else {
            throw .usage("--wire-precision: expected fp32 or bf16, found \(text)")
        }
        return value
    }

    private func applyOptimizer(to result: inout RunConfiguration) throws(Failure) {
        if let optimizer, optimizer != result.optimizer.name {
            guard let value = OptimizerSpecification(named: optimizer) else {
                throw .usage("--optimizer: expected adam, adamw or sgd, found \(optimizer)")
            }
            result.optimizer = value
        }
        if let learningRate {
            guard learningRate.isFinite, learningRate >= 0 else {
                throw .usage(
                    "--learning-rate: expected a finite number of at least 0, found \(learningRate)")
            }
            result.optimizer.learningRate = learningRate
        }
    }

    private func set(
        _ target: inout Int, _ value: Int?, _ flag: String, _ range: ClosedRange<Int>
    ) throws(Failure) {
        guard let value else { return }
        guard range.contains(value) else {
            throw .usage(
                "\(flag): expected a whole number from \(range.lowerBound) to \(range.upperBound), "
                    + "found \(value)")
        }
        target = value
    }
}
