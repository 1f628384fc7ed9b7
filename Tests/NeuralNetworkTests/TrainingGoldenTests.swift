import Backends
import NeuralNetwork
import Testing

/// Compares whole models on every backend with PyTorch: one gradient, and the weights after five
/// steps.
@Suite struct TrainingGoldenTests {
    static let optimizers: [(name: String, optimizer: OptimizerSpecification, tolerance: Float)] = [
        ("sgd", .sgd(SGD(learningRate: 0.05)), 1e-4),
        (
            "momentum",
            .sgd(SGD(learningRate: 0.02, momentum: 0.9, nesterov: true, weightDecay: 0.01)), 1e-4
        ),
        ("adam", .adam(Adam()), 2e-3),
    ]

    @Test(arguments: Backends.available, GoldenCase.load("training"))
    func matchesPyTorch(backend: BackendKind, golden: GoldenCase) throws {
        let network = try golden.network
        let configuration = EngineConfiguration(
            seed: UInt64(golden.count("seed")), tileSize: FastBackend.tileSize(backend, 4))
        let engine = try Backends.makeEngine(
            backend, network: network, configuration: configuration)
        let batch = Microbatch(
            network, count: golden.count("count"), firstRecord: UInt64(golden.count("record")))
        let epoch = golden.count("epoch")
        let parameters = GoldenInput.parameters(network)
        func expect(_ actual: [Float], _ name: String, _ tolerance: Float) {
            expectPicks(
                actual, golden, name, tolerance, network, "\(backend.rawValue) \(golden.name)")
        }

        engine.setParameters(parameters)
        expectClose(
            engine.evaluate(batch).logits, golden["logits"], absolute: 2e-6, relative: 1e-5,
            "\(backend.rawValue) \(golden.name) logits")
        let (gradient, statistics) = engine.computeGradient(batch, epoch: epoch)
        expect(gradient, "gradient", 1e-5)
        #expect(statistics.sampleCount == batch.count)
        #expect(statistics.correctCount == golden.count("correct"))
        let loss = golden.number("loss")
        #expect(abs(statistics.lossSum - loss) <= 1e-5 * loss)

        for (name, optimizer, tolerance) in Self.optimizers {
            let weights = engine.train(
                batch, steps: 5, epoch: epoch, from: parameters, with: optimizer)
            expect(weights, name, tolerance)
        }
    }

    /// Compares the stored elements slot by slot, within `tolerance` times the tensor's largest
    /// value.
    private func expectPicks(
        _ actual: [Float], _ golden: GoldenCase, _ name: String, _ tolerance: Float,
        _ network: Network, _ what: String
    ) {
        let (expected, largest) = (golden[name], golden["\(name).largest"])
        var start = 0
        for (slot, largest) in zip(network.parameters.slots, largest) {
            let pace = (slot.elementCount + 999) / 1000
            let picks = stride(from: slot.range.lowerBound, to: slot.range.upperBound, by: pace)
                .map { actual[$0] }
            expectClose(
                picks, Array(expected[start..<start + picks.count]),
                absolute: tolerance * largest, relative: 0, "\(what) \(name) \(slot.name)")
            start += picks.count
        }
        #expect(start == expected.count)
    }
}
