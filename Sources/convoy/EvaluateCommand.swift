import ArgumentParser
import Buffers
import ClusterProtocol
import ClusterRuntime
import NeuralNetwork
import Partitions
import RunFiles
import SafeTensors

/// The flags of the commands that use a trained model in this process.
struct ModelOptions: ParsableArguments {
    @Option(help: "A checkpoint, a run directory (its newest checkpoint) or a model file.")
    var checkpoint: String

    @Flag(help: "Take the average of the weights that a run with training.ema keeps.")
    var ema = false

    @Option(help: "auto, native, onednn or reference.")
    var backend: String = "auto"

    @Option(help: "fp32 or bf16.")
    var precision: String = "fp32"

    /// Returns the backend and the precision, which decide the last bits of the outputs.
    func computation() throws(RunError) -> Model.Computation {
        guard let choice = BackendChoice(rawValue: backend) else {
            throw .usage("--backend: expected \(BackendChoice.list), found \(backend)")
        }
        guard let precision = Precision(rawValue: precision) else {
            throw .usage("--precision: expected fp32 or bf16, found \(precision)")
        }
        return Model.Computation(backend: choice, precision: precision)
    }

    /// Reads the model.
    func load() throws(RunError) -> Model { try Model(contentsOf: checkpoint, isAveraged: ema) }

    /// Opens a data set.
    ///
    /// - Parameters:
    ///   - data: the specification.
    ///   - partitionCount: the number of partitions of the training records.
    /// - Throws: `.usage` for a specification that is not valid; `.data` for data that cannot be
    ///   opened.
    static func open(
        data: String, partitionCount: Int = 1
    ) throws(RunError) -> DataSet {
        let specification: DataSpecification
        do throws(DataError) { specification = try DataSpecification(data) } catch {
            throw .usage("--data: \(error)")
        }
        do throws(DataError) {
            return try DataSet.open(specification, partitionCount: partitionCount)
        } catch {
            throw RunError(error)
        }
    }
}

/// The command `convoy evaluate`, which computes loss and accuracy on the test records.
struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate", abstract: "Loss and accuracy of a checkpoint on the test records.")

    @OptionGroup var model: ModelOptions

    @OptionGroup var data: DataSourceFlags

    @Option(
        help: """
            Write the outputs before the softmax as a safetensors file (logits, and labels or \
            targets).
            """)
    var logits: String?

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let source = try data.source()
            let computation = try model.computation()
            let model = try model.load()
            var outputs: [Float] = []
            var labels: [Int32] = []
            let data = try source.open()
            let found = try model.evaluate(data, computation) {
                guard logits != nil else { return }
                outputs += $0
                labels += $1
            }
            if let logits {
                try write(
                    outputs, answers(labels, of: data), model.network.outputElementCount,
                    to: logits)
            }
            Terminal.show(
                "{\"records\":\(found.records),\"test_loss\":\(JSONText.number(found.loss)),"
                    + "\"test_accuracy\":\(JSONText.number(found.accuracy))}")
            return ExitCode.done
        }
    }

    /// Returns the labels, [count], or the targets, [count, targetCount], of all test records.
    private func answers(_ labels: [Int32], of data: DataSet) throws(RunError) -> SafeTensor {
        guard let targetCount = data.description.targetCount else {
            return SafeTensor(name: "labels", shape: [labels.count], int32s: labels)
        }
        do throws(DataError) {
            let count = data.description.testCount
            return SafeTensor(
                name: "targets", shape: [count, targetCount],
                floats: try data.targets(.test, range: 0..<count))
        } catch {
            throw RunError(error)
        }
    }

    /// Writes the outputs, [count, outputs], and the labels or targets as a safetensors file.
    private func write(
        _ outputs: [Float], _ answers: SafeTensor, _ outputCount: Int, to path: String
    ) throws(RunError) {
        do throws(SafeTensorsError) {
            try SafeTensorsFile.write(
                path: path,
                tensors: [
                    SafeTensor(
                        name: "logits", shape: [outputs.count / outputCount, outputCount],
                        floats: outputs),
                    answers,
                ])
        } catch {
            throw RunError(error)
        }
    }
}
