import Backends
import NeuralNetwork
import Testing

/// Frozen tensors: where they lie, and what is computed of them.
@Suite struct FreezingTests {
    /// Two convolutions that are computed in different ways, with a batch normalisation after each,
    /// a residual, a depthwise convolution and a dense layer.
    private static func network(_ patterns: [String] = []) throws -> Network {
        var model = ModelBuilder(name: "model", inputShape: [2, 6, 6])
        model.add(.conv2D(filters: 8, kernel: Size2D(3), padding: .same), name: "conv1")
        model.add(.batchNorm(), name: "bn1")
        model.add(.relu)
        let skip = model.last
        model.add(.conv2D(filters: 8, kernel: Size2D(3), padding: .same, hasBias: false), name: "conv2")
        model.add(.batchNorm(), name: "bn2")
        model.add(.add, from: [model.last, skip])
        model.add(.conv2D(filters: 8, kernel: Size2D(3), padding: .same, groups: 8), name: "conv3")
        model.add(.relu)
        model.add(.conv2D(filters: 4, kernel: Size2D(2), stride: Size2D(2)), name: "conv4")
        model.add(.groupNorm(groups: 2), name: "gn")
        model.add(.flatten)
        model.add(.dense(units: 6, activation: .relu), name: "dense1")
        model.add(.dense(units: 3), name: "dense2")
        return try Network(model.specification).freezing(patterns.map(NamePattern.init))
    }

    private static let choices: [[String]] = [
        ["conv1.*"], ["conv1.*", "bn1.*"], ["bn1.running_*"], ["bn2.*"], ["conv2.weight", "conv3.bias"],
        ["conv3.*", "dense1.*"], ["conv1.bias", "gn.*", "dense2.weight"], ["dense2.*", "conv4.*"],
        ["conv*", "bn*", "gn*", "dense1*"], ["*.weight", "bn2.running_mean"],
    ]

    @Test(
        arguments: [
            ("conv1.*", "conv1.weight", true), ("conv1.*", "conv10.weight", false), ("*", "", true),
            ("*.bn?.*", "layer1.0.bn2.bias", true), ("*.bn?.*", "layer1.0.bn12.bias", false),
            ("a*b*c", "aXbXbc", true), ("a*b*c", "aXbXb", false), ("", "", true), ("", "a", false),
            ("**", "abc", true), ("???", "abc", true), ("???", "ab", false), ("*a", "ba", true),
        ])
    func patternsMatchAsAShellDoes(pattern: String, name: String, isMatch: Bool) {
        #expect(NamePattern(pattern).matches(name) == isMatch)
    }

    /// What is frozen lies at the end. The order of the slots stays, and so do the initial values.
    @Test(arguments: choices)
    func frozenTensorsLieAtTheEnd(patterns: [String]) throws {
        let (plain, network) = (try Self.network(), try Self.network(patterns))
        let layout = network.parameters
        #expect(layout.slots.map(\.name) == plain.parameters.slots.map(\.name))
        #expect(layout.elementCount == plain.parameters.elementCount)
        #expect(!layout.frozen.isEmpty && layout.frozen.upperBound == layout.elementCount)
        #expect(layout.activeCount == layout.frozen.lowerBound)
        var covered = Set<Int>()
        for slot in layout.slots {
            #expect(slot.isFrozen == layout.frozen.contains(slot.offset))
            #expect(slot.range.allSatisfy { covered.insert($0).inserted })
            if slot.role == .statistic { #expect(layout.statistics.contains(slot.offset)) }
        }
        #expect(covered.count == layout.elementCount)
        let (before, after) = (plain.initialParameters(seed: 5), network.initialParameters(seed: 5))
        for (old, new) in zip(plain.parameters.slots, layout.slots) {
            #expect(before[old.range] == after[new.range])
        }
        #expect(network.fingerprint == plain.fingerprint)
        #expect(network.unfrozen == plain)
        // Statistics are frozen together.
        for name in ["bn1", "bn2"] {
            let mean = try #require(layout.slot(named: "\(name).running_mean"))
            #expect(layout.slot(named: "\(name).running_var")?.isFrozen == mean.isFrozen)
        }
    }

    private struct Result {
        var gradient: [String: [Float]] = [:]
        var final: [Int] = []
    }

    private static func gradient(
        _ network: Network, _ backend: BackendKind, precision: Precision = .fp32
    ) throws -> Result {
        let engine = try Backends.makeEngine(
            backend, network: network,
            configuration: EngineConfiguration(seed: 3, precision: precision))
        var parameters = [Float](repeating: 0, count: network.parameters.elementCount)
        for slot in network.parameters.slots {
            let values = GoldenNumbers.values(slot.name, count: slot.elementCount, scale: 0.5)
            for (element, value) in zip(slot.range, values) {
                parameters[element] =
                    slot.kind == .variance ? 0.5 + abs(value) : slot.kind == .scale ? 1 + value : value
            }
        }
        engine.setParameters(parameters)
        var result = Result()
        var gradient = [Float](repeating: .nan, count: parameters.count)
        Microbatch(network, count: 19).withView { view in
            _ = engine.computeGradient(
                view, epoch: 0, into: &gradient,
                GradientObserver(isFinal: { element, _ in result.final.append(element) }))
        }
        for slot in network.parameters.slots where !slot.isFrozen {
            result.gradient[slot.name] = Array(gradient[slot.range])
        }
        return result
    }

    /// Frozen weights change no other gradient by a bit. With frozen statistics the two backends
    /// agree, and everything is said to be final, down to the first element.
    @Test(arguments: choices)
    func otherGradientsStay(patterns: [String]) throws {
        let network = try Self.network(patterns)
        let native = try Self.gradient(network, .native)
        let reference = try Self.gradient(network, .reference)
        let plain = try Self.gradient(Self.network(), .native)
        let hasFrozenStatistics = network.parameters.slots.contains {
            $0.isFrozen && $0.kind == .mean
        }
        for (name, found) in native.gradient {
            let isFinite = found.allSatisfy(\.isFinite)
            #expect(isFinite, "\(name)")
            let expected = try #require(reference.gradient[name])
            let largest = expected.reduce(0) { max($0, abs($1)) }
            expectClose(found, expected, absolute: 2e-5 * largest + 1e-5, relative: 1e-4, name)
            if !hasFrozenStatistics {
                expectSameBits(found, try #require(plain.gradient[name]), name)
            }
        }
        #expect(native.final.last == 0)
        #expect(native.final == native.final.sorted(by: >))
        #expect(native.final.allSatisfy { $0 < network.parameters.activeCount })
        _ = try Self.gradient(network, .native, precision: .bf16)
    }

    /// With all statistics frozen, training computes what inference computes.
    @Test func frozenStatisticsNormalise() throws {
        let network = try Self.network(["*.running_*"])
        let engine = try Backends.makeEngine(
            .native, network: network, configuration: EngineConfiguration())
        engine.setParameters(network.initialParameters(seed: 4))
        let batch = Microbatch(network, count: 11)
        let inference = engine.outputs(images: batch.images, count: 11)
        let training = engine.gradients(
            images: batch.images, count: 11,
            outputGradient: [Float](repeating: 1, count: 11 * network.outputElementCount))
        expectSameBits(training.outputs, inference, "outputs")
    }

    /// Only statistics of the microbatch need all of it: with frozen ones no tile is kept until the
    /// others are there.
    @Test func frozenStatisticsKeepNoTiles() throws {
        func byteCount(_ patterns: [String], _ records: Int) throws -> Int {
            try Backends.engineByteCount(
                .native, network: Self.network(patterns), configuration: EngineConfiguration(),
                records: records)
        }
        #expect(try byteCount(["*.running_*"], 64) == byteCount(["*.running_*"], 8))
        #expect(try byteCount(["bn1.running_*"], 64) > byteCount(["bn1.running_*"], 8))
        #expect(try byteCount(["bn1.running_*"], 64) < byteCount([], 64))
    }

    @Test func oneDNNRefusesWhatIsFrozen() throws {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [1, 4, 4],
                layers: [.conv2D(filters: 2, kernel: Size2D(3)), .flatten, .dense(units: 2)])
        ).freezing([NamePattern("conv1.*")])
        #expect(try Backends.resolve(.auto, precision: .fp32, for: network) != .oneDNN)
        guard Backends.available.contains(.oneDNN) else { return }
        let error = #expect(throws: BackendError.self) {
            _ = try Backends.makeEngine(
                .oneDNN, network: network, configuration: EngineConfiguration())
        }
        #expect("\(error!)".contains("conv1: a frozen layer is computed by native"))
    }

    @Test(
        arguments: [
            (["conw*"], "freeze: expected a pattern that names tensors"),
            (["conv1.*", "layer*"], "found layer*"),
            (["*"], "freeze: expected to leave a tensor to train, found that * freeze all"),
        ])
    func whatCannotBeFrozenIsRefused(patterns: [String], text: String) throws {
        let error = #expect(throws: ModelError.self) { _ = try Self.network(patterns) }
        #expect("\(error!)".contains(text), "\(error!)")
    }

    /// Rate and decay of some names; the last group counts.
    @Test func groupsChangeRateAndDecay() throws {
        let network = try Self.network(["conv1.*"])
        let layout = network.parameters
        let groups = [
            ParameterGroup(match: NamePattern("dense*"), rate: 0.5, decay: 0),
            ParameterGroup(match: NamePattern("dense2.*"), rate: 0.25),
            ParameterGroup(match: NamePattern("conv3.weight"), decay: 2),
        ]
        try network.requireTensors(of: groups.map(\.match), "groups: expected a match")
        let rule = UpdateRule(
            .sgd(SGD(learningRate: 0.5, weightDecay: 0.25)), layout, groups: groups)
        let weights = [Float](repeating: 1, count: layout.elementCount)
        var next = [Float](repeating: -1, count: layout.elementCount)
        let gradient = [Float](repeating: 3, count: layout.elementCount)
        rule.update(
            0..<layout.activeCount, step: 1, weights: weights, into: &next, gradientSum: gradient,
            sampleCount: 3, state: [])
        for slot in layout.slots where slot.role == .trained {
            let (rate, decay): (Float, Float) =
                slot.name.hasPrefix("dense2")
                ? (0.125, 0)
                : slot.name.hasPrefix("dense1")
                    ? (0.25, 0) : slot.name == "conv3.weight" ? (0.5, 0.5) : (0.5, 0.25)
            #expect(next[slot.range].allSatisfy { $0 == 1 - rate * (1 + decay) }, "\(slot.name)")
        }
        for slot in layout.slots where slot.isFrozen {
            #expect(next[slot.range].allSatisfy { $0 == -1 }, "\(slot.name) was written")
        }
        let none = [ParameterGroup(match: NamePattern("layer4.*"), rate: 1)]
        #expect(throws: ModelError.self) {
            try network.requireTensors(of: none.map(\.match), "groups: expected a match")
        }
    }

    // MARK: - Two parts

    /// Trunk and head together give what the whole network gives.
    @Test(arguments: ["relu1", "relu2", "gn", "flatten1", "dense1"])
    func trunkAndHeadMakeTheWhole(node: String) throws {
        let whole = try Self.network()
        let (trunk, head) = (try whole.trunk(to: node), try whole.head(after: node))
        func outputs(_ network: Network, _ images: [Float], count: Int) throws -> [Float] {
            let engine = try Backends.makeEngine(
                .native, network: network, configuration: EngineConfiguration())
            var parameters = [Float](repeating: 0, count: network.parameters.elementCount)
            for slot in network.parameters.slots {
                let source = try #require(whole.parameters.slot(named: slot.name))
                let values = whole.initialParameters(seed: 9)[source.range]
                parameters.replaceSubrange(slot.range, with: values)
            }
            engine.setParameters(parameters)
            return engine.outputs(images: images, count: count)
        }
        let images = Microbatch(whole, count: 5).images
        let features = try outputs(trunk, images, count: 5)
        #expect(features.count == 5 * trunk.outputElementCount)
        expectSameBits(
            try outputs(head, features, count: 5), try outputs(whole, images, count: 5), node)
        let names = Set(trunk.parameters.slots.map(\.name) + head.parameters.slots.map(\.name))
        #expect(names == Set(whole.parameters.slots.map(\.name)))
    }

    @Test func whatCannotBeCutIsRefused() throws {
        let network = try Self.network()
        for (node, text) in [
            ("dense3", "did you mean dense1?"), ("bn2", "found that add1 reads relu1"),
            ("dense2", "expected a node with others behind it"),
        ] {
            let error = #expect(throws: ModelError.self) { _ = try network.head(after: node) }
            #expect("\(error!)".contains(text), "\(error!)")
        }
    }
}
