import Backends
import NeuralNetwork
import Testing

/// Compares bf16 with the reference in fp32, by the norm of the difference.
///
/// A bfloat16 has 8 significant bits. Rounding may change which cell of a pool is the largest or
/// the side of zero that a ReLU sees, and so the way of a whole gradient: the limits here are wide.
/// ``FastBackendExactTests`` shows that no kernel is wrong.
@Suite struct FastBackendBFloat16Tests {
    @Test(arguments: FastBackend.withBF16(EngineCase.all))
    func gradientsAreNearTheReference(_ backend: BackendKind, _ testCase: EngineCase) throws {
        let (network, fast, reference) = try Self.engines(backend, testCase)
        let batch = Microbatch(network, count: 11)
        let actual = fast.computeGradient(batch, epoch: 3)
        let expected = reference.computeGradient(batch, epoch: 3)
        for slot in network.parameters.slots {
            let error = relativeError(actual.gradient[slot.range], expected.gradient[slot.range])
            #expect(error < 0.25, "gradient of \(slot.name)")
        }
        #expect(
            abs(actual.statistics.lossSum - expected.statistics.lossSum)
                < 0.02 * (1 + expected.statistics.lossSum))
        let logits = fast.evaluate(batch).logits
        #expect(relativeError(logits[...], reference.evaluate(batch).logits[...]) < 0.03, "logits")
    }

    @Test(arguments: FastBackend.withBF16(EngineCase.all))
    func inputGradientsAreNearTheReference(_ backend: BackendKind, _ testCase: EngineCase) throws {
        let (network, fast, reference) = try Self.engines(backend, testCase)
        let images = GoldenInput.values(5 * network.inputElementCount, salt: 2)
        let outputGradient = GoldenInput.values(5 * network.outputElementCount, salt: 3)
        let actual = fast.gradients(images: images, count: 5, outputGradient: outputGradient)
        let expected = reference.gradients(
            images: images, count: 5, outputGradient: outputGradient)
        // The errors of single images: an image whose gradient takes another way at a ReLU is off
        // by half, also in PyTorch's bfloat16. Most images must be near.
        let size = network.inputElementCount
        let errors = (0..<5).map { image in
            let range = image * size..<(image + 1) * size
            return relativeError(actual.input[range], expected.input[range])
        }
        #expect(errors.sorted()[2] < 0.25)
    }

    @Test(arguments: FastBackend.withBF16(EngineCase.all))
    func sameBitsEveryTime(_ backend: BackendKind, _ testCase: EngineCase) throws {
        let (network, engine, _) = try Self.engines(backend, testCase)
        let batch = Microbatch(network, count: 13)
        let first = engine.computeGradient(batch, epoch: 2).gradient
        _ = engine.computeGradient(Microbatch(network, count: 32, firstRecord: 9), epoch: 4)
        expectSameBits(engine.computeGradient(batch, epoch: 2).gradient, first, "again")
        let other = try Self.engines(backend, testCase).1
        expectSameBits(other.computeGradient(batch, epoch: 2).gradient, first, "another engine")
    }

    /// A dense layer's weight gradient for one image has one product an element, which shows the
    /// rounding: input · output gradient, each rounded to bfloat16, multiplied in fp32.
    @Test(arguments: FastBackend.withBF16([0]))
    func roundsWhatIsMultiplied(_ backend: BackendKind, _ number: Int) throws {
        let testCase = EngineCase(
            "dense alone", [1, 5, 3], [.flatten, .dense(units: 7, activation: .linear)])
        let (network, fast, _) = try Self.engines(backend, testCase)
        let images = GoldenInput.values(network.inputElementCount, salt: 7)
        let outputGradient = GoldenInput.values(network.outputElementCount, salt: 8)
        let actual = fast.gradients(images: images, count: 1, outputGradient: outputGradient)
        let products = outputGradient.flatMap { gradient in
            images.map { nearest(gradient) * nearest($0) }
        }
        let slot = network.parameters.slots[0]
        expectSameBits(Array(actual.parameters[slot.range]), products, "weight gradient")
        let parameters = GoldenInput.parameters(network)
        let sums = (0..<network.outputElementCount).map { output in
            images.indices.reduce(Double(parameters[slot.range.upperBound + output])) {
                let weight = parameters[slot.offset + output * images.count + $1]
                return $0 + Double(nearest(weight)) * Double(nearest(images[$1]))
            }
        }
        // Rounding moves an output by about 1e-3.
        expectClose(
            fast.outputs(images: images, count: 1), sums.map { Float($0) },
            absolute: backend == .native ? 1e-6 : 1e-2, relative: 1e-6, "outputs")
    }

    /// Returns the bfloat16 nearest to a float, ties to even.
    private func nearest(_ value: Float) -> Float {
        let bits = value.bitPattern
        return Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
    }

    private static func engines(
        _ backend: BackendKind, _ testCase: EngineCase
    ) throws -> (Network, any GradientEngine, any GradientEngine) {
        let network = try testCase.network()
        let fast = try Backends.makeEngine(
            backend, network: network,
            configuration: EngineConfiguration(seed: 5, tileSize: 8, precision: .bf16))
        let reference = try Backends.makeEngine(
            .reference, network: network, configuration: EngineConfiguration(seed: 5))
        fast.setParameters(GoldenInput.parameters(network))
        reference.setParameters(GoldenInput.parameters(network))
        return (network, fast, reference)
    }

    /// Returns the Euclidean norm of a - b over that of b.
    private func relativeError(_ actual: ArraySlice<Float>, _ expected: ArraySlice<Float>) -> Double {
        var (difference, norm) = (0.0, 0.0)
        for (a, b) in zip(actual, expected) {
            difference += Double(a - b) * Double(a - b)
            norm += Double(b) * Double(b)
        }
        return norm == 0 ? difference : (difference / norm).squareRoot()
    }
}
