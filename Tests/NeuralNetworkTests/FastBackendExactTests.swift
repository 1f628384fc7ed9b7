import Backends
import NeuralNetwork
import Testing

/// With small whole numbers, which every precision keeps exactly, a fast backend must equal the
/// reference element by element, for every network. Most windows of a pool have ties and many sums
/// are exactly zero, so this also fixes the winner of a tie and the side of ReLU at zero.
@Suite struct FastBackendExactTests {
    @Test(arguments: FastBackend.with(EngineCase.all))
    func inSinglePrecision(_ backend: BackendKind, _ testCase: EngineCase) throws {
        try compare(backend, testCase, .fp32)
    }

    @Test(arguments: FastBackend.withBF16(EngineCase.all))
    func inBFloat16(_ backend: BackendKind, _ testCase: EngineCase) throws {
        try compare(backend, testCase, .bf16)
    }

    private func compare(
        _ backend: BackendKind, _ testCase: EngineCase, _ precision: Precision
    ) throws {
        let network = try testCase.network()
        let fast = try Backends.makeEngine(
            backend, network: network,
            configuration: EngineConfiguration(
                tileSize: FastBackend.tileSize(backend, 4), precision: precision))
        let reference = try Backends.makeEngine(
            .reference, network: network, configuration: EngineConfiguration())
        let parameters = Self.parameters(network)
        fast.setParameters(parameters)
        reference.setParameters(parameters)
        let count = 7
        let images = GoldenInput.values(count * network.inputElementCount, salt: 4)
            .map { (2 * $0).rounded() }
        let outputGradient = GoldenInput.values(count * network.outputElementCount, salt: 5)
            .map { $0.rounded() }

        let outputs = reference.outputs(images: images, count: count)
        expectClose(
            fast.outputs(images: images, count: count), outputs, absolute: 0, relative: 0,
            "outputs")
        let actual = fast.gradients(
            images: images, count: count, outputGradient: outputGradient)
        let expected = reference.gradients(
            images: images, count: count, outputGradient: outputGradient)
        expectClose(
            actual.input, expected.input, absolute: 0, relative: 0, "input gradient")
        expectClose(
            actual.parameters, expected.parameters, absolute: 0, relative: 0,
            "parameter gradient")
        // With only zeros the comparison would say little.
        #expect(expected.parameters.contains { $0 != 0 } || network.parameters.elementCount == 0)
        #expect(expected.input.contains { $0 != 0 })
    }

    /// Each output has two weights of 1 or -1 and otherwise zeros, so sums stay small.
    private static func parameters(_ network: Network) -> [Float] {
        var parameters = [Float](repeating: 0, count: network.parameters.elementCount)
        var salt: UInt64 = 6
        for slot in network.parameters.slots where slot.kind == .weight {
            salt += 1
            let outputCount = slot.shape[0]
            let fanIn = slot.elementCount / outputCount
            let choices = GoldenInput.values(2 * outputCount, salt: salt)
            for output in 0..<outputCount {
                for (which, value) in [(0, Float(1)), (1, output % 3 == 0 ? -1 : 1)] {
                    let place = Int((choices[2 * output + which] + 1) / 2 * Float(fanIn))
                    parameters[slot.offset + output * fanIn + min(place, fanIn - 1)] = value
                }
            }
        }
        return parameters
    }
}
