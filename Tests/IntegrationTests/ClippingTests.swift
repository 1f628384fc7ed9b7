import Buffers
import ClusterRuntime
import Glibc
import NeuralNetwork
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Runs that clip the gradient by its norm and keep an average of the weights.
    @Suite struct ClippingTests {
        private let directory: TemporaryDirectory
        private let data: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData().write(to: directory)
        }

        /// A run whose every gradient is clipped, and that keeps an average.
        private func sample(
            model: String = SampleData.model, steps: Int
        ) throws -> RunConfiguration {
            var configuration = try RunConfiguration.sample(data, model: model, steps: steps)
            configuration.optimizer = .sgd(SGD(learningRate: 0.5, momentum: 0.9))
            configuration.training.clipNorm = 0.05
            configuration.training.averageDecay = 0.9
            configuration.training.checkpointEvery = 40
            return configuration
        }

        /// Returns the average in a checkpoint.
        private func average(_ run: TrainRun, step: Int) throws -> [Float] {
            let path = "\(run.records.directory.checkpoints)/\(CheckpointStore.name(step: step))"
            return try Model(contentsOf: path, isAveraged: true).weights
        }

        /// The sample model has three blocks, and so up to three shards.
        @Test(arguments: [SampleData.model, SampleData.graphModel])
        func everyClusterGivesTheBitsOfOneProcess(model: String) throws {
            let configuration = try sample(model: model, steps: 23)
            let expected = try SerialTrainer(configuration).train(steps: 23)
            let digest = try SerialTrainer(configuration).weights(afterSteps: 23)
            var plain = configuration
            plain.training.clipNorm = nil
            #expect(try SerialTrainer(plain).weights(afterSteps: 23) != digest)
            let shapes: [ClusterShape] =
                model == SampleData.model
                ? [
                    (1, 1, 0), (1, 2, 1), (1, 1, 3), (2, 2, 0), (2, 1, 2), (2, 2, 3), (3, 1, 0),
                    (3, 2, 1), (3, 1, 2), (3, 2, 3),
                ] : [(2, 2, 0), (3, 1, 3)]
            for shape in shapes {
                let run = try TrainRun(configuration, in: directory, shape)
                #expect(try run.weights() == digest, "\(shape)")
                #expect(try average(run, step: 23) == expected.average, "\(shape)")
            }
            for threadCount in [1, 3] {
                let trainer = try Trainer(configuration, threadCount: threadCount)
                try trainer.train()
                #expect(try trainer.model().weights == expected.weights)
                #expect(try trainer.averagedModel()?.weights == expected.average)
            }
        }

        @Test func inBFloat16OnTheWire() throws {
            var configuration = try sample(steps: 11)
            configuration.training.wirePrecision = .bf16
            let digest = try SerialTrainer(configuration).weights(afterSteps: 11)
            for shape: ClusterShape in [(1, 1, 1), (3, 1, 0), (2, 1, 2)] {
                #expect(try TrainRun(configuration, in: directory, shape).weights() == digest)
            }
            let trainer = try Trainer(configuration, threadCount: 2)
            try trainer.train()
            #expect(try trainer.model().weightsSHA256 == digest)
        }

        /// Workers, servers and the coordinator die one after another.
        @Test(arguments: [(workers: 3, servers: 3), (3, 0)])
        func everyRoleIsKilled(workers: Int, servers: Int) throws {
            let configuration = try sample(steps: RunConfiguration.endless)
            let run = try TrainRun(
                configuration.with(workers: workers, servers: servers), in: directory, "run")
            for role in ["worker", "server", "coordinator", "server", "worker"] {
                try run.awaitSteps(80)
                let victims = run.processes(servers == 0 && role == "server" ? "worker" : role)
                kill(try #require(victims.last), SIGKILL)
            }
            try run.awaitSteps(80)
            try run.endAsSerial(configuration)
            let step = try run.records.summary().steps
            let expected = try SerialTrainer(configuration).train(steps: step).average
            #expect(try average(run, step: step) == expected)
        }

        /// The run goes on in the middle of an epoch with other workers and servers. The average
        /// can be evaluated.
        @Test func resumedInMidEpoch() throws {
            let configuration = try sample(model: SampleData.graphModel, steps: 53)
            var first = configuration
            first.training.steps = 26
            let run = try TrainRun(first.with(workers: 2, servers: 2), in: directory, "run")
            _ = try run.weights()
            let path = run.records.directory.path
            _ = try Command.succeed([
                "train", "--resume", path, "--steps", "53", "--workers", "3", "--servers", "0",
            ])
            let expected = try SerialTrainer(configuration).train(steps: 53)
            #expect(
                try run.records.summary().weights_sha256
                    == (try SerialTrainer(configuration).weights(afterSteps: 53)))
            #expect(try average(run, step: 53) == expected.average)
            let plain = try Command.succeed(["evaluate", "--checkpoint", path, "--data", data])
            let averaged = try Command.succeed([
                "evaluate", "--checkpoint", path, "--ema", "--data", data,
            ])
            #expect(plain.output != averaged.output)
            let file = "\(path)/checkpoints/step-00000053/ema.safetensors"
            let direct = try Command.succeed(["evaluate", "--checkpoint", file, "--data", data])
            #expect(direct.output == averaged.output)
            _ = try Command.succeed(["verify", path])
            // Another limit is another run; an average begins with the weights where it is new.
            let refused = try Command.run([
                "train", "--resume", path, "--steps", "60", "--clip-norm", "2",
            ])
            #expect(refused.exitCode == 65, "\(refused)")
            #expect(refused.errors.contains("training.clip-norm 0.05"), "\(refused)")
        }

        @Test func anAverageMayBeginLater() throws {
            var configuration = try sample(steps: 20)
            configuration.training.averageDecay = nil
            let run = try TrainRun(configuration.with(workers: 1, servers: 1), in: directory, "run")
            _ = try run.weights()
            let path = run.records.directory.path
            let none = try Command.run(["evaluate", "--checkpoint", path, "--ema", "--data", data])
            #expect(none.exitCode == 65 && none.errors.contains("ema.safetensors"), "\(none)")
            _ = try Command.succeed([
                "train", "--resume", path, "--steps", "21", "--ema", "0.75", "--change-settings",
            ])
            let former = try SerialTrainer(configuration).train(steps: 20).weights
            let last = try SerialTrainer(configuration).train(steps: 21).weights
            let expected = zip(former, last).map { Float(0.75 * Double($0) + 0.25 * Double($1)) }
            #expect(try average(run, step: 21) == expected)
            // A flipped bit is found.
            let file = "run/checkpoints/step-00000021/ema.safetensors"
            var bytes = try directory.read(file)
            bytes[bytes.count - 1] ^= 1
            try directory.write(bytes, file)
            let torn = try Command.run(["verify", path])
            #expect(torn.exitCode == 65 && torn.errors.contains("ema.safetensors"), "\(torn)")
        }
    }
}
