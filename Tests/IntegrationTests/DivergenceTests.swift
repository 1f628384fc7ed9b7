import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Losses and weights that are not finite are reported at once, end the run with 65 and the
    /// last finite weights, never count as best, and are null in JSON.
    @Suite struct DivergenceTests {
        private let directory: TemporaryDirectory
        private let configuration: RunConfiguration

        init() throws {
            directory = try TemporaryDirectory()
            let data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: 200)
            configuration.optimizer = try #require(.init(named: "sgd"))
            configuration.optimizer["learning-rate"] = 1e30
            configuration.training.checkpointEvery = 10
            self.configuration = configuration
        }

        /// After one step of 1e30 times the gradient the weights are still finite, but too large.
        private static let finiteSteps = 1

        @Test(arguments: [(1, 0), (2, 1), (3, 2)])
        func endsWithTheLastFiniteWeights(workers: Int, servers: Int) throws {
            let run = try TrainRun(
                configuration.with(workers: workers, servers: servers), in: directory, "run")
            let result = run.command.finish()
            #expect(result.exitCode == 65, "\(result)")
            #expect(
                result.output.contains("warning: the loss of step 2 is not a finite number"),
                "\(result)")
            #expect(result.output.contains("virtual worker 0's, computed by worker"), "\(result)")
            #expect(result.output.contains("its 6 records: "), "\(result)")
            #expect(result.errors.contains("--keep-going"), "\(result)")
            run.records.expectNothingRunning()
            let last = Self.finiteSteps
            #expect(run.records.checkpoints.last == last)
            let summary = try run.records.summary()
            #expect(summary.steps == last && summary.test_loss == nil)
            #expect(
                try summary.weights_sha256 == SerialTrainer(configuration).weights(afterSteps: last))
            #expect(!FileSystem.exists(run.records.directory.bestCheckpoint))
            try expectPlainJSON(run.records)
            _ = try Command.succeed(["verify", run.records.directory.path])
            let error = run.records.log("coordinator-1").first { $0["level"] == "error" }
            #expect(error?["train.virtual-workers"] == "0")
            #expect(error?["data.records"]?.isEmpty == false)
        }

        @Test func keepsGoingWhenAsked() throws {
            var configuration = configuration.with(workers: 2, servers: 1)
            configuration.training.keepsGoing = true
            let run = try TrainRun(configuration, in: directory, "run")
            let result = run.command.finish()
            #expect(result.exitCode == 0, "\(result)")
            #expect(result.output.contains("is not a finite number"), "\(result)")
            #expect(try run.records.summary().steps == 200)
            #expect(!FileSystem.exists(run.records.directory.bestCheckpoint))
            try expectPlainJSON(run.records)
        }

        /// Weights of a file that are not finite are refused, with the name of the tensor.
        @Test func initialWeightsThatAreNone() throws {
            let run = try TrainRun(
                configuration.with(workers: 1, servers: 0), in: directory, "run")
            _ = run.command.finish()
            let model =
                "\(run.records.directory.checkpoints)/step-00000001/model.safetensors"
            var bytes = try FileSystem.read(model)
            bytes.replaceSubrange(bytes.count - 4..<bytes.count, with: [0, 0, 0xC0, 0x7F])
            let file = try directory.write(bytes, "flawed.safetensors")
            let result = try Command.run(
                ["train", "--data", configuration.data.source, "--init", file]
                    + ["--config", try directory.write(configuration.yaml, "again.yaml")])
            #expect(result.exitCode == 65, "\(result)")
            #expect(result.errors.contains("is not a finite number"), "\(result)")
        }

        /// JSON has no `nan` and no `inf`.
        private func expectPlainJSON(_ records: RunRecords) throws {
            let path = records.directory.path
            for name in ["metrics.jsonl", "summary.json", "journal.jsonl", "ledger.jsonl"] {
                let text = String(decoding: try FileSystem.read("\(path)/\(name)"), as: UTF8.self)
                #expect(!text.lowercased().contains("nan"), "\(name)")
                #expect(!text.lowercased().contains(":inf"), "\(name)")
            }
            let metrics = String(
                decoding: try FileSystem.read(records.directory.metrics), as: UTF8.self)
            #expect(metrics.contains("\"loss\":null"))
            _ = try records.metrics()
        }
    }
}
