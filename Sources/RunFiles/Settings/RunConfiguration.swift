import ClusterProtocol
import NeuralNetwork
import Partitions
import StrictYAML

/// Everything that decides a run: the run file with the command line's flags on top.
///
/// Defaults are written here, once; ``Setting/all`` says what may be written and what it means.
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
        var sections: [(name: String, mapping: StrictMapping)] = [("", mapping)]
        for setting in Setting.all {
            let (section, name) = setting.place
            if sections[sections.count - 1].name != section, !section.isEmpty {
                sections.append((section, try mapping.mapping(section)))
            }
            let place = section.isEmpty ? mapping : sections[sections.count - 1].mapping
            guard setting.applies(self), let value = place.value(name) else { continue }
            try setting.read(value, &self)
        }
        for section in sections.reversed() {
            if section.name == "optimizer" { try checkOptimizer(section.mapping) }
            try section.mapping.finish()
        }
    }

    /// Refuses numbers that do not go together, with the line of the file.
    private func checkOptimizer(_ mapping: StrictMapping) throws {
        do throws(OptimizerError) { try optimizer.validate() } catch {
            throw mapping.error(error.problem, key: error.key)
        }
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
            case .builtIn(let name):
                guard
                    let builtIn = ModelSpecification.builtIn(
                        name, inputShape: data.shape, classCount: data.classCount)
                else {
                    let names = ModelSpecification.builtInNames.joined(separator: ", ")
                    throw ModelError.settings(
                        SettingsError(
                            fileName: "", path: "model",
                            problem: "expected a built-in model (\(names)), found \(name)"))
                }
                specification = builtIn
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

extension RunConfiguration {
    /// The run file with every key written out; it reads back to an equal value.
    public var yaml: String {
        var text = ""
        var current = ""
        for setting in Setting.all {
            let (section, name) = setting.place
            guard setting.applies(self), let value = setting.text(self) else { continue }
            if section != current, !section.isEmpty { text += "\(section):\n" }
            current = section
            let indent = section.isEmpty ? "" : "  "
            switch value {
            case .inline(let value): text += "\(indent)\(name): \(value)\n"
            case .block(let lines):
                text += "\(indent)\(name):\n"
                for line in lines { text += "\(indent)  \(line)\n" }
            }
        }
        return text
    }
}
