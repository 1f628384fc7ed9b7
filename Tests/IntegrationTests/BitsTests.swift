import Backends
import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import NeuralNetwork
import Partitions
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// The promise: any cluster computes the bits of the serial oracle.
    @Suite struct BitsTests {
        private static let shapes: [ClusterShape] = [
            (1, 1, 0), (1, 2, 1), (2, 1, 1), (2, 2, 3), (3, 1, 0), (3, 2, 1), (5, 1, 3), (5, 2, 0),
        ]
        private static let fewShapes: [ClusterShape] = [(1, 1, 1), (2, 2, 0), (5, 1, 3)]

        private let directory: TemporaryDirectory
        private let data: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData().write(to: directory)
        }

        private func compare(_ configuration: RunConfiguration, _ shapes: [ClusterShape]) throws {
            let steps = try #require(configuration.training.steps)
            let expected = try SerialTrainer(configuration).weights(afterSteps: steps)
            for shape in shapes {
                let run = try TrainRun(configuration, in: directory, shape)
                #expect(try run.weights() == expected, "\(shape)")
                let summary = try run.records.summary()
                #expect(summary.steps == steps && summary.workers == shape.workers)
            }
        }

        @Test func adamOnEveryCluster() throws {
            try compare(.sample(data, steps: 23), Self.shapes)
        }

        /// Sums and weights go through sockets, as between hosts, or through shared memory and
        /// pipes; the log says which.
        @Test func adamThroughSockets() throws {
            let configuration = try RunConfiguration.sample(data, steps: 19)
            let expected = try SerialTrainer(configuration).weights(afterSteps: 19)
            for (flag, isShared) in [("--no-shared-memory", false), ("--shared-memory", true)] {
                let run = try TrainRun(
                    configuration, in: directory, flag,
                    flags: [flag, "--workers", "2", "--servers", "2"])
                #expect(try run.weights() == expected, "\(flag)")
                let log = run.records.log("worker-1") + run.records.log("worker-2")
                let sentence = "sums and weights go through shared memory"
                #expect(log.count { $0["message"] == sentence } == (isShared ? 2 : 0))
                // Weights go to workers and sums to servers; a few of them go before the pipe is
                // known.
                let all = log + run.records.log("server-1") + run.records.log("server-2")
                let piped = all.compactMap { $0["net.piped"].flatMap { Int($0) } }
                #expect(piped.count == 4 && piped.allSatisfy { isShared ? $0 > 15 : $0 == 0 })
            }
        }

        @Test func adamOnTheReferenceBackend() throws {
            try compare(
                .sample(data, model: SampleData.tinyModel, steps: 13, backend: .reference),
                Self.fewShapes)
        }

        /// bf16 works on every processor: without instructions for it, the package's own kernels
        /// round.
        @Test func adamInBFloat16() throws {
            var configuration = try RunConfiguration.sample(data, steps: 17)
            let fp32 = try SerialTrainer(configuration).weights(afterSteps: 17)
            configuration.training.precision = .bf16
            configuration.training.backend = .native
            try compare(configuration, Self.fewShapes)
            #expect(try SerialTrainer(configuration).weights(afterSteps: 17) != fp32)
        }

        /// Batch, group and layer normalisation, branches, depthwise and grouped convolutions.
        @Test func graphsOnEveryCluster() throws {
            try compare(
                .sample(data, model: SampleData.graphModel, steps: 17), Self.shapes)
        }

        /// Microbatches of three tiles, the last of them with two images.
        @Test func wideLayersOnEveryCluster() throws {
            var configuration = try RunConfiguration.sample(
                data, model: SampleData.wideModel, steps: 7)
            configuration.training.batchSize = 108
            try compare(configuration, Self.fewShapes)
        }

        @Test func graphsInBFloat16() throws {
            var configuration = try RunConfiguration.sample(
                data, model: SampleData.graphModel, steps: 11)
            configuration.training.precision = .bf16
            configuration.training.backend = .native
            try compare(configuration, Self.fewShapes)
        }

        @Test func graphsOnTheReferenceBackend() throws {
            var configuration = try RunConfiguration.sample(
                data, model: SampleData.graphModel, steps: 7, backend: .reference)
            configuration.optimizer = .sgd(SGD(learningRate: 0.05, momentum: 0.9))
            try compare(configuration, Self.fewShapes)
        }

        @Test func seriesOnEveryCluster() throws {
            try compare(
                .sample(data, model: SampleData.seriesModel, steps: 11), Self.fewShapes)
        }

        /// Images change their shape on the way, and each record is mixed with another one.
        @Test func transformationsOnEveryCluster() throws {
            var configuration = try RunConfiguration.sample(
                data, model: SampleData.graphModel, steps: 17)
            let plain = try SerialTrainer(configuration).weights(afterSteps: 17)
            configuration.data.transformations = try [
                Transformation("resize", ["size": .size(height: 16, width: 15)]),
                Transformation(
                    "random-resized-crop",
                    ["size": .size(height: 12, width: 12), "scale": .range(0.4, 1)]),
                .randomCrop(padding: 2), Transformation("alternating-flip"),
                Transformation("brightness", ["factor": .range(0.7, 1.3)]),
                Transformation("mixup", ["alpha": .number(0.5)]), Transformation("cutmix"),
                Transformation("cutout", ["size": .whole(3)]),
                Transformation("normalize", ["mean": .floats([0.4]), "std": .floats([0.2])]),
                Transformation("jitter", ["sigma": .number(0.02)]),
            ]
            configuration.training.loss = .crossEntropy(
                labelSmoothing: 0.1, classWeights: .each([1, 0.5, 2, 1]))
            try compare(configuration, Self.shapes)
            #expect(try SerialTrainer(configuration).weights(afterSteps: 17) != plain)
        }

        @Test func momentumFromTheRunFile() throws {
            var configuration = try RunConfiguration.sample(data, steps: 17)
            configuration.optimizer = .sgd(
                SGD(learningRate: 0.05, momentum: 0.9, nesterov: true, weightDecay: 1e-4))
            try compare(configuration, Self.fewShapes)
        }

        /// A rate that rises and falls, smoothed labels, and decay of matrices alone.
        @Test func scheduleAndSmoothing() throws {
            var configuration = try RunConfiguration.sample(
                data, model: SampleData.graphModel, steps: 17)
            configuration.optimizer = .sgd(SGD(learningRate: 0.1, momentum: 0.9, weightDecay: 0.01))
            let plain = try SerialTrainer(configuration).weights(afterSteps: 17)
            configuration.training.schedule = LearningRateSchedule(
                .cosine(minimum: 0.01), warmup: .steps(4))
            configuration.training.loss = .crossEntropy(labelSmoothing: 0.1)
            configuration.training.decays1D = false
            try compare(configuration, Self.fewShapes)
            #expect(try SerialTrainer(configuration).weights(afterSteps: 17) != plain)
        }

        @Test func plainSGDByFlag() throws {
            var configuration = try RunConfiguration.sample(data, steps: 9)
            configuration.optimizer = .sgd(SGD(learningRate: 0.1))
            let expected = try SerialTrainer(configuration).weights(afterSteps: 9)
            configuration.optimizer = .adam(Adam())
            let run = try TrainRun(
                configuration, in: directory, "run",
                flags: ["--optimizer", "sgd", "--learning-rate", "0.1"])
            #expect(try run.weights() == expected)
        }

        /// With more workers than virtual workers, some workers have nothing to do.
        @Test func idleWorkers() throws {
            var configuration = try RunConfiguration.sample(data, steps: 9)
            configuration.training.virtualWorkers = 2
            try compare(configuration, [(4, 1, 0), (3, 1, 2)])
        }

        @Test(.enabled(if: FashionMNIST.isFast)) func fashionMNIST() throws {
            var configuration = RunConfiguration()
            configuration.training.steps = 30
            try compare(configuration, [(1, 1, 1), (3, 1, 0)])
        }

        /// The oracle builds by hand what `RunMaterial` builds, so the two are compared.
        @Test func oracleUsesTheProductsSettings() throws {
            let configuration = try RunConfiguration.sample(data, steps: 1)
            let serial = try SerialTrainer(configuration)
            let material = try RunMaterial(
                configuration,
                data: serial.dataSet.description.summary(
                    partitionRecordCounts: serial.dataSet.partitionRecordCounts))
            #expect(material.batchPlan == serial.plan)
            #expect(material.network.fingerprint == serial.network.fingerprint)
            #expect(material.tree == ReductionTree(leafCount: 6))
            #expect(
                material.engineConfiguration(instructionSet: nil)
                    == EngineConfiguration(seed: 11, tileSize: 8, precision: .fp32))
        }
    }
}

enum FashionMNIST {
    static var isInstalled: Bool {
        (try? DataSource.describe(.fashionMNIST)) != nil
    }

    /// Whether hundreds of steps of `cnn` on Fashion-MNIST take seconds only.
    static var isFast: Bool { isInstalled && (try? Backends.resolve(.auto)) != .reference }
}
