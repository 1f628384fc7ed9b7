import ClusterProtocol
import NeuralNetwork
import Partitions
import StrictYAML

/// Everything that decides a run: the run file with the command line's flags on top.
///
/// Defaults are written here, once.
public struct RunConfiguration: Sendable, Hashable {
    public enum ModelChoice: Sendable, Hashable {
        /// A built-in model, whose input and output fit themselves to the data set.
        case builtIn(String)
        case specification(ModelSpecification)
    }

    public struct Data: Sendable, Hashable {
        public var source = "fashion-mnist"
        public var partitions = 8
        public var transformations: [Transformation] = []
    }

    public struct Training: Sendable, Hashable {
        public var epochs = 10
        /// Ends the run after this many steps, whatever `epochs` says.
        public var steps: Int?
        public var batchSize = 64
        public var virtualWorkers = 4
        public var seed: UInt64 = 1
        public var precision = Precision.fp32
        /// What sums and weights are rounded to when they travel; it decides bits.
        public var wirePrecision = WirePrecision.fp32
        public var checkpointEvery = 500
        public var backend = BackendChoice.auto
        /// Images computed together; it decides bits, so it is part of the run.
        public var tileSize = 8
        /// Nil: the best that every worker of the start has.
        public var instructionSet: String?
        /// Initial weights from a safetensors file instead of the seed.
        public var initialWeights: String?
        /// Share of the leaves that two workers compute and compare bit for bit.
        public var auditRate = 0.0
        /// Goes on when a loss or weights are not finite numbers any more.
        public var keepsGoing = false
    }

    public struct Cluster: Sendable, Hashable {
        public var workers = 2
        public var threads = 1
        public var servers = 1
        public var heartbeatIntervalMilliseconds = 1000
        /// Processes of one host exchange sums and weights through memory in place of sockets.
        public var sharedMemory = true
        /// Beyond so many workers they relay for the servers; 0 for never. Nil: as many as usual, and
        /// never within one host, where memory is shared.
        public var fanIn: Int?

        public var heartbeatInterval: Duration { .milliseconds(heartbeatIntervalMilliseconds) }
    }

    public var data = Data()
    public var model = ModelChoice.builtIn("cnn")
    public var training = Training()
    public var optimizer = OptimizerSpecification.adam(Adam())
    public var cluster = Cluster()

    public init() {}

    /// Reads a run file; keys that are missing have their defaults, unknown ones are refused.
    public static func load(file path: String) throws(Failure) -> RunConfiguration {
        try translating { try RunConfiguration(mapping: StrictDocument.load(file: path)) }
    }

    public static func parse(_ text: String, fileName: String) throws(Failure) -> RunConfiguration {
        try translating {
            try RunConfiguration(mapping: StrictDocument.parse(text, fileName: fileName))
        }
    }

    /// Every error of a configuration means exit code 65.
    private static func translating(
        _ body: () throws -> RunConfiguration
    ) throws(Failure) -> RunConfiguration {
        do { return try body() } catch { throw .data("\(error)") }
    }

    private init(mapping: StrictMapping) throws {
        data = try Data(mapping.mapping("data"))
        training = try Training(mapping.mapping("training"))
        cluster = try Cluster(mapping.mapping("cluster"))
        let optimizerMapping = try mapping.mapping("optimizer")
        optimizer = try OptimizerSpecification(mapping: optimizerMapping)
        if let value = mapping.value("model") {
            if value.isMapping {
                let layers = try value.mapping()
                let name = try layers.string("name", default: "model")
                model = .specification(try ModelSpecification(name: name, mapping: layers))
            } else {
                model = try Self.model(value.string())
            }
        }
        try mapping.finish()
    }

    /// A built-in name, or the path of a model file.
    public static func model(_ text: String) throws(ModelError) -> ModelChoice {
        if ModelSpecification.builtInNames.contains(text) { return .builtIn(text) }
        return .specification(try ModelSpecification.load(file: text))
    }

    /// Paths that hold wherever the run is taken up, in place of those that hold in this working
    /// directory.
    public mutating func makePathsAbsolute() {
        if let specification = try? DataSpecification(data.source) {
            data.source = "\(specification.with(directory: FileSystem.absolute))"
        }
        training.initialWeights = training.initialWeights.map(FileSystem.absolute)
    }

    /// Refuses settings that contradict one another, naming the key.
    public func validate() throws(Failure) {
        guard training.virtualWorkers >= 1 else {
            throw .data(
                "training.virtual-workers: expected at least 1, found \(training.virtualWorkers)")
        }
        guard training.batchSize.isMultiple(of: training.virtualWorkers) else {
            throw .data(
                "training.batch-size: expected a multiple of training.virtual-workers "
                    + "(\(training.virtualWorkers)), found \(training.batchSize)")
        }
        do throws(OptimizerError) { try optimizer.validate() } catch { throw .data("\(error)") }
    }

    /// The network for a data set.
    public func network(for data: DataSummary) throws(Failure) -> Network {
        do throws(ModelError) {
            let specification: ModelSpecification
            switch model {
            case .builtIn: specification = .cnn(inputShape: data.shape, classCount: data.classCount)
            case .specification(let given): specification = given
            }
            let network = try Network(specification)
            guard specification.inputShape == data.shape else {
                throw ModelError.settings(
                    SettingsError(
                        fileName: specification.name, path: "input",
                        problem: "the model takes images of shape \(specification.inputShape), "
                            + "the data set \(data.name) has \(data.shape)"))
            }
            try network.requireClassifier(classCount: data.classCount)
            return network
        } catch {
            throw .data("model: \(error)")
        }
    }
}

extension RunConfiguration.Data {
    init(_ mapping: StrictMapping) throws(SettingsError) {
        self.init()
        source = try mapping.string("source", default: source)
        partitions = try mapping.integer("partitions", in: 1...1_000_000, default: partitions)
        for value in try mapping.list("transformations") {
            transformations.append(try Transformation(value))
        }
        try mapping.finish()
    }
}

extension RunConfiguration.Training {
    init(_ mapping: StrictMapping) throws(SettingsError) {
        self.init()
        epochs = try mapping.integer("epochs", in: 1...1_000_000, default: epochs)
        if mapping.value("steps") != nil {
            steps = try mapping.integer("steps", in: 1...1_000_000_000)
        }
        batchSize = try mapping.integer("batch-size", in: 1...16_777_216, default: batchSize)
        virtualWorkers = try mapping.integer(
            "virtual-workers", in: 1...ReductionTree.maximumLeafCount, default: virtualWorkers)
        seed = try mapping.unsignedInteger("seed", default: seed)
        precision = try mapping.oneOf("precision", default: precision)
        wirePrecision = try mapping.oneOf("wire-precision", default: wirePrecision)
        checkpointEvery = try mapping.integer(
            "checkpoint-every", in: 1...1_000_000_000, default: checkpointEvery)
        backend = try mapping.oneOf("backend", default: backend)
        tileSize = try mapping.integer("tile-size", in: 1...4096, default: tileSize)
        let isa = try mapping.oneOf(
            "instruction-set", ["auto"] + InstructionSet.ascending, default: "auto")
        instructionSet = isa == "auto" ? nil : isa
        auditRate = try mapping.double(
            "audit", "from 0 to 1", default: auditRate) { (0...1).contains($0) }
        keepsGoing = try mapping.boolean("keep-going", default: keepsGoing)
        if mapping.value("init") != nil { initialWeights = try mapping.string("init") }
        try mapping.finish()
    }
}

extension RunConfiguration.Cluster {
    init(_ mapping: StrictMapping) throws(SettingsError) {
        self.init()
        workers = try mapping.integer("workers", in: 1...4096, default: workers)
        threads = try mapping.integer("threads", in: 1...1024, default: threads)
        servers = try mapping.integer("servers", in: 0...1024, default: servers)
        heartbeatIntervalMilliseconds = try mapping.integer(
            "heartbeat-interval-ms", in: 10...3_600_000, default: heartbeatIntervalMilliseconds)
        sharedMemory = try mapping.boolean("shared-memory", default: sharedMemory)
        if mapping.value("fan-in") != nil {
            fanIn = try mapping.integer("fan-in", in: 0...4096)
        }
        try mapping.finish()
    }
}

extension Transformation {
    fileprivate init(_ value: StrictValue) throws(SettingsError) {
        let entry = try value.mapping()
        guard entry.keys.count == 1, let kind = entry.keys.first else {
            throw value.expected("one transformation, as in `- random-crop: {padding: 4}`")
        }
        let settings = try entry.mapping(kind)
        switch kind {
        case "standardize":
            var numbers: [[Float]] = []
            for key in ["mean", "deviation"] {
                var list: [Float] = []
                for number in try settings.list(key, required: true) {
                    list.append(Float(try number.double()))
                }
                numbers.append(list)
            }
            self = .standardize(mean: numbers[0], deviation: numbers[1])
        case "random-horizontal-flip": self = .randomHorizontalFlip
        case "random-crop":
            self = .randomCrop(padding: try settings.integer("padding", in: 1...64))
        default:
            throw value.error(
                StrictMapping.unknownText(
                    "transformation", kind,
                    allowed: ["standardize", "random-horizontal-flip", "random-crop"]))
        }
        try settings.finish()
        try entry.finish()
    }

    fileprivate var yaml: String {
        switch self {
        case .standardize(let mean, let deviation):
            "standardize: {mean: \(mean), deviation: \(deviation)}"
        case .randomHorizontalFlip: "random-horizontal-flip: {}"
        case .randomCrop(let padding): "random-crop: {padding: \(padding)}"
        }
    }
}

extension RunConfiguration {
    /// The run file with every key written out; it reads back to an equal value.
    public var yaml: String {
        var text = "data:\n  source: \(Self.quoted(data.source))\n  partitions: \(data.partitions)\n"
        if !data.transformations.isEmpty {
            text += "  transformations:\n"
            for item in data.transformations { text += "    - \(item.yaml)\n" }
        }
        switch model {
        case .builtIn(let name): text += "model: \(name)\n"
        case .specification(let model):
            text += "model:\n  name: \(Self.quoted(model.name))\n"
            for line in model.yaml.split(separator: "\n") { text += "  \(line)\n" }
        }
        text += "training:\n  epochs: \(training.epochs)\n"
        if let steps = training.steps { text += "  steps: \(steps)\n" }
        text += """
              batch-size: \(training.batchSize)
              virtual-workers: \(training.virtualWorkers)
              seed: \(training.seed)
              precision: \(training.precision.rawValue)
              wire-precision: \(training.wirePrecision.rawValue)
              checkpoint-every: \(training.checkpointEvery)
              backend: \(training.backend.rawValue)
              tile-size: \(training.tileSize)
              instruction-set: \(training.instructionSet ?? "auto")
              audit: \(training.auditRate)
              keep-going: \(training.keepsGoing)

            """.replacingIndent("  ")
        if let path = training.initialWeights { text += "  init: \(Self.quoted(path))\n" }
        text += "optimizer: \(optimizer.yaml)\n"
        text += """
            cluster:
              workers: \(cluster.workers)
              threads: \(cluster.threads)
              servers: \(cluster.servers)
              heartbeat-interval-ms: \(cluster.heartbeatIntervalMilliseconds)
              shared-memory: \(cluster.sharedMemory)

            """
        if let fanIn = cluster.fanIn { text += "  fan-in: \(fanIn)\n" }
        return text
    }

    /// A YAML double-quoted scalar.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for character in text.unicodeScalars {
            switch character {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case " "..."~", "\u{A0}"..."\u{2027}", "\u{202A}"..."\u{D7FF}", "\u{E000}"..."\u{FEFE}",
                "\u{FF00}"..."\u{FFFD}", "\u{10000}"..."\u{10FFFF}":
                result.unicodeScalars.append(character)
            default:
                // Control characters, and what YAML takes for the end of a line or a byte order mark.
                let digits = String(character.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return result + "\""
    }
}

extension String {
    /// Every line begun with exactly `indent`.
    fileprivate func replacingIndent(_ indent: String) -> String {
        split(separator: "\n", omittingEmptySubsequences: true)
            .map { indent + $0.drop { $0 == " " } + "\n" }.joined()
    }
}
