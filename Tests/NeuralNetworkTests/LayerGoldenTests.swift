import Backends
import NeuralNetwork
import Testing

/// Compares every layer kind on every backend with PyTorch, element by element.
@Suite struct LayerGoldenTests {
    @Test(arguments: Backends.available, GoldenCase.load("layers"))
    func matchesPyTorch(backend: BackendKind, golden: GoldenCase) throws {
        let network = try golden.network
        let engine = try Backends.makeEngine(
            backend, network: network,
            configuration: EngineConfiguration(tileSize: FastBackend.tileSize(backend, 2)))
        let count = golden.count("count")
        var images = GoldenInput.values(count * network.inputElementCount, salt: 1)
        if golden.count("quantized") == 1 {
            images = images.map { ($0 * 2).rounded(.toNearestOrEven) / 2 }
        }
        engine.setParameters(GoldenInput.parameters(network))
        func expect(_ actual: [Float], _ name: String) {
            expectClose(
                actual, golden[name], absolute: 2e-6, relative: 1e-5,
                "\(backend.rawValue) \(golden.name) \(name)")
        }
        expect(engine.outputs(images: images, count: count), "outputs")
        let outputGradient = GoldenInput.values(count * network.outputElementCount, salt: 3)
        let gradients = engine.gradients(
            images: images, count: count, outputGradient: outputGradient)
        expect(gradients.input, "inputGradient")
        expect(gradients.parameters, "parameterGradient")
    }

    @Test(arguments: GoldenCase.load("softmax"))
    func softmaxMatchesPyTorch(golden: GoldenCase) {
        let (count, classCount) = (golden.count("count"), golden.count("classes"))
        let logits = GoldenInput.values(count * classCount, salt: 4)
            .map { $0 * Float(golden.number("scale")) }
        let labels = (0..<count).map { Int32((3 * $0 + 1) % classCount) }
        var gradient = [Float](repeating: .nan, count: logits.count)
        var statistics = BatchStatistics()
        SoftmaxCrossEntropy.evaluate(
            logits: logits, labels: labels, count: count, classCount: classCount,
            gradient: &gradient, into: &statistics)
        expectClose(gradient, golden["gradient"], absolute: 1e-9, relative: 1e-6, golden.name)
        #expect(statistics.sampleCount == count)
        #expect(statistics.correctCount == golden.count("correct"))
        #expect(abs(statistics.lossSum - golden.number("loss")) <= 1e-12 * golden.number("loss"))
    }
}
