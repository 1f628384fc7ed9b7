import ClusterProtocol
import ClusterRuntime
import Glibc
import NeuralNetwork
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Runs that the coordinator ends early and whose rate it reduces: whatever dies, the decisions
    /// and the bits are those of an undisturbed run.
    @Suite struct DecisionRunTests {
        private let directory: TemporaryDirectory
        private let data: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData().write(to: directory)
        }

        /// A run of epochs of six steps, with a checkpoint before the end of each.
        private func sample() throws -> RunConfiguration {
            var configuration = try RunConfiguration.sample(
                data, model: SampleData.graphModel, steps: RunConfiguration.endless)
            configuration.optimizer = .sgd(SGD(learningRate: 0.2, momentum: 0.9))
            configuration.training.checkpointEvery = 4
            configuration.training.plateau = RatePlateau(
                factor: 0.5, patience: 0, threshold: 0.05, cooldown: 1)
            configuration.training.earlyStopping = EarlyStopping(
                metric: .testAccuracy, patience: 6)
            return configuration
        }

        /// Requires that a run ended early, with the weights of one process that trains as many
        /// steps at the rates in the journal.
        @discardableResult
        private func check(
            _ records: RunRecords, _ configuration: RunConfiguration,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws -> RunRecords.Summary {
            let summary = try records.summary()
            let course = try JournalReader.recovery(records.directory).course
            #expect(course.end == Step(summary.steps), sourceLocation: sourceLocation)
            #expect(course.rates.count >= 2, "\(course.rates)", sourceLocation: sourceLocation)
            #expect(
                summary.reason.hasPrefix("early stopping: test accuracy "), "\(summary)",
                sourceLocation: sourceLocation)
            var serial = try SerialTrainer(configuration)
            serial.rates = course.rates
            let expected = try serial.weights(afterSteps: summary.steps)
            #expect(summary.weights_sha256 == expected, sourceLocation: sourceLocation)
            #expect(
                try records.ledgerSteps() == Array(0..<summary.steps),
                sourceLocation: sourceLocation)
            let best = try #require(
                BestCheckpoint.read(records.directory), sourceLocation: sourceLocation)
            #expect(best.step == course.last?.stopping?.bestStep.value)
            #expect(records.checkpoints.contains(best.step), sourceLocation: sourceLocation)
            _ = try Command.succeed(["verify", records.directory.path])
            return summary
        }

        @Test func everyCluster() throws {
            let configuration = try sample()
            var ends: Set<[String]> = []
            for shape in [(1, 1, 0), (1, 1, 3), (2, 1, 1), (2, 2, 0), (3, 1, 1), (3, 1, 3)] {
                let run = try TrainRun(configuration, in: directory, shape)
                let result = run.command.finish()
                try #require(result.exitCode == 0, "\(result)")
                let summary = try check(run.records, configuration)
                #expect(result.output.contains(summary.reason), "\(result)")
                #expect(result.output.contains("best weights \(run.records.directory.path)"))
                ends.insert(["\(summary.steps)", summary.weights_sha256, summary.reason])
            }
            #expect(ends.count == 1, "\(ends)")
        }

        /// The number of evaluations in the journal, and whether the last one ends the run.
        private func decided(_ records: RunRecords) -> (count: Int, isLast: Bool) {
            let bytes = (try? FileSystem.read(records.directory.journal)) ?? []
            let text = String(decoding: bytes, as: UTF8.self)
            return (
                text.split(separator: "\n").count { $0.contains("\"evaluated\"") },
                text.contains("\"endsRun\":true")
            )
        }

        /// Coordinator and servers die right after decisions, the last one included.
        @Test(arguments: [(workers: 2, servers: 2), (3, 0)])
        func killsAroundDecisions(workers: Int, servers: Int) throws {
            let configuration = try sample().with(workers: workers, servers: servers)
            let quiet = try TrainRun(configuration, in: directory, "quiet")
            let expected = try quiet.weights()
            let run = try TrainRun(configuration, in: directory, "run")
            var (seen, killed) = (0, 0)
            while !run.command.hasEnded {
                let (count, isLast) = decided(run.records)
                guard count > seen else {
                    usleep(500)
                    continue
                }
                seen = count
                let other = servers > 0 ? "server" : "worker"
                let role = isLast || killed.isMultiple(of: 2) ? "coordinator" : other
                guard let process = run.processes(role).first else { continue }
                kill(process, SIGKILL)
                killed += 1
            }
            #expect(try run.weights() == expected)
            #expect(killed >= 4, "\(killed) of \(seen)")
            let summary = try check(run.records, configuration)
            #expect(summary.reason == (try quiet.records.summary().reason))
        }

        /// All processes die, and the run goes on in another size; before that it is stopped in the
        /// middle of epochs, whose evaluations decide nothing.
        @Test func resumed() throws {
            let configuration = try sample()
            let quiet = try TrainRun(
                configuration.with(workers: 1, servers: 0), in: directory, "quiet")
            let expected = try quiet.weights()
            var first = configuration
            first.training.steps = 10
            let run = try TrainRun(first.with(workers: 2, servers: 1), in: directory, "run")
            _ = try run.weights()
            let path = run.records.directory.path
            _ = try Command.succeed([
                "train", "--resume", path, "--steps", "15", "--workers", "1", "--servers", "2",
            ])
            let killed = try TrainRun(
                resuming: run.records, flags: ["--steps", "1000000", "--servers", "0"])
            try killed.awaitCheckpoint(20)
            killed.killEverything()
            let last = try TrainRun(resuming: run.records, flags: ["--workers", "3"])
            #expect(try last.weights() == expected)
            let summary = try check(run.records, configuration)
            #expect(summary.reason == (try quiet.records.summary().reason))
        }

        /// All processes died before the file named the best checkpoint, which was on disk. Nothing
        /// better comes later, since the weights no longer change.
        @Test func theBestIsNamedAnew() throws {
            var configuration = try sample().with(workers: 1, servers: 1)
            configuration.training.steps = 12
            let run = try TrainRun(configuration, in: directory, "run")
            _ = try run.weights()
            let directory = run.records.directory
            let best = try #require(BestCheckpoint.read(directory))
            FileSystem.remove(directory.bestCheckpoint)
            _ = try Command.succeed([
                "train", "--resume", directory.path, "--steps", "18", "--change-settings",
                "--learning-rate", "1e-30",
            ])
            #expect(BestCheckpoint.read(directory)?.step == best.step)
        }

        /// A run that has ended early is complete: it goes on only with changed settings.
        @Test func anEarlyEndIsAnEnd() throws {
            let configuration = try sample().with(workers: 2, servers: 1)
            let run = try TrainRun(configuration, in: directory, "run")
            _ = try run.weights()
            let path = run.records.directory.path
            let before = try run.records.summary()
            for flags in [[], ["--epochs", "200000", "--steps", "2000000"], ["--change-settings"]] {
                let again = try Command.succeed(["train", "--resume", path] + flags)
                #expect(again.output.contains("finished already"), "\(again)")
                #expect(again.output.contains(before.reason), "\(again)")
                let summary = try run.records.summary()
                #expect(summary.steps == before.steps && summary.reason == before.reason)
                #expect(summary.weights_sha256 == before.weights_sha256)
            }
            let off = ["--early-stopping", "off", "--steps", "\(before.steps + 9)"]
            let refused = try Command.run(["train", "--resume", path] + off)
            #expect(refused.exitCode == 65 && refused.errorLines.count == 1, "\(refused)")
            #expect(refused.errors.contains("training.early-stopping"), "\(refused)")
            let changed = try Command.succeed(
                ["train", "--resume", path, "--change-settings"] + off)
            #expect(changed.output.contains("settings changed"), "\(changed)")
            let after = try run.records.summary()
            #expect(after.steps == before.steps + 9 && after.reason == "finished")
            _ = try Command.succeed(["verify", path])
        }

        @Test func whatDoesNotFitIsRefused() throws {
            var long = try sample()
            long.training.plateau = nil
            long.training.steps = 50
            long.training.schedule = LearningRateSchedule(.cosine(minimum: 0), warmup: .epochs(10))
            var late = long
            late.training.schedule = LearningRateSchedule(
                .multiStep(at: [.steps(20), .steps(70)], factor: 0.1))
            var untested = try sample()
            untested.data.source = try SampleData(testCount: 0)
                .write(to: directory, folder: "untested")
            for (configuration, mentions) in [
                (long, ["training.schedule", "60", "50"]),
                (late, ["training.schedule", "70", "50"]),
                (untested, ["training.schedule: plateau", "test records"]),
            ] {
                let file = try directory.write(configuration.yaml, "refused.yaml")
                let refused = try Command.run([
                    "train", "--config", file, "--run-dir", "\(directory.path)/refused",
                ])
                #expect(refused.exitCode == 65 && refused.errorLines.count == 1, "\(refused)")
                for mention in mentions {
                    #expect(refused.errors.contains(mention), "\(refused)")
                }
            }
        }
    }
}
