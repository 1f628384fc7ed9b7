import Backends
import Buffers
import Checksums
import ClusterProtocol
import NeuralNetwork
import Partitions
import SafeTensors

// Users of this library catch its errors by name.
@_exported import struct ClusterProtocol.RunError

/// A trained network: its architecture, its weights, and the transformations of its input images.
///
/// ```swift
/// let model = try Model(contentsOf: "runs/first")
/// let data = try DataSet.open(DataSpecification("fashion-mnist"), partitionCount: 1)
/// print(try model.evaluate(data).accuracy)
/// ```
public struct Model: Sendable {
    /// The backend and the precision that a model computes with. They decide the last bits of its
    /// outputs.
    public struct Computation: Sendable, Hashable {
        /// The backend that computes the outputs.
        public var backend: BackendChoice
        /// The precision of the arithmetic.
        public var precision: Precision

        /// Creates a choice of backend and precision.
        public init(backend: BackendChoice = .auto, precision: Precision = .fp32) {
            self.backend = backend
            self.precision = precision
        }
    }

    /// The result of evaluating the test records of a data set.
    public struct Evaluation: Sendable, Hashable {
        /// The number of test records.
        public var records: Int
        /// The mean of the model's loss over the records, without label smoothing and class weights.
        public var loss: Double
        /// The share of records that are right, 0 to 1; NaN with a loss that knows no right and
        /// wrong. With cross-entropy a record is right when its predicted class, the first with the
        /// largest output, is its label.
        public var accuracy: Double
    }

    /// The result of a model for one image.
    public struct Prediction: Sendable, Hashable {
        /// The predicted class: the first with the largest probability.
        public var label: Int
        /// The outputs of the network, [classes].
        public var logits: [Float]
        /// The probability of each class. They add up to 1.
        public var probabilities: [Float]
        /// The probability of the predicted class.
        public var probability: Float { probabilities[label] }

        /// Returns the classes with the largest probabilities, the largest first; of equal ones the
        /// first.
        public func top(_ count: Int) -> [Int] {
            let order = probabilities.indices.sorted {
                (probabilities[$1], $0) < (probabilities[$0], $1)
            }
            return Array(order.prefix(count))
        }
    }

    /// The architecture.
    public let network: Network
    /// All parameters as one flat vector, in the order of `Network.parameters`.
    public let weights: [Float]
    /// How a record becomes the network's input, and what the classes are called.
    public let input: ModelInput
    /// The transformations of the training images. Those that are not random also apply to test
    /// records and predicted images.
    public var transformations: [Transformation] { input.transformations }
    /// The loss that test records are evaluated with.
    public let loss: LossFunction

    /// Creates a model from its parts.
    ///
    /// - Parameters:
    ///   - network: the architecture.
    ///   - weights: all parameters as one flat vector.
    ///   - input: how a record becomes the network's input, and what the classes are called.
    ///   - loss: the loss that the model was trained with.
    /// - Throws: `.model` when the number of weights is not the network's number of parameters.
    public init(
        _ network: Network, weights: [Float], input: ModelInput = ModelInput(),
        loss: LossFunction = LossFunction()
    ) throws(RunError) {
        let count = network.parameters.elementCount
        guard weights.count == count else {
            throw .model("weights: expected \(count) numbers, found \(weights.count)")
        }
        self.network = network
        self.weights = weights
        self.input = input
        self.loss = loss.ofTestRecords
    }

    /// Reads a checkpoint, the newest checkpoint of a run directory, or a file that ``save(to:)``
    /// wrote.
    ///
    /// - Parameters:
    ///   - path: the directory or the file.
    ///   - isAveraged: whether to take the average of the weights that a run with `training.ema`
    ///     keeps, in place of the weights.
    /// - Throws: `.storage` for a file that cannot be read, `.checkpoint` for one that is damaged
    ///   or was not written by Convoy, and for a path without the average that is asked for.
    public init(contentsOf path: String, isAveraged: Bool = false) throws(RunError) {
        let (network, weights, input, loss) = try CheckpointReader.model(
            path, isAveraged: isAveraged)
        self.network = network
        self.weights = Array(UnsafeBufferPointer(start: weights.pointer, count: weights.count))
        self.input = input
        self.loss = loss
    }

    /// Writes a safetensors file that PyTorch reads as a `state_dict`. Its metadata holds the
    /// architecture.
    ///
    /// - Throws: `.storage` when the file cannot be written.
    public func save(to path: String) throws(RunError) {
        let specification = network.specification
        var metadata = [
            "format": "pt", "model": specification.name, "model_file": specification.yaml,
        ]
        metadata.merge(input.metadata) { _, new in new }
        metadata["loss"] = CheckpointReader.lossText(loss)
        let tensors = network.parameters.slots.map { slot in
            SafeTensor(name: slot.name, shape: slot.shape, floats: Array(weights[slot.range]))
        }
        let bytes: [UInt8]
        do throws(SafeTensorsError) {
            bytes = try SafeTensorsFile.encode(tensors: tensors, metadata: metadata)
        } catch {
            throw .model("\(path): \(error)")
        }
        try FileSystem.write(bytes, to: path)
    }

    /// The SHA-256 of the flat weights in hexadecimal digits, as in a run's `summary.json`.
    public var weightsSHA256: String { weights.withUnsafeBytes { SHA256.hexadecimal(of: $0) } }

    // MARK: - Computing

    /// Computes the loss and the accuracy over the test records of a data set. The model's
    /// transformations are applied to the images first.
    ///
    /// - Parameters:
    ///   - data: the data set whose test records are evaluated, without transformations of its own.
    ///   - computation: how to compute.
    ///   - logits: receives the outputs of some records, [count, classes], and their labels, batch
    ///     by batch in the order of the records. Labels are zeros for records with targets.
    /// - Throws: `.data` for a data set without test records, with images of another shape, with
    ///   more classes than the network has outputs, or without the labels or targets that the
    ///   model's loss needs; `.configuration` for a backend that is not available.
    public func evaluate(
        _ data: DataSet, _ computation: Computation = Computation(),
        logits: (_ outputs: [Float], _ labels: [Int32]) -> Void = { _, _ in }
    ) throws(RunError) -> Evaluation {
        let data = try fitting(data)
        let engine = try engine(computation)
        let (count, classes) = (data.description.testCount, network.outputElementCount)
        let batch = Microbatch(
            capacity: Self.batchSize, shape: data.description.shape,
            targetCount: data.description.targetCount)
        var outputs = [Float](repeating: 0, count: Self.batchSize * classes)
        var sums = BatchStatistics()
        for start in stride(from: 0, to: count, by: Self.batchSize) {
            let records = (start..<min(count, start + Self.batchSize)).map(UInt64.init)
            do throws(DataError) { try batch.load(from: data, .test, records: records) } catch {
                throw RunError(error)
            }
            let part = engine.evaluate(batch.view, logits: &outputs)
            logits(
                Array(outputs[..<(part.sampleCount * classes)]),
                Array(UnsafeBufferPointer(start: batch.labels, count: batch.count)))
            sums = sums + part
        }
        let total = Double(sums.sampleCount)
        return Evaluation(
            records: sums.sampleCount, loss: sums.lossSum / total,
            accuracy: loss.hasAccuracy ? Double(sums.correctCount) / total : .nan)
    }

    /// Predicts the classes of images.
    ///
    /// - Parameters:
    ///   - images: the images, each [C, H, W] in row-major order, before the model's
    ///     transformations. Pixels range from 0 to 1.
    ///   - shape: the shape [C, H, W] of the images; nil for that of the network's input.
    ///   - computation: how to compute.
    /// - Throws: `.data` for an image of another length, and for a shape that the transformations
    ///   do not make that of the network's input; `.model` for a model whose loss is not
    ///   cross-entropy, since it has no classes; `.configuration` for a backend that is not
    ///   available.
    public func predict(
        _ images: [[Float]], shape: [Int]? = nil, _ computation: Computation = Computation()
    ) throws(RunError) -> [Prediction] {
        try requireClasses()
        let shape = shape ?? network.specification.inputShape
        let preparation = try preparation(shape: shape)
        let elementCount = shape.reduce(1, *)
        for (index, image) in images.enumerated() where image.count != elementCount {
            throw .data(
                "image \(index): expected \(elementCount) numbers (\(shape)), found \(image.count)")
        }
        let engine = try engine(computation)
        return images.map { image in
            prediction(engine.outputs(images: preparation.prepared(image), count: 1))
        }
    }

    /// Throws unless the outputs stand for classes.
    func requireClasses() throws(RunError) {
        guard !loss.needsTargets else {
            throw .model(
                "expected a model of classes, found one that was trained with \(loss.name); "
                    + "convoy evaluate --logits writes its outputs")
        }
    }

    /// Returns what the outputs of the network for one image say.
    func prediction(_ outputs: [Float]) -> Prediction {
        let probabilities = SoftmaxCrossEntropy.probabilities(outputs)
        let best = probabilities.indices.max { probabilities[$0] < probabilities[$1] } ?? 0
        return Prediction(label: best, logits: outputs, probabilities: probabilities)
    }

    /// Returns what makes the network's input of an image of the given shape, [C, H, W].
    ///
    /// - Throws: `.data` when the transformations do not fit, or do not make the shape of the
    ///   network's input.
    public func preparation(shape: [Int]) throws(RunError) -> TestPreparation {
        let preparation: TestPreparation
        do throws(DataError) {
            preparation = try TestPreparation(transformations, shape: shape)
        } catch {
            throw RunError(error)
        }
        let expected = network.specification.inputShape
        guard preparation.outputShape == expected else {
            throw .data(
                "images of shape \(shape): expected those that become \(expected), the network's "
                    + "input, found \(preparation.outputShape)")
        }
        return preparation
    }

    /// The number of images that are computed together.
    private static let batchSize = 256

    func engine(_ computation: Computation) throws(RunError) -> any GradientEngine {
        do throws(BackendError) {
            let backend = try Backends.resolve(
                computation.backend, precision: computation.precision, for: network)
            let engine = try Backends.makeEngine(
                backend, network: network,
                configuration: EngineConfiguration(
                    precision: computation.precision, loss: loss))
            engine.setParameters(weights)
            return engine
        } catch {
            throw .configuration("\(error)")
        }
    }

    /// Returns the data set with the model's transformations applied.
    ///
    /// - Throws: `.data` when the records do not fit the network.
    private func fitting(_ data: DataSet) throws(RunError) -> DataSet {
        let transformed: DataSet
        do throws(DataError) { transformed = try data.transformed(by: transformations) } catch {
            throw RunError(error)
        }
        let description = transformed.description
        guard description.testCount > 0 else {
            throw .data("\(description.name): test records: expected at least 1, found 0")
        }
        let shape = network.specification.inputShape
        guard description.shape == shape, description.classCount <= network.outputElementCount else {
            throw .data(
                "\(description.name): records: expected images of shape \(shape) in at most "
                    + "\(network.outputElementCount) classes, as the model's, found "
                    + "\(description.shape) in \(description.classCount) classes")
        }
        let targetCount = loss.needsTargets ? network.outputElementCount : nil
        guard description.targetCount == targetCount else {
            func text(_ count: Int?) -> String { count.map { "\($0) targets" } ?? "labels" }
            throw .data(
                "\(description.name): records: expected \(text(targetCount)), as the model's loss "
                    + "\(loss.name), found \(text(description.targetCount))")
        }
        return transformed
    }
}
