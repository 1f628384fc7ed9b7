import Backends
import NeuralNetwork
import Testing

/// Compares the kinds of layers of graphs with PyTorch, element by element.
@Suite struct GraphGoldenTests {
    static let backends: [BackendKind] = [.reference, .native]

    /// Returns the flat vector that a case starts from. A statistic that the case does not name has
    /// its usual initial value.
    static func parameters(
        _ named: [String: GoldenParameter], _ network: Network
    ) -> [Float] {
        var flat = network.initialParameters(seed: 1)
        for slot in network.parameters.slots {
            guard let parameter = named[slot.name] else { continue }
            let values = parameter.values(slot.name)
            for (element, value) in zip(slot.range, values) { flat[element] = value }
        }
        return flat
    }

    @Test(arguments: backends, GoldenCase.load("graph_layers"))
    func matchesPyTorch(backend: BackendKind, golden: GoldenCase) throws {
        let network = try golden.network
        let engine = try Backends.makeEngine(
            backend, network: network, configuration: EngineConfiguration())
        let count = golden.count("count")
        let images = GoldenNumbers.images(
            count: count, elementCount: network.inputElementCount,
            base: Float(golden.settings["base"] ?? 0), scale: Float(golden.settings["scale"] ?? 1),
            step: Float(golden.settings["step"] ?? 0))
        let flat = Self.parameters(golden.parameters, network)
        engine.setParameters(flat)
        func expect(_ actual: [Float], _ name: String) {
            let expected = golden[name]
            let largest = expected.reduce(0) { max($0, abs($1)) }
            expectClose(
                actual, expected, absolute: 2e-5 * largest + 1e-5, relative: 2e-5,
                "\(backend.rawValue) \(golden.name) \(name)")
        }
        guard golden.count("training") == 1 else {
            return expect(engine.outputs(images: images, count: count), "outputs")
        }
        let outputGradient = GoldenNumbers.values(
            "outputGradient", count: count * network.outputElementCount)
        let found = engine.gradients(images: images, count: count, outputGradient: outputGradient)
        expect(found.outputs, "outputs")
        expect(found.input, "inputGradient")
        let next = Self.updated(
            flat, by: found.parameters, count: count,
            UpdateRule(.sgd(SGD(learningRate: 0)), network.parameters))
        for slot in network.parameters.slots {
            switch slot.role {
            case .trained: expect(Array(found.parameters[slot.range]), "gradient.\(slot.name)")
            case .statistic: expect(Array(next[slot.range]), "statistics.\(slot.name)")
            case .frozen: break
            }
        }
    }

    private static func updated(
        _ flat: [Float], by gradient: [Float], count: Int, _ rule: UpdateRule
    ) -> [Float] {
        var next = flat
        next.withUnsafeMutableBufferPointer { next in
            guard let base = next.baseAddress else { return }
            rule.update(
                0..<flat.count, step: 1, weights: flat, into: base, gradientSum: gradient,
                sampleCount: count, state: [])
        }
        return next
    }

    /// Five steps of SGD with momentum from equal weights: with one virtual worker, and with two,
    /// which is what two ranks of PyTorch's DistributedDataParallel compute when they average their
    /// buffers. `largest` is the tolerance as a share of a tensor's largest value.
    @Test(
        arguments: backends,
        [
            ("resnet20", [32], 1e-4), ("resnet20-2-workers", [16, 16], 1e-4),
            ("resnet20-uneven", [19, 13], 1e-4), ("resnet18", [32], 5e-4),
            ("resnet18-2-workers", [16, 16], 5e-4),
        ])
    func residualNetworksFollowPyTorch(
        backend: BackendKind, _ example: (name: String, counts: [Int], largest: Float)
    ) throws {
        // resnet18 takes the reference backend minutes.
        if backend == .reference, example.name.hasPrefix("resnet18") { return }
        let cases = GoldenCase.load("networks")
        let golden = try #require(cases.first { $0.name == example.name })
        let preset = String(example.name.prefix { $0 != "-" })
        let base = try #require(cases.first { $0.name == preset })
        let network = try base.network
        let builtIn = try Network(
            #require(
                ModelSpecification.builtIn(
                    preset, inputShape: network.specification.inputShape, classCount: 10)))
        #expect(builtIn.parameters.slots.map(\.name) == network.parameters.slots.map(\.name))
        let engine = try Backends.makeEngine(
            backend, network: builtIn, configuration: EngineConfiguration())
        var flat = Self.parameters(base.parameters, network)
        let rule = UpdateRule(
            .sgd(SGD(learningRate: 0.1, momentum: 0.9, weightDecay: 1e-4)), network.parameters)
        var momentum = [Float](repeating: 0, count: flat.count)
        let count = example.counts.reduce(0, +)
        let images = GoldenNumbers.images(
            "records", count: count, elementCount: network.inputElementCount)
        let labels = GoldenNumbers.labels(count: count, classCount: 10)
        for step in 1...5 {
            engine.setParameters(flat)
            var sum = [Float](repeating: 0, count: flat.count)
            var loss = 0.0
            var start = 0
            for share in example.counts {
                var gradient = sum
                let records = (0..<UInt64(share)).map { $0 }
                images.withUnsafeBufferPointer { images in
                    labels.withUnsafeBufferPointer { labels in
                        records.withUnsafeBufferPointer { records in
                            let batch = MicrobatchView(
                                images: images.baseAddress! + start * network.inputElementCount,
                                labels: labels.baseAddress! + start,
                                records: records.baseAddress!, count: share)
                            loss +=
                                engine.computeGradient(batch, epoch: 0, into: &gradient).lossSum
                        }
                    }
                }
                for index in sum.indices { sum[index] += gradient[index] }
                start += share
            }
            #expect(
                abs(loss / Double(count) - golden.number("loss\(step)"))
                    <= 1e-4 * golden.number("loss\(step)"), "step \(step)")
            let before = flat
            flat.withUnsafeMutableBufferPointer { flat in
                momentum.withUnsafeMutableBufferPointer { momentum in
                    rule.update(
                        0..<before.count, step: step, weights: before, into: flat.baseAddress!,
                        gradientSum: sum, sampleCount: count, state: [momentum.baseAddress!])
                }
            }
            guard step == 1 || step == 5 else { continue }
            for slot in network.parameters.slots {
                let values = Array(flat[slot.range])
                let picks = GoldenNumbers.picks(count: values.count)
                let stored = golden[slot.name]
                let half = Array(stored[(step == 1 ? 0 : stored.count / 2)...].prefix(stored.count / 2))
                expectClose(
                    picks.map { values[$0] }, Array(half.dropFirst(2)),
                    absolute: (slot.role == .statistic ? 1e-5 : example.largest) * half[0],
                    relative: 0,
                    "\(backend.rawValue) \(example.name) step \(step) \(slot.name)")
            }
        }
        engine.setParameters(flat)
        expectClose(
            engine.outputs(images: images, count: count), golden["logits"],
            absolute: 1e-4, relative: 1e-4, "\(example.name) logits")
    }
}
