import ClusterRuntime
import Glibc
import NeuralNetwork
import Partitions
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Transfer learning: initial weights, frozen tensors, groups, features and a new head.
    @Suite struct TransferTests {
        private let directory: TemporaryDirectory
        private let data: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData().write(to: directory)
        }

        /// The trunk up to the last pool is frozen, statistics included; of the gate a part.
        private func sample(steps: Int) throws -> RunConfiguration {
            var configuration = try RunConfiguration.sample(
                data, model: SampleData.graphModel, steps: steps)
            configuration.freeze = ["conv?.*", "bn1.*", "bn2.*", "ln1.bias"]
            configuration.groups = [
                ParameterGroup(match: NamePattern("dense1.*"), rate: 0.5, decay: 0)
            ]
            configuration.optimizer = .sgd(SGD(learningRate: 0.1, momentum: 0.9, weightDecay: 0.01))
            configuration.training.checkpointEvery = 40
            return configuration
        }

        private func tensors(_ run: String, step: Int) throws -> Model {
            try Model(contentsOf: "\(run)/checkpoints/\(CheckpointStore.name(step: step))")
        }

        /// Any cluster computes the bits of the serial oracle. Frozen tensors keep theirs, and they
        /// do not travel: contributions and weights have the length of what is trained.
        @Test func frozenOnEveryCluster() throws {
            let configuration = try sample(steps: 17)
            let expected = try SerialTrainer(configuration).weights(afterSteps: 17)
            let trainer = try Trainer(configuration, threadCount: 2)
            try trainer.train()
            #expect(try trainer.model().weightsSHA256 == expected)
            let shapes: [ClusterShape] = [(1, 1, 1), (2, 2, 0), (3, 1, 3), (5, 1, 1)]
            for shape in shapes {
                let run = try TrainRun(configuration, in: directory, shape)
                #expect(try run.weights() == expected, "\(shape)")
                let path = run.records.directory.path
                let last = try tensors(path, step: 17)
                let first = last.network.initialParameters(seed: configuration.training.seed)
                for slot in last.network.parameters.slots {
                    let isFrozen = configuration.freeze.contains {
                        NamePattern($0).matches(slot.name)
                    }
                    let isSame = first[slot.range] == last.weights[slot.range]
                    #expect(isSame == isFrozen, "\(slot.name)")
                }
                let verified = try Command.succeed(["verify", path])
                #expect(verified.output.contains("good"))
            }
        }

        /// What is frozen does not travel, so a narrow wire does not round it.
        @Test func frozenWithANarrowWire() throws {
            var configuration = try RunConfiguration.sample(data, steps: 11)
            configuration.freeze = ["conv1.*"]
            configuration.training.wirePrecision = .bf16
            let expected = try SerialTrainer(configuration).weights(afterSteps: 11)
            let trainer = try Trainer(configuration)
            try trainer.train()
            #expect(try trainer.model().weightsSHA256 == expected)
            let run = try TrainRun(configuration, in: directory, (2, 1, 1))
            #expect(try run.weights() == expected)
        }

        /// What cannot be trained without frozen tensors is refused at the start.
        @Test func whatCannotBeUnfrozenIsRefused() throws {
            var configuration = try sample(steps: 20)
            configuration.freeze = ["conv1.*", "bn?.running_*"]
            configuration.training.wirePrecision = .bf16
            _ = try Trainer(configuration)
            configuration.unfreeze = .init(epoch: 3)
            let error = #expect(throws: RunError.self) { _ = try Trainer(configuration) }
            #expect("\(error!)".contains("training.wire-precision: expected fp32"), "\(error!)")
        }

        @Test func everyRoleIsKilled() throws {
            let configuration = try sample(steps: RunConfiguration.endless)
            let run = try TrainRun(configuration.with(workers: 3, servers: 2), in: directory, "run")
            try run.kill(["worker", "server", "coordinator", "worker"], every: 80)
            try run.awaitSteps(80)
            try run.endAsSerial(configuration)
        }

        /// A run whose trunk was frozen goes on with all of it, and the other way round.
        @Test func freezingChangesWithTheSettings() throws {
            var first = try sample(steps: 20)
            first.training.steps = 12
            let run = try TrainRun(first.with(workers: 2, servers: 1), in: directory, "run")
            _ = try run.weights()
            let path = run.records.directory.path
            let refused = try Command.run(["train", "--resume", path, "--steps", "20", "--freeze="])
            #expect(refused.exitCode == 65 && refused.errors.contains("freeze"), "\(refused)")
            _ = try Command.succeed([
                "train", "--resume", path, "--steps", "20", "--freeze=", "--change-settings",
            ])
            let (middle, last) = (try tensors(path, step: 12), try tensors(path, step: 20))
            for slot in middle.network.parameters.slots {
                #expect(middle.weights[slot.range] != last.weights[slot.range], "\(slot.name)")
            }
            _ = try Command.succeed([
                "train", "--resume", path, "--steps", "24", "--freeze", "conv1.*", "--freeze",
                "bn1.*", "--change-settings",
            ])
            let end = try tensors(path, step: 24)
            for slot in end.network.parameters.slots {
                let isFrozen = slot.name.hasPrefix("conv1.") || slot.name.hasPrefix("bn1.")
                let isSame = last.weights[slot.range] == end.weights[slot.range]
                #expect(isSame == isFrozen, "\(slot.name)")
            }
            #expect(try Command.succeed(["verify", path]).output.contains("good"))
        }

        /// From an epoch on nothing is frozen, at a rate of its own.
        @Test func unfrozenOnEveryCluster() throws {
            var configuration = try sample(steps: 20)
            configuration.unfreeze = .init(epoch: 3, rate: 0.25)
            let expected = try SerialTrainer(configuration).weights(afterSteps: 20)
            let trainer = try Trainer(configuration, threadCount: 2)
            try trainer.train()
            #expect(try trainer.model().weightsSHA256 == expected)
            for shape in [(1, 1, 1), (2, 2, 0), (3, 1, 3)] as [ClusterShape] {
                let run = try TrainRun(configuration, in: directory, shape)
                #expect(try run.weights() == expected, "\(shape)")
                let path = run.records.directory.path
                let (middle, last) = (
                    try tensors(path, step: 12), try tensors(path, step: 20)
                )
                let first = middle.network.initialParameters(seed: configuration.training.seed)
                for slot in middle.network.parameters.slots {
                    let isFrozen = configuration.freeze.contains {
                        NamePattern($0).matches(slot.name)
                    }
                    let isSame = first[slot.range] == middle.weights[slot.range]
                    #expect(isSame == isFrozen, "\(slot.name)")
                    #expect(middle.weights[slot.range] != last.weights[slot.range], "\(slot.name)")
                }
                #expect(run.command.output.contains("nothing is frozen from step 12 on"))
                #expect(try run.records.summary().steps == 20)
                #expect(try Command.succeed(["verify", path]).output.contains("good"))
            }
        }

        /// Processes of all roles die before, at and after the step at which nothing is frozen any
        /// more.
        @Test func killedAroundTheUnfreezing() throws {
            var configuration = try sample(steps: RunConfiguration.endless)
            configuration.unfreeze = .init(epoch: 31, rate: 0.5)
            configuration.training.checkpointEvery = 25
            let run = try TrainRun(configuration.with(workers: 3, servers: 2), in: directory, "run")
            try run.kill(
                ["server", "coordinator", "worker", "coordinator", "server", "coordinator"],
                every: 60)
            try run.awaitSteps(80)
            #expect(try run.records.ledgerSteps().count > 200)
            try run.endAsSerial(configuration)
        }

        /// A run that stops before the step goes on after it with other processes.
        @Test func resumedAcrossTheUnfreezing() throws {
            var configuration = try sample(steps: 20)
            configuration.unfreeze = .init(epoch: 3)
            var first = configuration
            first.training.steps = 9
            let run = try TrainRun(first.with(workers: 2, servers: 1), in: directory, "run")
            _ = try run.weights()
            let path = run.records.directory.path
            for (steps, workers, servers) in [("14", "1", "2"), ("20", "3", "0")] {
                _ = try Command.succeed([
                    "train", "--resume", path, "--steps", steps, "--workers", workers, "--servers",
                    servers,
                ])
            }
            #expect(
                try run.records.summary().weights_sha256
                    == SerialTrainer(configuration).weights(afterSteps: 20))
        }

        /// The report says what came from where; a mismatch is an error unless it is excepted.
        @Test func initialWeightsAreReported() throws {
            let first = try TrainRun(
                sample(steps: 5).with(workers: 1, servers: 1), in: directory, "first")
            _ = try first.weights()
            let path = first.records.directory.path
            let wide = SampleData.graphModel.replacing("dense: {units: 4, ", with: "dense: {units: 7, ")
            let model = try directory.write(wide, "wide.yaml")
            let arguments = [
                "train", "--data", data, "--model", model, "--steps", "2", "--batch-size", "36",
                "--virtual-workers", "6", "--init", path, "--run-dir",
            ]
            let refused = try Command.run(arguments + ["\(directory.path)/a"])
            #expect(refused.exitCode == 65, "\(refused)")
            #expect(
                refused.errors.contains(
                    "tensor dense2.weight: expected shape [7, 8], found [4, 8]"), "\(refused)")
            let none = try Command.run(
                arguments + ["\(directory.path)/b", "--init-except", "dense9.*"])
            #expect(none.exitCode == 65, "\(none)")
            #expect(none.errors.contains("init.except: expected a pattern"), "\(none)")
            let done = try Command.succeed(
                arguments + [
                    "\(directory.path)/c", "--init-except", "dense2.*", "--init-except", "ln1.*",
                ])
            #expect(
                done.output.contains(
                    "3 drawn from the seed: ln1.weight [8], ln1.bias [8], dense2.weight [7, 8]"),
                "\(done)")
            let (old, new) = (
                try tensors(path, step: 5), try tensors("\(directory.path)/c", step: 0)
            )
            for slot in new.network.parameters.slots
            where !slot.name.hasPrefix("dense2") && !slot.name.hasPrefix("ln1") {
                let source = try #require(old.network.parameters.slot(named: slot.name))
                #expect(old.weights[source.range] == new.weights[slot.range], "\(slot.name)")
            }
        }

        /// Training the head on kept features gives the bits of training it behind the frozen trunk.
        @Test func featuresGiveTheBitsOfAFrozenTrunk() throws {
            let model = """
                input: [1, 12, 12]
                layers:
                  - conv2d: {filters: 8, kernel: 3, padding: 1, bias: false}
                  - batch-norm
                  - relu
                  - conv2d: {filters: 8, kernel: 3, stride: 2, padding: 1}
                  - batch-norm
                  - relu
                  - global-average-pool: {name: pool}
                  - dense: {units: 6, activation: relu}
                  - dense: {units: 4, name: fc}

                """
            var configuration = try RunConfiguration.sample(data, model: model, steps: 12)
            configuration.data.transformations = [.standardize(mean: [0.4], deviation: [0.2])]
            let first = try TrainRun(
                configuration.with(workers: 2, servers: 1), in: directory, "first")
            _ = try first.weights()
            let path = first.records.directory.path
            var frozen = configuration
            frozen.freeze = ["conv?.*", "bn?.*"]
            frozen.initial.file = path
            let whole = try TrainRun(frozen.with(workers: 2, servers: 1), in: directory, "whole")
            _ = try whole.weights()
            let output = "\(directory.path)/features"
            let wrote = try Command.succeed([
                "features", "--checkpoint", path, "--node", "pool", "--data", data, "--output",
                output, "--partitions", "5",
            ])
            #expect(wrote.output.contains("203 training and 61 test records of [8, 1, 1]"))
            #expect(try Command.succeed(["verify", output]).output.contains("good"))
            var head = configuration
            head.data.source = "partitions:\(output)"
            head.data.transformations = []
            head.model = try RunConfiguration.model("\(output)/head.yaml")
            head.initial.file = "\(output)/head.safetensors"
            let run = try TrainRun(head.with(workers: 1, servers: 0), in: directory, "head")
            _ = try run.weights()
            let (all, part) = (
                try tensors(whole.records.directory.path, step: 12),
                try tensors(run.records.directory.path, step: 12)
            )
            #expect(
                part.network.parameters.slots.map(\.name).sorted() == [
                    "dense1.bias", "dense1.weight", "fc.bias", "fc.weight",
                ])
            for slot in part.network.parameters.slots {
                let source = try #require(all.network.parameters.slot(named: slot.name))
                #expect(all.weights[source.range] == part.weights[slot.range], "\(slot.name)")
            }
            #expect(
                try whole.records.summary().test_accuracy == run.records.summary().test_accuracy)
            for (node, text) in [("pol", "did you mean pool?"), ("fc", "expected a node with")] {
                let refused = try Command.run([
                    "features", "--checkpoint", path, "--node", node, "--data", data, "--output",
                    "\(directory.path)/none-\(node)",
                ])
                #expect(refused.errors.contains(text), "\(refused)")
            }
        }

        @Test(
            arguments: [
                (["--freeze", "nothing.*"], "freeze: expected a pattern that names tensors"),
                (["--freeze", "*"], "freeze: expected to leave a tensor to train"),
                (["--init-except", "*"], "init.except: expected init.file with it"),
            ])
        func whatCannotBeIsRefused(flags: [String], text: String) throws {
            let model = try directory.write(SampleData.tinyModel, "tiny.yaml")
            let refused = try Command.run(
                ["train", "--data", data, "--model", model, "--run-dir", "\(directory.path)/r"]
                    + flags)
            #expect(refused.exitCode == 65, "\(refused)")
            #expect(refused.errors.contains(text), "\(refused)")
        }
    }
}
