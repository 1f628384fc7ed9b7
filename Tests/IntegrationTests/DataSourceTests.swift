import ClusterRuntime
import NeuralNetwork
import Partitions
import RunFiles
import SafeTensors
import TestSupport
import Testing

extension Integration {
    /// The sources besides IDX, and the uses of a trained model.
    @Suite struct DataSourceTests {
        private let directory: TemporaryDirectory

        init() throws { directory = try TemporaryDirectory() }

        @Test func cifar10InItsOriginalLayout() throws {
            let data = try SampleData.writeCIFAR(to: directory, recordCount: 21)
            var configuration = RunConfiguration()
            configuration.data.source = data
            configuration.data.partitions = 3
            configuration.training.steps = 5
            let run = try TrainRun(configuration, in: directory, "run")
            let expected = try SerialTrainer(configuration).weights(afterSteps: 5)
            #expect(try run.weights() == expected)
            _ = try Command.succeed(["verify", run.records.directory.path])
        }

        @Test func partitionedDirectory() throws {
            let source = try SampleData().write(to: directory)
            let output = "\(directory.path)/partitioned"
            let written = try Command.succeed(
                ["partition", "--data", source, "--partitions", "7", "--output", output])
            #expect(written.output.contains("203 training records in 7 partitions"), "\(written)")
            let verified = try Command.succeed(["verify", output])
            #expect(verified.output.contains("good"), "\(verified)")

            let configuration = try RunConfiguration.sample("partitions:\(output)", steps: 19)
                .with(workers: 2, servers: 0)
            let run = try TrainRun(configuration, in: directory, "run")
            let expected = try SerialTrainer(configuration).weights(afterSteps: 19)
            #expect(try run.weights() == expected)

            // The original, with equal partitions, gives these bits too.
            var original = configuration
            original.data.source = source
            original.data.partitions = 7
            #expect(try SerialTrainer(original).weights(afterSteps: 19) == expected)

            let file = try #require(
                FileSystem.names(in: output).first { $0.hasSuffix(".safetensors") })
            var bytes = try FileSystem.read("\(output)/\(file)")
            bytes[bytes.count - 1] ^= 1
            try directory.write(bytes, "partitioned/\(file)")
            let damaged = try Command.run(["verify", output])
            #expect(damaged.exitCode == 65 && damaged.errors.contains(file), "\(damaged)")
            #expect(damaged.errorLines.count == 1, "\(damaged)")
        }

        @Test func evaluateAndPredict() throws {
            let data = try SampleData(trainingCount: 2003, testCount: 303).write(to: directory)
            let configuration = try RunConfiguration.sample(data, steps: 60)
            let run = try TrainRun(configuration, in: directory, "run")
            _ = try run.weights()
            let summary = try run.records.summary()
            let file = "\(directory.path)/logits.safetensors"
            let evaluated = try Command.succeed([
                "evaluate", "--checkpoint", run.records.directory.path, "--data", data, "--logits",
                file,
            ])
            let accuracy = try #require(summary.test_accuracy)
            #expect(evaluated.output.contains("\"test_accuracy\":\(accuracy)}"), "\(evaluated)")
            #expect(evaluated.output.contains("\"records\":303,"), "\(evaluated)")

            let tensors = try SafeTensorsFile.read(path: file)
            let logits = try #require(tensors["logits"])
            let labels = try #require(tensors["labels"])
            #expect(logits.shape == [303, 4] && labels.shape == [303])
            let numbers = try logits.floats()
            let classes = (0..<303).map { row in
                (0..<4).max { numbers[row * 4 + $0] < numbers[row * 4 + $1] }!
            }
            let sample = SampleData()
            let correct = classes.indices.count { classes[$0] == sample.label($0) }
            #expect(Double(correct) / 303 == accuracy)
            #expect(accuracy > 0.5, "the sample is easy")

            let records = [0, 17, 302]
            let predicted = try Command.succeed(
                ["predict", "--checkpoint", run.records.directory.path, "--data", data]
                    + records.flatMap { ["--record", "\($0)"] })
            let lines = predicted.output.split(separator: "\n")
            #expect(lines.count == records.count, "\(predicted)")
            for (line, record) in zip(lines, records) {
                let start = "{\"record\":\(record),\"class\":\(classes[record]),"
                #expect(line.hasPrefix(start), "\(predicted)")
            }
        }
    }
}
