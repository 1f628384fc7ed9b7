import ClusterRuntime
import Glibc
import NeuralNetwork
import Partitions
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Runs of a model with batch normalisation: its running statistics survive whatever dies.
    @Suite struct GraphRunTests {
        private let directory: TemporaryDirectory
        private let data: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData().write(to: directory)
        }

        private func sample(
            _ model: String = SampleData.graphModel, steps: Int
        ) throws -> RunConfiguration {
            var configuration = try RunConfiguration.sample(data, model: model, steps: steps)
            configuration.training.checkpointEvery = 40
            return configuration
        }

        /// A worker, a server and the coordinator die one after another.
        @Test(arguments: [(SampleData.graphModel, 36), (SampleData.wideModel, 60)])
        func everyRoleIsKilled(model: String, batchSize: Int) throws {
            var configuration = try sample(model, steps: RunConfiguration.endless)
            configuration.training.batchSize = batchSize
            let run = try TrainRun(configuration.with(workers: 3, servers: 2), in: directory, "run")
            try run.kill(["worker", "server", "coordinator", "worker"], every: 80)
            try run.awaitSteps(80)
            try run.endAsSerial(configuration)
        }

        /// Members die while records are augmented and mixed.
        @Test func mixedRecordsAreMixedAgain() throws {
            var configuration = try sample(steps: RunConfiguration.endless)
            configuration.data.transformations = try [
                .randomCrop(padding: 2), Transformation("mixup", ["alpha": .number(0.5)]),
                Transformation("cutmix"),
                Transformation("normalize", ["mean": .floats([0.4]), "std": .floats([0.2])]),
            ]
            let run = try TrainRun(configuration.with(workers: 3, servers: 2), in: directory, "run")
            try run.kill(["worker", "coordinator", "server"], every: 60)
            try run.awaitSteps(60)
            try run.endAsSerial(configuration)
        }

        /// A run stops in the middle of an epoch, and goes on with other workers and servers. Its
        /// model is then evaluated as the run evaluated it.
        @Test func resumedInMidEpoch() throws {
            let configuration = try sample(steps: 53)
            var first = configuration
            first.training.steps = 26
            let run = try TrainRun(first.with(workers: 2, servers: 1), in: directory, "run")
            _ = try run.weights()
            let path = run.records.directory.path
            _ = try Command.succeed([
                "train", "--resume", path, "--steps", "53", "--workers", "3", "--servers", "0",
            ])
            let summary = try run.records.summary()
            #expect(
                summary.weights_sha256
                    == (try SerialTrainer(configuration).weights(afterSteps: 53)))
            let evaluated = try Command.succeed([
                "evaluate", "--checkpoint", "\(path)/checkpoints/step-00000053", "--data", data,
            ])
            let accuracy = try #require(summary.test_accuracy)
            #expect(evaluated.output.contains("\"test_accuracy\":\(accuracy)"), "\(evaluated)")
        }

        @Test func aModelWithoutParametersIsRefused() throws {
            let model = try directory.write(
                "input: [1, 12, 12]\nlayers: [flatten]\n", "empty.yaml")
            let refused = try Command.run([
                "train", "--data", data, "--model", model, "--run-dir", "\(directory.path)/empty",
            ])
            #expect(refused.exitCode == 65, "\(refused)")
            #expect(
                refused.errors.contains("expected at least one layer with parameters"),
                "\(refused)")
        }

        @Test func whatCannotBeIsRefused() throws {
            var configuration = try sample(steps: 5)
            configuration.training.wirePrecision = .bf16
            let file = try directory.write(configuration.yaml, "bf16.yaml")
            let refused = try Command.run([
                "train", "--config", file, "--run-dir", "\(directory.path)/refused",
            ])
            #expect(refused.exitCode == 65, "\(refused)")
            #expect(
                refused.errors.contains("training.wire-precision: expected fp32"), "\(refused)")
        }
    }
}
