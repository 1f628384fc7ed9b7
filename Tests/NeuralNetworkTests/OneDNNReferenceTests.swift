import NeuralNetwork
import Testing

/// The oneDNN backend against the reference backend, element by element.
@Suite(.enabled(if: Backends.available.contains(.oneDNN), "built without oneDNN"))
struct OneDNNReferenceTests {
    static let tileSizes = [1, 4, 8]
    static let counts = [0, 1, 7, 16, 33]

    @Test(arguments: OneDNNCase.all)
    func outputsAndGradients(_ testCase: OneDNNCase) throws {
        let pair = try OneDNNPair(testCase, tileSize: 4)
        let network = pair.network
        let count = 6
        let images = GoldenInput.values(count * network.inputElementCount, salt: 2)
        let outputGradient = GoldenInput.values(count * network.outputElementCount, salt: 3)

        expectClose(
            pair.oneDNN.outputs(images: images, count: count),
            pair.reference.outputs(images: images, count: count),
            absolute: 2e-5, relative: 1e-4, "outputs")
        let actual = pair.oneDNN.gradients(
            images: images, count: count, outputGradient: outputGradient)
        let expected = pair.reference.gradients(
            images: images, count: count, outputGradient: outputGradient)
        expectClose(
            actual.input, expected.input, absolute: 2e-5, relative: 1e-4, "input gradient")
        pair.expectCloseParameters(
            actual.parameters, expected.parameters, absolute: 1e-4, relative: 1e-4)
    }

    @Test(arguments: OneDNNCase.all)
    func trainingGradients(_ testCase: OneDNNCase) throws {
        try compareTraining(testCase, tileSize: 8, count: 13)
    }

    @Test(arguments: OneDNNCase.few, tileSizes)
    func tilesAndCounts(_ testCase: OneDNNCase, _ tileSize: Int) throws {
        for count in Self.counts { try compareTraining(testCase, tileSize: tileSize, count: count) }
    }

    private func compareTraining(_ testCase: OneDNNCase, tileSize: Int, count: Int) throws {
        let pair = try OneDNNPair(testCase, tileSize: tileSize)
        let batch = Microbatch(pair.network, count: count)
        let actual = pair.oneDNN.computeGradient(batch, epoch: 3)
        let expected = pair.reference.computeGradient(batch, epoch: 3)
        pair.expectCloseParameters(
            actual.gradient, expected.gradient, absolute: 1e-4, relative: 2e-4)
        pair.expectCloseStatistics(actual.statistics, expected.statistics)

        let logits = pair.oneDNN.evaluate(batch)
        let expectedLogits = pair.reference.evaluate(batch)
        expectClose(
            logits.logits, expectedLogits.logits, absolute: 2e-5, relative: 1e-4, "logits")
        pair.expectCloseStatistics(logits.statistics, expectedLogits.statistics)
    }

    @Test func firstMaximumWins() throws {
        // All cells of a window are equal, so only the first may get the gradient.
        let testCase = OneDNNCase(
            "ties", [16, 6, 6],
            [
                .conv2D(filters: 16, kernel: Size2D(1), activation: .linear),
                .maxPool2D(size: Size2D(3), stride: Size2D(2), padding: .same),
                .maxPool2D(size: Size2D(2), stride: Size2D(2)), .flatten, .dense(units: 3),
            ])
        let pair = try OneDNNPair(testCase, tileSize: 2)
        let images = [Float](repeating: 0.5, count: 2 * pair.network.inputElementCount)
        let outputGradient = GoldenInput.values(6, salt: 3)
        let actual = pair.oneDNN.gradients(
            images: images, count: 2, outputGradient: outputGradient)
        let expected = pair.reference.gradients(
            images: images, count: 2, outputGradient: outputGradient)
        expectClose(
            actual.input, expected.input, absolute: 1e-6, relative: 1e-5, "input gradient")
    }
}

/// Both backends with the same network and parameters.
struct OneDNNPair {
    let network: Network
    let oneDNN: any GradientEngine
    let reference: any GradientEngine

    init(_ testCase: OneDNNCase, tileSize: Int) throws {
        network = try testCase.network()
        let configuration = EngineConfiguration(seed: 5, tileSize: tileSize)
        oneDNN = try Backends.makeEngine(
            .oneDNN, network: network, configuration: configuration)
        reference = try Backends.makeEngine(
            .reference, network: network, configuration: EngineConfiguration(seed: 5))
        let parameters = GoldenInput.parameters(network)
        oneDNN.setParameters(parameters)
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
