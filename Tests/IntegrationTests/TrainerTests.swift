import Buffers
import ClusterProtocol
import NeuralNetwork
import Partitions
import RunFiles
import TestSupport
import Testing

/// The library: a model and a trainer in one process compute the bits of a cluster.
@Suite struct TrainerTests {
    private let directory: TemporaryDirectory
    private let data: String

    init() throws {
        directory = try TemporaryDirectory()
        data = try SampleData().write(to: directory)
    }

    /// Threads do not change the bits, for any wire precision and for two optimizers.
    @Test(arguments: [1, 2, 9])
    func theBitsOfACluster(threadCount: Int) throws {
        var configuration = try RunConfiguration.sample(data, steps: 23)
        for wire in WirePrecision.allCases {
            configuration.training.wirePrecision = wire
            let trainer = try Trainer(configuration, threadCount: threadCount)
            var losses: [Double] = []
            try trainer.train(steps: 20) { losses.append($0.loss) }
            try trainer.train { losses.append($0.loss) }
            #expect(losses.count == 23 && trainer.step == 23)
            #expect(losses.allSatisfy { $0.isFinite && $0 > 0 })
            let expected = try SerialTrainer(configuration).weights(afterSteps: 23)
            #expect(try trainer.model().weightsSHA256 == expected)
            configuration.optimizer = .sgd(SGD(learningRate: 0.05, momentum: 0.9))
        }
    }

    /// The network's input has another shape than the stored images; a prediction is told theirs.
    @Test func imagesOfAnotherShape() throws {
        var configuration = try RunConfiguration.sample(data, steps: 9)
        let size = TransformationValue.size(height: 15, width: 14)
        configuration.data.transformations = try [
            Transformation("resize", ["size": size, "filter": .word("bicubic")]),
            Transformation("random-resized-crop", ["size": .size(height: 12, width: 12)]),
            Transformation("mixup"),
        ]
        let trainer = try Trainer(configuration, threadCount: 2)
        try trainer.train()
        let model = try trainer.model()
        #expect(model.weightsSHA256 == (try SerialTrainer(configuration).weights(afterSteps: 9)))
        var labels: [Int] = []
        _ = try model.evaluate(trainer.data) { outputs, _ in
            for start in stride(from: 0, to: outputs.count, by: 4) {
                let row = Array(outputs[start..<start + 4])
                labels.append(row.indices.max { row[$0] < row[$1] } ?? 0)
            }
        }
        let images = try (0..<5).map { try trainer.data.gather(.test, records: [$0]).images }
        #expect(try model.predict(images, shape: [1, 12, 12]).map(\.label) == Array(labels[..<5]))
        // Images of the shape that a crop takes as a whole are resized, too.
        let large = [[Float](repeating: 0.5, count: 40 * 30)]
        #expect(try model.predict(large, shape: [1, 40, 30]).count == 1)
        configuration.data.transformations.removeLast(2)
        #expect(failure { try Trainer(configuration) }?.kind == .model)
    }

    /// With random transformations the trainer must equal `convoy train`, because the serial
    /// trainer has none.
    @Test func augmentedLikeARun() throws {
        var configuration = try RunConfiguration.sample(data, steps: 12).with(workers: 2, servers: 1)
        configuration.data.transformations = [
            .standardize(mean: [0.4], deviation: [0.2]), .randomCrop(padding: 1),
            .randomHorizontalFlip,
        ]
        try directory.write(configuration.yaml, "run.yaml")
        let run = "\(directory.path)/run"
        _ = try Command.succeed(
            ["train", "--config", "\(directory.path)/run.yaml", "--run-dir", run])
        let trainer = try Trainer(configuration, threadCount: 2)
        try trainer.train()
        let model = try trainer.model()
        #expect(try RunRecords(run).summary().weights_sha256 == model.weightsSHA256)
        // The model read from the run has the same weights, and its evaluation the same result.
        let read = try Model(contentsOf: run)
        #expect(read.weights == model.weights && read.transformations == model.transformations)
        let summary = try RunRecords(run).summary()
        let found = try read.evaluate(trainer.data)
        #expect(found.accuracy == summary.test_accuracy)
        // A prediction of a stored image and the evaluation of its record agree.
        var logits: [Float] = []
        _ = try read.evaluate(trainer.data) { outputs, _ in logits += outputs }
        let image = try trainer.data.gather(.test, records: [0]).images
        #expect(
            try read.predict([image])[0].probabilities
                == SoftmaxCrossEntropy.probabilities(
                    Array(logits[..<read.network.outputElementCount])))
    }

    /// The hash of `convoy train --epochs 1`.
    @Test(.enabled(if: FashionMNIST.isFast, "Fashion-MNIST and a fast backend are needed"))
    func theEpochThatEverybodyKnows() throws {
        var configuration = RunConfiguration()
        configuration.training.epochs = 1
        let trainer = try Trainer(configuration, threadCount: 2)
        try trainer.train()
        #expect(
            try trainer.model().weightsSHA256
                == "0a9929976fe9010d6563b414699de9f80e687929d47c40680bdd690ca69351e0")
    }

    @Test func aModelReadsBack() throws {
        let configuration = try RunConfiguration.sample(data, steps: 5)
        let trainer = try Trainer(configuration)
        try trainer.train()
        let model = try trainer.model()
        let path = "\(directory.path)/model.safetensors"
        try model.save(to: path)
        let read = try Model(contentsOf: path)
        #expect(read.weights == model.weights)
        #expect(read.network.fingerprint == model.network.fingerprint)
        let (images, _) = try trainer.data.gather(.test, records: [0, 1])
        let size = images.count / 2
        let pair = [Array(images[..<size]), Array(images[size...])]
        let predictions = try model.predict(pair)
        #expect(try read.predict(pair) == predictions)
        for prediction in predictions {
            #expect(abs(prediction.probabilities.reduce(0, +) - 1) < 1e-5)
            #expect(prediction.probability == prediction.probabilities.max())
        }
        // The engine's outputs and those of an evaluation are equal.
        var logits: [Float] = []
        _ = try model.evaluate(trainer.data) { outputs, _ in logits += outputs }
        let first = SoftmaxCrossEntropy.probabilities(
            Array(logits[..<model.network.outputElementCount]))
        #expect(first == predictions[0].probabilities)
    }

    @Test func whatCannotBeIsRefused() throws {
        var configuration = try RunConfiguration.sample(data, steps: 5)
        let trainer = try Trainer(configuration)
        let model = try trainer.model()
        #expect(failure { try model.predict([[0.5]]) }?.kind == .data)
        #expect(failure { try Model(model.network, weights: [1]) }?.kind == .model)
        #expect(failure { try Model(contentsOf: directory.path) }?.kind == .storage)
        #expect(failure { try model.save(to: "\(directory.path)/none/file") }?.kind == .storage)
        try directory.write([0x7B], "torn")
        #expect(failure { try Model(contentsOf: "\(directory.path)/torn") }?.kind == .checkpoint)
        configuration.optimizer["learning-rate"] = 1e30
        let diverging = try Trainer(configuration)
        let divergence = failure { try diverging.train(steps: 5) }
        #expect(divergence?.kind == .divergence)
        #expect(divergence?.text.contains("expected a finite loss") == true)
        configuration.data.source = "idx:\(directory.path)/nothing"
        #expect(failure { try Trainer(configuration) }?.kind == .data)
    }

    /// The snippet of the documents begins anew until the training does not diverge.
    @Test func theSnippetOfErrors() throws {
        var configuration = try RunConfiguration.sample(data, steps: 5)
        configuration.optimizer["learning-rate"] = 1e30
        #expect(failure { try trainWithRetry(configuration, retries: 1) }?.kind == .divergence)
        let model = try trainWithRetry(configuration, retries: 40)
        #expect(model.weights.allSatisfy { $0.isFinite })
        configuration.data.source = "idx:\(directory.path)/nothing"
        #expect(failure { try trainWithRetry(configuration, retries: 40) }?.kind == .data)
    }

    /// The snippet of the documents does what they say.
    @Test(.enabled(if: FashionMNIST.isFast, "Fashion-MNIST and a fast backend are needed"))
    func theSnippet() throws {
        let label = try trainAndPredict(
            "fashion-mnist", steps: 120, saveTo: "\(directory.path)/cnn.safetensors")
        #expect((0..<10).contains(label))
    }
}
