import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import NeuralNetwork
import Partitions
import SafeTensors

/// Flags of the commands that use a trained model in this process.
struct ModelOptions: ParsableArguments {
    @Option(help: "A checkpoint, a run directory (its newest checkpoint) or a model file.")
    var checkpoint: String

    @Option(help: "auto, native, onednn or reference.")
    var backend: String = "auto"

    @Option(help: "fp32 or bf16.")
    var precision: String = "fp32"

    /// Images computed together.
    static let batchSize = 256

    /// The model, ready to compute, and the data set behind the transformations it was trained with.
    func open(data: String) throws(Failure) -> (any GradientEngine, DataSet) {
        let model = try CheckpointReader.model(checkpoint)
        let engine = try engine(model.network, model.weights)
        return (engine, try open(data, for: engine, model.transformations))
    }

    private func engine(
        _ network: Network, _ weights: FloatBuffer
    ) throws(Failure) -> any GradientEngine {
        guard let choice = BackendChoice(rawValue: backend) else {
            throw .usage("--backend: expected \(BackendChoice.list), found \(backend)")
        }
        guard let precision = Precision(rawValue: precision) else {
            throw .usage("--precision: expected fp32 or bf16, found \(precision)")
        }
        do throws(BackendError) {
            let engine = try Backends.makeEngine(
                Backends.resolve(choice, precision: precision), network: network,
                configuration: EngineConfiguration(precision: precision))
            engine.setParameters(weights.pointer)
            return engine
        } catch {
            throw .data("\(error)")
        }
    }

    private func open(
        _ data: String, for engine: any GradientEngine, _ transformations: [Transformation]
    ) throws(Failure) -> DataSet {
        let specification: DataSpecification
        do throws(DataError) { specification = try DataSpecification(data) } catch {
            throw .usage("--data: \(error)")
        }
        do throws(DataError) {
            let dataSet = try DataSet.open(specification, partitionCount: 1)
                .transformed(by: transformations)
            guard dataSet.description.testCount > 0 else {
                throw DataError(
                    .emptySet, file: data, what: "test records", expected: "at least 1",
                    found: "0")
            }
            let shape = engine.network.specification.inputShape
            guard dataSet.description.shape == shape,
                dataSet.description.classCount <= engine.network.outputElementCount
            else {
                throw DataError(
                    .sizeMismatch, file: data, what: "records",
                    expected: "images of shape \(shape) in at most "
                        + "\(engine.network.outputElementCount) classes, as the checkpoint's model",
                    found: "\(dataSet.description.shape) in \(dataSet.description.classCount) classes"
                )
            }
            return dataSet
        } catch {
            throw .data("\(error)")
        }
    }
}

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate", abstract: "Loss and accuracy of a checkpoint on the test records.")

    @OptionGroup var model: ModelOptions

    @Option(help: "Data set: \(DataSpecification.forms).")
    var data: String

    @Option(help: "Write the outputs before the softmax as a safetensors file (logits, labels).")
    var logits: String?

    func run() throws {
        try Terminal.run { () throws(Failure) -> Int in
            let (engine, dataSet) = try model.open(data: data)
            let count = dataSet.description.testCount
            let classes = engine.network.outputElementCount
            let batch = Microbatch(
                capacity: ModelOptions.batchSize, shape: dataSet.description.shape)
            var outputs = [Float](repeating: 0, count: logits == nil ? 0 : count * classes)
            var labels: [Int32] = []
            var sums = BatchStatistics(sampleCount: 0, lossSum: 0, correctCount: 0)
            for start in stride(from: 0, to: count, by: ModelOptions.batchSize) {
                let records = start..<min(count, start + ModelOptions.batchSize)
                do throws(DataError) {
                    try batch.load(from: dataSet, .test, records: records.map(UInt64.init))
                } catch {
                    throw .data("\(error)")
                }
                let view = MicrobatchView(
                    images: batch.images, labels: batch.labels, records: batch.records,
                    count: batch.count)
                let part = outputs.withUnsafeMutableBufferPointer { buffer in
                    engine.evaluate(
                        view,
                        logits: logits == nil ? nil : buffer.baseAddress! + start * classes)
                }
                labels += UnsafeBufferPointer(start: batch.labels, count: batch.count)
                sums.sampleCount += part.sampleCount
                sums.lossSum += part.lossSum
                sums.correctCount += part.correctCount
            }
            if let logits { try write(outputs, labels, classes, to: logits) }
            let total = Double(max(1, sums.sampleCount))
            Terminal.show(
                "{\"records\":\(sums.sampleCount),"
                    + "\"test_loss\":\(JSONText.number(sums.lossSum / total)),"
                    + "\"test_accuracy\":\(Double(sums.correctCount) / total)}")
            return ExitCode.done
        }
    }

    private func write(
        _ outputs: [Float], _ labels: [Int32], _ classes: Int, to path: String
    ) throws(Failure) {
        do throws(SafeTensorsError) {
            try SafeTensorsFile.write(
                path: path,
                tensors: [
                    SafeTensor(
                        name: "logits", shape: [labels.count, classes], floats: outputs),
                    SafeTensor(name: "labels", shape: [labels.count], int32s: labels),
                ])
        } catch {
            throw .data("\(error)")
        }
    }
}

struct PredictCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "predict", abstract: "Classes of single test records, with probabilities.")

    @OptionGroup var model: ModelOptions

    @Option(help: "Data set: \(DataSpecification.forms).")
    var data: String

    @Option(help: "Number of a test record, from 0; may be given several times.")
    var record: [Int]

    func run() throws {
        try Terminal.run { () throws(Failure) -> Int in
            let (engine, dataSet) = try model.open(data: data)
            let classes = engine.network.outputElementCount
            for number in record {
                guard (0..<dataSet.description.testCount).contains(number) else {
                    throw .usage(
                        "--record: expected 0 to \(dataSet.description.testCount - 1), "
                            + "found \(number)")
                }
                let images: [Float]
                let labels: [Int32]
                do throws(DataError) {
                    (images, labels) = try dataSet.gather(.test, records: [number])
                } catch {
                    throw .data("\(error)")
                }
                var logits = [Float](repeating: 0, count: classes)
                let identity = [UInt64(number)]
                _ = engine.evaluate(
                    MicrobatchView(images: images, labels: labels, records: identity, count: 1),
                    logits: &logits)
                show(number, Int(labels[0]), logits)
            }
            return ExitCode.done
        }
    }

    private func show(_ number: Int, _ label: Int, _ logits: [Float]) {
        let probabilities = SoftmaxCrossEntropy.probabilities(logits)
        let best = probabilities.indices.max { probabilities[$0] < probabilities[$1] } ?? 0
        let list = probabilities.map { JSONText.number($0) }.joined(separator: ",")
        Terminal.show(
            "{\"record\":\(number),\"class\":\(best),"
                + "\"probability\":\(JSONText.number(probabilities[best])),"
                + "\"label\":\(label),\"probabilities\":[\(list)]}")
    }
}
