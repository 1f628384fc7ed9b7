import Buffers
import Checksums
import ClusterProtocol
import NeuralNetwork
import Partitions
import SafeTensors

/// A trained network: its architecture, its weights, and what is done to an image before it sees it.
///
/// ```swift
/// let model = try Model(contentsOf: "runs/first")
/// let data = try DataSet.open(DataSpecification("fashion-mnist"), partitionCount: 1)
/// print(try model.evaluate(data).accuracy)
/// ```
public struct Model: Sendable {
    /// How a model computes; it decides the last bits of what comes out.
    public struct Computation: Sendable, Hashable {
        public var backend: BackendChoice
        public var precision: Precision

        public init(backend: BackendChoice = .auto, precision: Precision = .fp32) {
            self.backend = backend
            self.precision = precision
        }
    }

    /// What the test records of a data set gave.
    public struct Evaluation: Sendable, Hashable {
        public var records: Int
        /// Mean cross-entropy.
        public var loss: Double
        /// Share of the records whose first largest output is their label's, 0 to 1.
        public var accuracy: Double
    }

    /// What a model says of one image.
    public struct Prediction: Sendable, Hashable {
        /// The class with the first largest probability.
        public var label: Int
        /// One a class, adding up to 1.
        public var probabilities: [Float]
        public var probability: Float { probabilities[label] }
    }

    public let network: Network
    /// All parameters as one flat vector, in the order of ``Network/parameters``.
    public let weights: [Float]
    /// Those that are not random are done to test records and predicted images.
    public let transformations: [Transformation]

    /// - Throws: 65 when there are not as many weights as the network has parameters.
    public init(
        _ network: Network, weights: [Float], transformations: [Transformation] = []
    ) throws(Failure) {
        let count = network.parameters.elementCount
        guard weights.count == count else {
            throw .data("weights: expected \(count) numbers, found \(weights.count)")
        }
        self.network = network
        self.weights = weights
        self.transformations = transformations
    }

    /// Reads a checkpoint, a run directory (its newest checkpoint) or a file that ``save(to:)`` wrote.
    ///
    /// - Throws: 65 for what cannot be read, is damaged, or was not written by Convoy.
    public init(contentsOf path: String) throws(Failure) {
        let (network, weights, transformations) = try CheckpointReader.model(path)
        self.network = network
        self.weights = Array(UnsafeBufferPointer(start: weights.pointer, count: weights.count))
        self.transformations = transformations
    }

    /// Writes a safetensors file, which PyTorch reads as a `state_dict`, with the architecture in its
    /// metadata.
    ///
    /// - Throws: 65 when the file cannot be written.
    public func save(to path: String) throws(Failure) {
        let specification = network.specification
        let metadata = [
            "format": "pt", "model": specification.name, "model_file": specification.yaml,
            "transformations": TransformationText.encode(transformations),
        ]
        let tensors = network.parameters.slots.map { slot in
            SafeTensor(name: slot.name, shape: slot.shape, floats: Array(weights[slot.range]))
        }
        let bytes: [UInt8]
        do throws(SafeTensorsError) {
            bytes = try SafeTensorsFile.encode(tensors: tensors, metadata: metadata)
        } catch {
            throw .data("\(path): \(error)")
        }
        try FileSystem.write(bytes, to: path)
    }

    /// SHA-256 of the flat weights, as a run's `summary.json` has it.
    public var weightsSHA256: String { weights.withUnsafeBytes { SHA256.hexadecimal(of: $0) } }

    // MARK: - Computing

    /// Loss and accuracy over the test records of a data set, whose images go through the model's
    /// transformations first.
    ///
    /// - Parameter logits: takes the outputs of some records, [count, classes], and their labels, part
    ///   by part.
    /// - Throws: 65 for a data set without test records, with images of another shape, or with more
    ///   classes than the network has outputs; for a backend that is not there.
    public func evaluate(
        _ data: DataSet, _ computation: Computation = Computation(),
        logits: (_ outputs: [Float], _ labels: [Int32]) -> Void = { _, _ in }
    ) throws(Failure) -> Evaluation {
        let data = try fitting(data)
        let engine = try engine(computation)
        let (count, classes) = (data.description.testCount, network.outputElementCount)
        let batch = Microbatch(capacity: Self.batchSize, shape: data.description.shape)
        var outputs = [Float](repeating: 0, count: Self.batchSize * classes)
        var sums = BatchStatistics()
        for start in stride(from: 0, to: count, by: Self.batchSize) {
            let records = (start..<min(count, start + Self.batchSize)).map(UInt64.init)
            do throws(DataError) { try batch.load(from: data, .test, records: records) } catch {
                throw .data("\(error)")
            }
            let part = engine.evaluate(Self.view(batch), logits: &outputs)
            logits(
                Array(outputs[..<(part.sampleCount * classes)]),
                Array(UnsafeBufferPointer(start: batch.labels, count: batch.count)))
            sums.sampleCount += part.sampleCount
            sums.lossSum += part.lossSum
            sums.correctCount += part.correctCount
        }
        let total = Double(sums.sampleCount)
        return Evaluation(
            records: sums.sampleCount, loss: sums.lossSum / total,
            accuracy: Double(sums.correctCount) / total)
    }

    /// Classes of images.
    ///
    /// - Parameter images: each [C, H, W] in rows, as many numbers as the network's input has, before
    ///   the model's transformations: 0 to 1 for pixels.
    /// - Throws: 65 for an image of another length, or a backend that is not there.
    public func predict(
        _ images: [[Float]], _ computation: Computation = Computation()
    ) throws(Failure) -> [Prediction] {
        let shape = network.specification.inputShape
        let elementCount = shape.reduce(1, *)
        for (index, image) in images.enumerated() where image.count != elementCount {
            throw .data(
                "image \(index): expected \(elementCount) numbers (\(shape)), found \(image.count)")
        }
        let engine = try engine(computation)
        return images.map { image in
            var image = image
            for transformation in transformations {
                transformation.applyWithoutChance(to: &image, shape: shape)
            }
            let outputs = engine.outputs(images: image, count: 1)
            let probabilities = SoftmaxCrossEntropy.probabilities(outputs)
            let best = probabilities.indices.max { probabilities[$0] < probabilities[$1] } ?? 0
            return Prediction(label: best, probabilities: probabilities)
        }
    }

    /// Images computed together.
    private static let batchSize = 256

    private func engine(_ computation: Computation) throws(Failure) -> any GradientEngine {
        do throws(BackendError) {
            let backend = try Backends.resolve(
                computation.backend, precision: computation.precision)
            let engine = try Backends.makeEngine(
                backend, network: network,
                configuration: EngineConfiguration(precision: computation.precision))
            engine.setParameters(weights)
            return engine
        } catch {
            throw .data("\(error)")
        }
    }

    /// The data set behind the model's transformations, if its records fit the network.
    private func fitting(_ data: DataSet) throws(Failure) -> DataSet {
        let description = data.description
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
        do throws(DataError) { return try data.transformed(by: transformations) } catch {
            throw .data("\(error)")
        }
    }

    static func view(_ batch: Microbatch) -> MicrobatchView {
        MicrobatchView(
            images: batch.images, labels: batch.labels, records: batch.records, count: batch.count)
    }
}
