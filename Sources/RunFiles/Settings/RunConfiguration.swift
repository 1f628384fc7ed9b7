import ClusterProtocol
import NeuralNetwork
import Partitions
import StrictYAML

/// All settings of a run: the run file, overridden by the flags of the command line.
///
/// The defaults are written here and nowhere else. ``Setting/all`` lists what may be written and
/// what it means.
public struct RunConfiguration: Sendable, Hashable {
    /// The model of a run.
    public enum ModelChoice: Sendable, Hashable {
        /// A built-in model, whose input and output are fitted to the data set.
        case builtIn(String)
        /// A model with its layers, from a model file or from the run file.
        case specification(ModelSpecification)
    }

    /// The settings of the section `data`.
    public struct Data: Sendable, Hashable {
        /// The data set, for instance "idx:DIR"; `DataSpecification` lists the forms.
        public var source = "fashion-mnist"
        /// The number of partitions of the training records. A partitioned directory keeps its own
        /// number.
        public var partitions = 8
        /// What is done to the records before they are stored.
        public var options = SourceOptions()
        /// The transformations of each training image, in order. Those that are not random also
        /// apply to test images.
        public var transformations: [Transformation] = []

        /// Returns the source with its options.
        ///
        /// - Throws: `unknownSource` for a source of no known form.
        public func specification() throws(DataError) -> DataSpecification {
            try DataSpecification(source, options: options)
        }
    }

    /// The settings of the section `training`.
    public struct Training: Sendable, Hashable {
        /// The number of passes over the training records.
        public var epochs = 10
        /// The number of steps after which the run ends, whatever `epochs` says; nil for no such
        /// limit.
        public var steps: Int?
        /// The number of records in a step, over all virtual workers: a multiple of their number.
        public var batchSize = 64
        /// The number of virtual workers: the fixed shares of each batch.
        public var virtualWorkers = 4
        /// The seed of initial weights, order of records, augmentation and dropout.
        public var seed: UInt64 = 1
        /// The precision of the arithmetic in convolutions and dense layers.
        public var precision = Precision.fp32
        /// The precision to which gradient sums and weights are rounded when they travel. It
        /// decides bits.
        public var wirePrecision = WirePrecision.fp32
        /// The number of steps from one checkpoint to the next: the most that is lost when all
        /// processes die.
        public var checkpointEvery = 500
        /// The code that computes. The coordinator settles `auto`.
        public var backend = BackendChoice.auto
        /// The number of images that are computed together. It decides bits, so it is part of the
        /// run.
        public var tileSize = 8
        /// The instruction set that oneDNN uses; nil for the best that every worker at the start
        /// has.
        public var instructionSet: String?
        /// The share of the virtual workers that two workers compute and compare bit for bit, 0 to
        /// 1.
        public var auditRate = 0.0
        /// How the learning rate changes.
        public var schedule = LearningRateSchedule()
        /// When the learning rate is reduced because a test metric has stopped improving; nil for
        /// never. The schedule is then constant but for its warm-up.
        public var plateau: RatePlateau?
        /// When the run ends because a test metric has stopped improving; nil for never.
        public var earlyStopping: EarlyStopping?
        /// The loss that training makes small.
        public var loss = LossFunction()
        /// Whether weight decay applies to biases and normalisations too.
        public var decays1D = true
        /// The largest norm of the mean gradient over all trained parameters, above 0; nil for no
        /// clipping.
        public var clipNorm: Double?
        /// The share of the average of the weights that an update keeps, between 0 and 1; nil for
        /// no average.
        public var averageDecay: Double?
        /// Whether the run goes on when a loss or a weight is no longer a finite number.
        public var keepsGoing = false
    }

    /// The settings of the section `init`.
    public struct Initial: Sendable, Hashable {
        /// A safetensors file, a checkpoint or a run directory with the initial weights; nil draws
        /// them from the seed.
        public var file: String?
        /// Patterns for the names of tensors that are drawn from the seed all the same.
        public var except: [String] = []
    }

    /// When frozen tensors begin to be trained.
    public struct Unfreezing: Sendable, Hashable {
        /// The first epoch, counted from 1, in which nothing is frozen; at least 2.
        public var epoch: Int
        /// What the learning rate of those tensors is multiplied by.
        public var rate: Double

        /// Creates the setting.
        public init(epoch: Int, rate: Double = 1) {
            self.epoch = epoch
            self.rate = rate
        }
    }

    /// The settings of the section `cluster`.
    public struct Cluster: Sendable, Hashable {
        /// The number of worker processes.
        public var workers = 2
        /// The number of compute threads in each worker.
        public var threads = 1
        /// The number of server processes; 0 puts a shard into every worker.
        public var servers = 1
        /// The time between two heartbeats of a process, in milliseconds.
        public var heartbeatIntervalMilliseconds = 1000
        /// Whether processes of one host exchange sums and weights through memory instead of
        /// sockets.
        public var sharedMemory = true
        /// The largest number of workers without relays. Beyond it, workers add one another's sums
        /// before a server receives them; 0 for never. Nil stands for 32, and for never when all
        /// workers are on one host, where memory is shared.
        public var fanIn: Int?

        /// The time between two heartbeats of a process.
        public var heartbeatInterval: Duration { .milliseconds(heartbeatIntervalMilliseconds) }
    }

    /// The data set and its transformations.
    public var data = Data()
    /// The model.
    public var model = ModelChoice.builtIn("cnn")
    /// Where the initial weights come from.
    public var initial = Initial()
    /// Patterns for the names of tensors that stay as they are.
    public var freeze: [String] = []
    /// When what is frozen begins to be trained; nil for never.
    public var unfreeze: Unfreezing?
    /// Tensors with another learning rate or weight decay.
    public var groups: [ParameterGroup] = []
    /// The settings of the training itself.
    public var training = Training()
    /// The optimizer and its numbers.
    public var optimizer = OptimizerSpecification.adam(Adam())
    /// The processes of the run.
    public var cluster = Cluster()

    /// Creates a configuration with all defaults.
    public init() {}

    /// Reads a run file. Keys that are missing have their defaults; unknown keys are refused.
    ///
    /// - Throws: `.configuration` for a file that cannot be read or is not a valid run file.
    public static func load(file path: String) throws(RunError) -> RunConfiguration {
        try translating { try RunConfiguration(mapping: StrictDocument.load(file: path)) }
    }

    /// Reads the text of a run file as ``load(file:)`` does.
    ///
    /// - Parameters:
    ///   - text: the run file.
    ///   - fileName: the name for error messages.
    public static func parse(
        _ text: String, fileName: String
    ) throws(RunError) -> RunConfiguration {
        try translating {
            try RunConfiguration(mapping: StrictDocument.parse(text, fileName: fileName))
        }
    }

    /// Turns every error of a configuration into a `.configuration` error.
    private static func translating(
        _ body: () throws -> RunConfiguration
    ) throws(RunError) -> RunConfiguration {
        do { return try body() } catch { throw .configuration("\(error)") }
    }

    private init(mapping: StrictMapping) throws {
        var sections: [(name: String, mapping: StrictMapping)] = [("", mapping)]
        for setting in Setting.all {
            let (section, name) = setting.place
            if sections[sections.count - 1].name != section, !section.isEmpty {
                sections.append((section, try mapping.mapping(section)))
            }
            let place = section.isEmpty ? mapping : sections[sections.count - 1].mapping
            // The place of the initial weights in earlier run files.
            if section == "training", let former = place.value("init") {
                initial.file = try former.string()
            }
            guard setting.applies(self), let value = place.value(name) else { continue }
            try setting.read(value, &self)
        }
        for section in sections.reversed() {
            if section.name == "optimizer" { try checkOptimizer(section.mapping) }
            try section.mapping.finish()
        }
    }

    /// Refuses numbers that contradict one another. The error names the line of the file.
    private func checkOptimizer(_ mapping: StrictMapping) throws {
        do throws(OptimizerError) { try optimizer.validate() } catch {
            throw mapping.error(error.problem, key: error.key)
        }
    }

    /// Returns the built-in model of this name, or the model in the file of this path.
    public static func model(_ text: String) throws(ModelError) -> ModelChoice {
        if ModelSpecification.builtInNames.contains(text) { return .builtIn(text) }
        return .specification(try ModelSpecification.load(file: text))
    }

    /// Makes relative paths absolute, so that the run can be resumed from another working
    /// directory.
    public mutating func makePathsAbsolute() {
        if let specification = try? data.specification().with(directory: FileSystem.absolute) {
            data.source = "\(specification)"
            data.options = specification.options
        }
        initial.file = initial.file.map(FileSystem.absolute)
    }

    /// Refuses settings that contradict one another. The error names the key.
    public func validate() throws(RunError) {
        guard training.virtualWorkers >= 1 else {
            throw .configuration(
                "training.virtual-workers: expected at least 1, found \(training.virtualWorkers)")
        }
        guard training.batchSize.isMultiple(of: training.virtualWorkers) else {
            throw .configuration(
                "training.batch-size: expected a multiple of training.virtual-workers "
                    + "(\(training.virtualWorkers)), found \(training.batchSize)")
        }
        do throws(OptimizerError) { try optimizer.validate() } catch {
            throw .configuration("\(error)")
        }
        if let unfreeze {
            if freeze.isEmpty {
                throw .configuration("unfreeze: expected freeze with it, found none")
            }
            if unfreeze.epoch > training.epochs {
                throw .configuration(
                    "unfreeze.epoch: expected at most training.epochs (\(training.epochs)), found "
                        + "\(unfreeze.epoch)")
            }
        }
    }

    /// Returns the network for a data set.
    ///
    /// - Throws: `.model` when the model does not fit the data set.
    public func network(for data: DataSummary) throws(RunError) -> Network {
        do throws(ModelError) {
            let specification: ModelSpecification
            switch model {
            case .builtIn(let name):
                guard
                    let builtIn = ModelSpecification.builtIn(
                        name, inputShape: data.shape, classCount: data.outputCount)
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
            if let targetCount = data.targetCount {
                try network.requireOutputs(targetCount)
            } else {
                try network.requireClassifier(classCount: data.classCount)
            }
            try network.requireTensors(of: groups.map(\.match), "groups: expected a match")
            return try network.freezing(freeze.map(NamePattern.init))
        } catch {
            throw .model("model: \(error)")
        }
    }
}

extension RunConfiguration {
    /// The run file with every key written out. Reading it gives an equal value.
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
