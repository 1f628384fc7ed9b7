import Backends
import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Glibc
import NeuralNetwork
import Partitions
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// A run is taken up with another setting that decides bits. The change is refused by name, or
    /// made on purpose, written down, and then repeatable like any run.
    @Suite struct ChangedSettingsTests {
        private let directory: TemporaryDirectory
        private let data: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData(trainingCount: 203, testCount: 61).write(to: directory)
        }

        /// The run before the change: nine steps of six virtual workers, in epochs of six steps.
        private func base(_ change: (inout RunConfiguration) -> Void = { _ in }) throws
            -> RunConfiguration
        {
            var configuration = try RunConfiguration.sample(data, steps: 9)
                .with(workers: 1, servers: 0)
            configuration.training.backend = .native
            change(&configuration)
            return configuration
        }

        private func finished(_ configuration: RunConfiguration, _ name: String) throws -> String {
            let run = try TrainRun(configuration, in: directory, name)
            _ = try run.weights()
            return run.records.directory.path
        }

        private func copy(_ run: String, _ name: String) throws -> String {
            let target = "\(directory.path)/\(name)"
            try? FileManager.default.removeItem(atPath: target)
            try FileManager.default.copyItem(atPath: run, toPath: target)
            return target
        }

        private func settings(_ configuration: RunConfiguration) throws -> [String: String] {
            let (description, counts) = try DataSource.survey(
                DataSpecification(configuration.data.source),
                partitionCount: configuration.data.partitions,
                transformations: configuration.data.transformations)
            let material = try RunMaterial(
                configuration, data: description.summary(partitionRecordCounts: counts))
            return Dictionary(
                material.decisions.map { ($0.key, $0.text) }, uniquingKeysWith: { first, _ in first })
        }

        private struct Case {
            var key: String
            var change: (inout RunConfiguration) -> Void
        }

        private func check(_ cases: [Case], on configuration: RunConfiguration, _ name: String) throws {
            let run = try finished(configuration, name)
            let before = try settings(configuration)
            for item in cases {
                let path = try copy(run, "\(name)-changed")
                var changed = configuration
                changed.training.steps = 12
                item.change(&changed)
                try FileSystem.replace("\(path)/config.yaml", with: changed.yaml)
                let after = try settings(changed)
                // The instruction set that the workers settle on is not in the run file.
                let from = SettingChange.short(before[item.key] ?? "")
                let to = SettingChange.short(try #require(after[item.key]))
                let refused = try Command.run(["train", "--resume", path])
                #expect(refused.exitCode == 65, "\(item.key): \(refused)")
                #expect(refused.errorLines.count == 1, "\(item.key): \(refused)")
                for mention in ["\(item.key) \(from)", to, "--change-settings"] {
                    #expect(refused.errors.contains(mention), "\(item.key): \(refused)")
                }
                let taken = try Command.run(["train", "--resume", path, "--change-settings"])
                #expect(taken.exitCode == 0, "\(item.key): \(taken)")
                let line = "settings changed at step 9: \(item.key) \(from)"
                #expect(taken.output.contains(line), "\(item.key): \(taken)")
                let journal = String(
                    decoding: try FileSystem.read("\(path)/journal.jsonl"), as: UTF8.self)
                #expect(journal.contains("\"changed\""), "\(item.key)")
                #expect(journal.contains("\"\(item.key)\""), "\(item.key)")
                let verified = try Command.succeed(["verify", path])
                #expect(verified.output.contains("12 steps"), "\(item.key): \(verified)")
                #expect(verified.output.contains(line), "\(item.key): \(verified)")
                let status = try Command.succeed(["status", path])
                #expect(status.output.contains(line), "\(item.key): \(status)")
                let json = try Command.succeed(["status", "--json", path])
                #expect(json.output.contains("step 9: \(item.key)"), "\(item.key): \(json)")
                let again = try Command.run(["train", "--resume", path, "--steps", "14"])
                #expect(again.exitCode == 0, "\(item.key): \(again)")
                #expect(try RunRecords(path).summary().steps == 14, "\(item.key)")
                _ = try Command.succeed(["verify", path])
            }
        }

        private func general() throws -> [Case] {
            let other = try SampleData(trainingCount: 171, testCount: 40)
                .write(to: directory, folder: "other")
            return [
                Case(key: "data.source") { $0.data.source = other },
                Case(key: "data.partitions") { $0.data.partitions = 4 },
                Case(key: "data.transformations") { $0.data.transformations = [.randomHorizontalFlip] },
                Case(key: "training.seed") { $0.training.seed = 12 },
                Case(key: "training.batch-size") { $0.training.batchSize = 30 },
                Case(key: "training.virtual-workers") { $0.training.virtualWorkers = 4 },
                Case(key: "training.precision") { $0.training.precision = .bf16 },
                Case(key: "training.wire-precision") { $0.training.wirePrecision = .bf16 },
                Case(key: "training.backend") { $0.training.backend = .reference },
            ]
        }

        private let adam: [Case] = [
            Case(key: "optimizer.name") { $0.optimizer = .sgd(SGD()) },
            Case(key: "optimizer.learning-rate") { $0.optimizer["learning-rate"] = 0.01 },
            Case(key: "optimizer.beta1") { $0.optimizer = .adam(Adam(beta1: 0.8)) },
            Case(key: "optimizer.beta2") { $0.optimizer = .adam(Adam(beta2: 0.99)) },
            Case(key: "optimizer.epsilon") { $0.optimizer = .adam(Adam(epsilon: 1e-8)) },
            Case(key: "optimizer.weight-decay") { $0.optimizer = .adam(Adam(weightDecay: 0.1)) },
        ]
        private let sgd: [Case] = [
            Case(key: "optimizer.momentum") { $0.optimizer = .sgd(SGD(momentum: 0.8, nesterov: true)) },
            Case(key: "optimizer.nesterov") { $0.optimizer = .sgd(SGD(momentum: 0.9)) },
        ]
        private let reference = [Case(key: "training.tile-size") { $0.training.tileSize = 4 }]
        private let oneDNN = [
            Case(key: "training.instruction-set") {
                $0.training.instructionSet = HostFacts.instructionSet == "avx2" ? "sse41" : "avx2"
            }
        ]

        @Test func everyGeneralSetting() throws { try check(general(), on: base(), "general") }
        @Test func everySettingOfAdam() throws { try check(adam, on: base(), "adam") }
        @Test func everySettingOfSGD() throws {
            let start = try base { $0.optimizer = .sgd(SGD(momentum: 0.9, nesterov: true)) }
            try check(sgd, on: start, "sgd")
        }
        @Test func tileSize() throws {
            let start = try base { configuration in
                configuration.training.backend = .reference
                configuration.model = Self.tiny
            }
            try check(reference, on: start, "tiles")
        }
        @Test func instructionSet() throws {
            guard Backends.available.contains(.oneDNN),
                InstructionSet.supports(HostFacts.instructionSet, "avx2")
            else { return }
            try check(oneDNN, on: base { $0.training.backend = .oneDNN }, "isa")
        }

        private static let tiny: RunConfiguration.ModelChoice = {
            let sample = try? RunConfiguration.sample("idx:d", model: SampleData.tinyModel, steps: 1)
            return sample?.model ?? .builtIn("cnn")
        }()

        /// A setting that is added to the list must be added to these tests.
        @Test func noSettingIsLeftOut() throws {
            let tested = try general() + adam + sgd + reference + oneDNN
            var keys: Set<String> = ["model"]
            for item in tested { #expect(keys.insert(item.key).inserted, "\(item.key) twice") }
            var list = try Set(settings(base()).keys)
            list.formUnion(try settings(base { $0.optimizer = .sgd(SGD()) }).keys)
            list.formUnion(try settings(base { $0.optimizer = .adamW(AdamW()) }).keys)
            list.insert("training.instruction-set")
            #expect(keys == list)
        }

        @Test func theModelIsRefusedEvenThen() throws {
            let path = try finished(base(), "model")
            let result = try Command.run(
                ["train", "--resume", path, "--steps", "12", "--change-settings", "--model"]
                    + [directory.write(SampleData.tinyModel, "other.yaml")])
            #expect(result.exitCode == 65, "\(result)")
            #expect(result.errors.contains("holds model"), "\(result)")
        }

        /// Several flags that the README names, at once; the optimizer's state begins anew.
        @Test func flagsOnTheCommandLine() throws {
            let path = try finished(base(), "flags")
            let flags =
                ["train", "--resume", path, "--steps", "12", "--partitions", "4"]
                + ["--optimizer", "sgd", "--learning-rate", "0.05"]
            let refused = try Command.run(flags)
            #expect(refused.exitCode == 65, "\(refused)")
            for mention in ["data.partitions 5", "optimizer.name adam", "learning-rate 0.001", "0.05"] {
                #expect(refused.errors.contains(mention), "\(refused)")
            }
            let taken = try Command.succeed(flags + ["--change-settings"])
            #expect(taken.output.contains("optimizer sgd begins anew") == false, "\(taken)")
            #expect(taken.output.contains("data.partitions 5 -> 4"), "\(taken)")
            let verified = try Command.succeed(["verify", path])
            #expect(verified.output.contains("in which the order of records changed"), "\(verified)")
            let back = try Command.succeed(
                ["train", "--resume", path, "--steps", "15", "--optimizer", "adam"]
                    + ["--change-settings"])
            #expect(back.output.contains("optimizer adam begins anew, with zeros"), "\(back)")
        }

        /// The launcher died between the journal and the run file: the run file lacks what the
        /// journal says.
        @Test func theRunFileIsBehindTheJournal() throws {
            let configuration = try base()
            let path = try finished(configuration, "torn")
            let flags = ["train", "--resume", path, "--partitions", "4"]
            _ = try Command.succeed(flags + ["--change-settings", "--steps", "9"])
            try FileSystem.replace("\(path)/config.yaml", with: configuration.yaml)
            let refused = try Command.run(["train", "--resume", path, "--steps", "12"])
            #expect(refused.exitCode == 65, "\(refused)")
            #expect(refused.errors.contains("data.partitions 4, asked for is 5"), "\(refused)")
            _ = try Command.succeed(flags + ["--steps", "12"])
            _ = try Command.succeed(["verify", path])
        }

        /// The bits after a change depend neither on the number of workers nor on kills.
        @Test func theBitsAfterAChange() throws {
            let path = try finished(base(), "bits")
            let flags = ["--partitions", "7", "--learning-rate", "0.002", "--steps", "900"]
            var hashes: Set<String> = []
            for workers in [1, 3] {
                let run = try copy(path, "bits-\(workers)")
                _ = try Command.succeed(
                    ["train", "--resume", run, "--change-settings", "--workers", "\(workers)"] + flags)
                hashes.insert(try RunRecords(run).summary().weights_sha256)
            }
            let killed = try copy(path, "bits-killed")
            let command = try Command(["train", "--resume", killed, "--change-settings"] + flags)
            try eventually("the change in the run file") {
                let text = (try? FileSystem.read("\(killed)/config.yaml")) ?? []
                return String(decoding: text, as: UTF8.self).contains("partitions: 7")
            }
            command.child.send(signal: SIGKILL)
            _ = command.finish()
            RunRecords(killed).expectNothingRunning()
            _ = try Command.succeed(
                ["train", "--resume", killed, "--workers", "2", "--servers", "1"])
            #expect(try RunRecords(killed).summary().steps == 900)
            hashes.insert(try RunRecords(killed).summary().weights_sha256)
            #expect(hashes.count == 1)
            _ = try Command.succeed(["verify", killed])
        }

        /// A goal that the run has passed ends the command at once, and the run is not touched.
        @Test(arguments: [["--steps", "5"], ["--epochs", "1"]])
        func aGoalThatIsBehind(_ flags: [String]) throws {
            let path = try finished(base(), "behind")
            let summary = try FileSystem.read("\(path)/summary.json")
            let result = try Command.run(
                ["train", "--resume", path] + flags, within: .seconds(20))
            #expect(result.exitCode == 65, "\(result)")
            #expect(result.errorLines.count == 1, "\(result)")
            #expect(result.errors.contains("it is at step 9 already"), "\(result)")
            #expect(try FileSystem.read("\(path)/summary.json") == summary)
            #expect(try RunConfiguration.load(file: "\(path)/config.yaml").training.steps == 9)
        }
    }
}
