import Backends
import NeuralNetwork
import Testing

/// Compares the fast backends with the reference backend, element by element.
@Suite struct FastBackendReferenceTests {
    static let tileSizes = [1, 4, 8]
    static let counts = [0, 1, 7, 16, 33]

    @Test(arguments: FastBackend.with(EngineCase.all))
    func outputsAndGradients(_ backend: BackendKind, _ testCase: EngineCase) throws {
        let pair = try BackendPair(backend, testCase, tileSize: 4)
        let network = pair.network
        let count = 6
        let images = GoldenInput.values(count * network.inputElementCount, salt: 2)
        let outputGradient = GoldenInput.values(count * network.outputElementCount, salt: 3)

        expectClose(
            pair.fast.outputs(images: images, count: count),
            pair.reference.outputs(images: images, count: count),
            absolute: 2e-5, relative: 1e-4, "outputs")
        let actual = pair.fast.gradients(
            images: images, count: count, outputGradient: outputGradient)
        let expected = pair.reference.gradients(
            images: images, count: count, outputGradient: outputGradient)
        expectClose(
            actual.input, expected.input, absolute: 2e-5, relative: 1e-4, "input gradient")
        pair.expectCloseParameters(
            actual.parameters, expected.parameters, absolute: 1e-4, relative: 1e-4)
    }

    @Test(arguments: FastBackend.with(EngineCase.all))
    func trainingGradients(_ backend: BackendKind, _ testCase: EngineCase) throws {
        try compareTraining(backend, testCase, tileSize: 8, count: 13)
    }

    @Test(arguments: FastBackend.with(EngineCase.few), tileSizes)
    func tilesAndCounts(_ pair: (BackendKind, EngineCase), _ tileSize: Int) throws {
        let (backend, testCase) = pair
        guard FastBackend.tileSize(backend, tileSize) == tileSize else { return }
        for count in Self.counts {
            try compareTraining(backend, testCase, tileSize: tileSize, count: count)
        }
    }

    private func compareTraining(
        _ backend: BackendKind, _ testCase: EngineCase, tileSize: Int, count: Int
    ) throws {
        let pair = try BackendPair(backend, testCase, tileSize: tileSize)
        let batch = Microbatch(pair.network, count: count)
        let actual = pair.fast.computeGradient(batch, epoch: 3)
        let expected = pair.reference.computeGradient(batch, epoch: 3)
        pair.expectCloseParameters(
            actual.gradient, expected.gradient, absolute: 1e-4, relative: 2e-4)
        pair.expectCloseStatistics(actual.statistics, expected.statistics)

        let logits = pair.fast.evaluate(batch)
        let expectedLogits = pair.reference.evaluate(batch)
        expectClose(
            logits.logits, expectedLogits.logits, absolute: 2e-5, relative: 1e-4, "logits")
        pair.expectCloseStatistics(logits.statistics, expectedLogits.statistics)
    }

    @Test(arguments: FastBackend.all)
    func firstMaximumWins(_ backend: BackendKind) throws {
        // All cells of a window are equal, so only the first may get the gradient.
        let testCase = EngineCase(
            "ties", [16, 6, 6],
            [
                .conv2D(filters: 16, kernel: Size2D(1), activation: .linear),
                .maxPool2D(size: Size2D(3), stride: Size2D(2), padding: .same),
                .maxPool2D(size: Size2D(2), stride: Size2D(2)), .flatten, .dense(units: 3),
            ])
        let pair = try BackendPair(backend, testCase, tileSize: 2)
        let images = [Float](repeating: 0.5, count: 2 * pair.network.inputElementCount)
        let outputGradient = GoldenInput.values(6, salt: 3)
        let actual = pair.fast.gradients(
            images: images, count: 2, outputGradient: outputGradient)
        let expected = pair.reference.gradients(
            images: images, count: 2, outputGradient: outputGradient)
        expectClose(
            actual.input, expected.input, absolute: 1e-6, relative: 1e-5, "input gradient")
    }
}

/// Two backends with one network and equal parameters.
struct BackendPair {
    let network: Network
    let fast: any GradientEngine
    let reference: any GradientEngine

    init(_ backend: BackendKind, _ testCase: EngineCase, tileSize: Int) throws {
        network = try testCase.network()
        let configuration = EngineConfiguration(
            seed: 5, tileSize: FastBackend.tileSize(backend, tileSize))
        fast = try Backends.makeEngine(
            backend, network: network, configuration: configuration)
        reference = try Backends.makeEngine(
            .reference, network: network, configuration: EngineConfiguration(seed: 5))
        let parameters = GoldenInput.parameters(network)
        fast.setParameters(parameters)
        reference.setParameters(parameters)
    }

    /// Compares slot by slot, so that a failure names the tensor.
    func expectCloseParameters(
        _ actual: [Float], _ expected: [Float], absolute: Float, relative: Float,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        for slot in network.parameters.slots {
            expectClose(
                Array(actual[slot.range]), Array(expected[slot.range]), absolute: absolute,
                relative: relative, "gradient of \(slot.name)", sourceLocation: sourceLocation)
        }
    }

    func expectCloseStatistics(
        _ actual: BatchStatistics, _ expected: BatchStatistics,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(actual.sampleCount == expected.sampleCount, sourceLocation: sourceLocation)
        #expect(actual.correctCount == expected.correctCount, sourceLocation: sourceLocation)
        #expect(
            abs(actual.lossSum - expected.lossSum) <= 1e-5 * (1 + abs(expected.lossSum)),
            sourceLocation: sourceLocation)
    }
}
