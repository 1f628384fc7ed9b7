import Checksums
import ClusterRuntime
import CounterRandom
import FoundationEssentials
import NeuralNetwork
import Partitions
import RunFiles
import SafeTensors
import TestSupport
import Testing

extension SampleData {
    /// Writes the data set as partitions whose records have four targets, 0 or 1, in place of
    /// labels: the label's place, and bits of noise.
    ///
    /// - Returns: the data set's specification.
    func writeTargets(to directory: TemporaryDirectory, folder: String = "targets") throws -> String {
        func entries(_ split: String, _ counts: [Int], salt: UInt64) throws -> String {
            let all = Array(images(counts.reduce(0, +), salt: salt).dropFirst(16))
            var first = 0
            let entries = try counts.enumerated().map { index, count in
                let size = side * side
                let targets = (first..<first + count).flatMap { record in
                    (0..<4).map { place -> Float in
                        let isNoise = mix64(UInt64(record)) >> UInt64(8 * place) & 7 == 0
                        return label(record) == place || isNoise ? 1 : 0
                    }
                }
                let bytes = try SafeTensorsFile.encode(tensors: [
                    SafeTensor(name: "targets", shape: [count, 4], floats: targets),
                    SafeTensor(
                        name: "images", dataType: .U8, shape: [count, 1, side, side],
                        bytes: Array(all[first * size..<(first + count) * size])),
                ])
                first += count
                let name = "\(split)-\(index).safetensors"
                try directory.write(bytes, "\(folder)/\(name)")
                let sha256 = hexadecimal(SHA256.hash(data: bytes))
                return #"{"file": "\#(name)", "records": \#(count), "sha256": "\#(sha256)"}"#
            }
            return "[\(entries.joined(separator: ", "))]"
        }
        let manifest = """
            {"format": "convoy-partitions", "version": 1, "name": "sample", "dtype": "U8",
             "shape": [1, \(side), \(side)], "targets": 4,
             "training": \(try entries("training", [40, 41, 1, 60, 61], salt: 1)),
             "test": \(try entries("test", [testCount], salt: 2))}
            """
        try directory.write(Array(manifest.utf8), "\(folder)/manifest.json")
        return "partitions:\(directory.path)/\(folder)"
    }
}

extension Integration {
    /// Losses other than plain cross-entropy, on whole clusters.
    @Suite struct LossRunTests {
        private let directory: TemporaryDirectory

        init() throws { directory = try TemporaryDirectory() }

        private struct Metrics: Decodable {
            var kind: String
            var step: Int
            var records: Int?
            var weight: Double?
            var loss: Double?
            var accuracy: Double?
            var train_loss: Double?
            var train_accuracy: Double?
            var test_loss: Double?
            var test_accuracy: Double?
        }

        private func metrics(_ run: RunRecords) throws -> [Metrics] {
            try FileSystem.read(run.directory.metrics).split(separator: UInt8(ascii: "\n")).map {
                try JSONDecoder().decode(Metrics.self, from: Data($0))
            }
        }

        private static let weighted = LossFunction.crossEntropy(
            labelSmoothing: 0.1, classWeights: .each([0.3, 1, 2.5, 0.7]))
        private static let shapes: [ClusterShape] = [1, 2, 3].flatMap { workers in
            [0, 1, 3].flatMap { servers in
                [1, 2].map { (workers: workers, threads: $0, servers: servers) }
            }
        }

        /// Every shape of the cluster computes the bits of one process. The model has batch
        /// normalisation, whose statistics are means over records and not over weights.
        @Test func classWeightsOnEveryCluster() throws {
            let data = try SampleData().write(to: directory)
            var configuration = try RunConfiguration.sample(
                data, model: SampleData.graphModel, steps: 11)
            let plain = try SerialTrainer(configuration).weights(afterSteps: 11)
            configuration.training.loss = Self.weighted
            let expected = try SerialTrainer(configuration).weights(afterSteps: 11)
            #expect(expected != plain)
            for shape in Self.shapes {
                let run = try TrainRun(configuration, in: directory, shape)
                #expect(try run.weights() == expected, "\(shape)")
            }
            let trainer = try Trainer(configuration, threadCount: 2)
            var losses: [Double] = []
            try trainer.train { losses.append($0.loss) }
            #expect(try trainer.model().weightsSHA256 == expected)
            // The loss of a step is the weighted mean, and its line tells the weight.
            let lines = try metrics(RunRecords("\(directory.path)/w3-t2-s3"))
            let steps = lines.filter { $0.kind == "step" }
            #expect(steps.map(\.loss) == losses.map(Optional.some))
            #expect(steps.allSatisfy { $0.weight != nil && $0.weight != Double($0.records ?? 0) })
            let epoch = try #require(lines.first { $0.kind == "epoch" })
            let inEpoch = steps.prefix(epoch.step)
            let weight = inEpoch.reduce(0) { $0 + ($1.weight ?? 0) }
            let sum = inEpoch.reduce(0) { $0 + ($1.loss ?? 0) * ($1.weight ?? 0) }
            #expect(abs((epoch.train_loss ?? 0) - sum / weight) < 1e-9)
        }

        /// `balanced` stands for numbers that follow from the labels, also with bf16 on the wire,
        /// and for a worker that gets its data streamed.
        @Test func balancedWeights() throws {
            var sample = SampleData()
            sample.classCount = 3
            let data = try sample.write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: 9)
            configuration.training.wirePrecision = .bf16
            configuration.training.loss = .crossEntropy(classWeights: .balanced)
            let run = try TrainRun(
                configuration, in: directory, "balanced",
                flags: ["--workers", "2", "--servers", "1", "--stream-data"])
            let hash = try run.weights()
            let counts = (0..<3).map { label in
                (0..<sample.trainingCount).count { sample.label($0) == label }
            }
            let weights = counts.map { Double(sample.trainingCount) / (3 * Double($0)) } + [0]
            configuration.training.loss = .crossEntropy(classWeights: .each(weights))
            #expect(try SerialTrainer(configuration).weights(afterSteps: 9) == hash)
            let text = try directory.text("balanced/config.yaml")
            #expect(text.contains("loss: {name: cross-entropy, class-weights: balanced}"))
            // A run that goes on with the numbers written out goes on.
            let resumed = try Command.succeed([
                "train", "--resume", run.records.directory.path, "--steps", "12",
            ])
            #expect(resumed.output.contains("done: 12 steps"), "\(resumed)")
            configuration.training.loss = .crossEntropy(classWeights: .balanced)
            #expect(
                try SerialTrainer(configuration).weights(afterSteps: 12)
                    == run.records.summary().weights_sha256)
        }

        /// Targets on clusters of several shapes, and streamed; the run goes on in mid-epoch, and its
        /// model is evaluated as the run evaluated it.
        @Test(arguments: ["mse", "bce"])
        func targets(name: String) throws {
            let data = try SampleData().writeTargets(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: 14)
            configuration.training.loss = try #require(LossFunction(named: name))
            let expected = try SerialTrainer(configuration).weights(afterSteps: 14)
            for shape in [(1, 1, 1), (2, 2, 0), (3, 1, 3)] as [ClusterShape] {
                let run = try TrainRun(configuration, in: directory, shape)
                #expect(try run.weights() == expected, "\(shape)")
            }
            var first = configuration
            first.training.steps = 8
            let run = try TrainRun(
                first.with(workers: 2, servers: 1), in: directory, "run", flags: ["--stream-data"])
            _ = try run.weights()
            let path = run.records.directory.path
            let resumed = try Command.succeed([
                "train", "--resume", path, "--steps", "14", "--workers", "3", "--servers", "0",
            ])
            let summary = try run.records.summary()
            #expect(summary.weights_sha256 == expected)
            let trainer = try Trainer(configuration, threadCount: 3)
            var last: Trainer.Progress?
            try trainer.train { last = $0 }
            #expect(try trainer.model().weightsSHA256 == expected)
            // An accuracy where there is one, and null otherwise.
            let hasAccuracy = name == "bce"
            #expect((summary.test_accuracy != nil) == hasAccuracy && summary.test_loss != nil)
            #expect(resumed.output.contains("accuracy") == hasAccuracy, "\(resumed)")
            #expect(last.map { $0.accuracy.isNaN } == !hasAccuracy)
            for line in try metrics(run.records) {
                let accuracy = line.kind == "step" ? line.accuracy : line.test_accuracy
                #expect((accuracy != nil) == hasAccuracy)
                #expect((line.kind == "step" ? line.loss : line.train_loss) != nil)
                #expect(line.weight == nil)
            }
            #expect(
                FileSystem.exists("\(path)/checkpoints/best.json") == hasAccuracy,
                "the best checkpoint is the one with the highest accuracy")
            let logits = "\(directory.path)/logits.safetensors"
            let evaluated = try Command.succeed([
                "evaluate", "--checkpoint", path, "--data", data, "--logits", logits,
            ])
            let found = try JSONDecoder().decode(
                Evaluation.self, from: Data(evaluated.output.utf8))
            #expect(found.test_accuracy == summary.test_accuracy && found.records == 61)
            let loss = try #require(summary.test_loss)
            #expect(abs(found.test_loss - loss) < 1e-9 * (1 + loss))
            let file = try SafeTensorsFile.read(path: logits)
            #expect(file["logits"]?.shape == [61, 4] && file["targets"]?.shape == [61, 4])
            let monitored = try Command.succeed(["monitor", path, "--once"])
            #expect(monitored.output.contains("accuracy") == hasAccuracy, "\(monitored)")
            let verified = try Command.succeed(["verify", path])
            #expect(verified.output.contains("14 steps"), "\(verified)")
            let refused = try Command.run([
                "predict", "--checkpoint", path, "--data", data, "--record", "0",
            ])
            #expect(
                refused.exitCode == 65 && refused.errors.contains("trained with \(name)"),
                "\(refused)")
        }

        private struct Evaluation: Decodable {
            var records: Int
            var test_loss: Double
            var test_accuracy: Double?
        }

        /// `convoy partition` copies targets, and the copy trains.
        @Test func partitionsOfTargets() throws {
            let data = try SampleData().writeTargets(to: directory)
            let copy = "\(directory.path)/copy"
            _ = try Command.succeed([
                "partition", "--data", data, "--partitions", "3", "--output", copy,
            ])
            _ = try Command.succeed(["verify", copy])
            var configuration = try RunConfiguration.sample("partitions:\(copy)", steps: 5)
            configuration.training.loss = .binaryCrossEntropy
            let run = try TrainRun(configuration, in: directory, "run")
            #expect(try run.weights() == SerialTrainer(configuration).weights(afterSteps: 5))
        }

        /// What does not go together is one line and exit code 65.
        @Test func whatCannotBeIsRefused() throws {
            let labels = try SampleData().write(to: directory)
            let targets = try SampleData().writeTargets(to: directory)
            var count = 0
            func refuse(_ data: String, _ loss: String, _ mentions: [String]) throws {
                count += 1
                let sample = try RunConfiguration.sample(data, steps: 3).yaml
                let text = sample.replacing("  loss: cross-entropy\n", with: "  loss: \(loss)\n")
                let file = try directory.write(text, "refused-\(count).yaml")
                let refused = try Command.run([
                    "train", "--config", file, "--run-dir", "\(directory.path)/refused-\(count)",
                ])
                #expect(refused.exitCode == 65, "\(loss): \(refused)")
                #expect(refused.errors.split(separator: "\n").count == 1, "\(loss): \(refused)")
                for mention in mentions {
                    #expect(refused.errors.contains(mention), "\(loss): \(refused)")
                }
            }
            try refuse(labels, "mse", ["training.loss", "needs targets", "have labels"])
            try refuse(labels, "bce", ["training.loss", "needs targets", "have labels"])
            try refuse(targets, "cross-entropy", ["needs labels", "have targets", "mse or bce"])
            try refuse(labels, "hinge", ["cross-entropy, mse, bce", "hinge"])
            func weights(_ text: String) -> String {
                "{name: cross-entropy, class-weights: \(text)}"
            }
            try refuse(labels, weights("[1, 2]"), ["class-weights", "4", "2"])
            try refuse(labels, weights("[1, 2, -3, 4]"), ["class-weights[2]", "-3"])
            try refuse(labels, weights("[1, 2, .nan, 4]"), ["class-weights[2]", ".nan"])
            try refuse(labels, weights("[0, 0, 0, 0]"), ["class-weights", "above 0"])
            // A model of classes is not evaluated on targets.
            let run = try TrainRun(.sample(labels, steps: 2), in: directory, "run")
            _ = try run.weights()
            let refused = try Command.run([
                "evaluate", "--checkpoint", run.records.directory.path, "--data", targets,
            ])
            #expect(
                refused.exitCode == 65 && refused.errors.contains("expected labels"), "\(refused)")
            let flag = try Command.run([
                "train", "--data", labels, "--loss", "hinge", "--run-dir", "\(directory.path)/flag",
            ])
            #expect(flag.exitCode == 64 && flag.errors.contains("--loss"), "\(flag)")
        }
    }
}
