import Backends
import CounterRandom
import NeuralNetwork
import StrictYAML
import Testing

/// Graphs: names, inputs, composites, random graphs, and what is refused.
@Suite struct GraphTests {
    static func parse(_ text: String) throws -> ModelSpecification {
        try ModelSpecification(
            name: "model", mapping: StrictDocument.parse(text, fileName: "model.yaml"))
    }

    static let composites = """
        input: [4, 8, 6]
        layers:
          - conv2d: {filters: 8, kernel: 3, padding: 1, bias: false, name: stem}
          - batch-norm
          - relu
          - repeat:
              times: 2
              layers:
                - residual:
                    name: "block{n}"
                    layers:
                      - conv2d: {filters: 8, kernel: 3, padding: 1, bias: false}
                      - batch-norm
                      - relu
                      - conv2d: {filters: 8, kernel: 3, padding: 1, bias: false}
                      - batch-norm
                - relu
          - residual:
              layers: [{conv2d: {filters: 16, kernel: 3, stride: 2, padding: 1}}, {group-norm: {groups: 4}}]
              shortcut: [{conv2d: {filters: 16, kernel: 1, stride: 2}}, batch-norm]
          - gate: {layers: [global-average-pool, {dense: {units: 16}}, sigmoid]}
          - parallel:
              branches:
                - [{conv2d: {filters: 4, kernel: 1}}]
                - [{max-pool2d: {size: 3, stride: 1, padding: 1}}, {conv2d: {filters: 4, kernel: 1}}]
          - global-average-pool
          - dense: {units: 5}
        """

    @Test func compositesAreLayersWithNames() throws {
        let model = try Self.parse(Self.composites)
        let network = try Network(model)
        #expect(network.outputShape == [5])
        let names = network.nodes.map(\.name)
        #expect(names.contains("block0") && names.contains("block1"))
        let block = try #require(network.nodes.first { $0.name == "block0" })
        #expect(block.specification.kind == "add")
        #expect(block.inputs.map { $0 == 0 ? "input" : names[$0 - 1] } == ["bn3", "relu1"])
        #expect(network.nodes.contains { $0.specification.kind == "multiply" })
        #expect(network.nodes.contains { $0.specification.kind == "concat" })
        #expect(network.parameters.slot(named: "stem.weight")?.shape == [8, 4, 3, 3])
        #expect(network.parameters.slot(named: "stem.bias") == nil)
        // Statistics follow all trained tensors.
        let statistics = network.parameters.statistics
        for slot in network.parameters.slots {
            #expect((slot.role == .statistic) == statistics.contains(slot.offset))
        }
        // The canonical text has no composites, and reads back to an equal model.
        let again = try Self.parse(model.yaml)
        #expect(again.layers == model.layers)
        #expect(try Network(again) == network)
        #expect(!model.yaml.contains("residual") && !model.yaml.contains("repeat"))
    }

    @Test(arguments: ModelPreset.all.map(\.name))
    func presetsReadBack(name: String) throws {
        let preset = try #require(ModelPreset.named(name))
        let shape = preset.usualInputShape
        let model = preset.specification(inputShape: shape, classCount: 7)
        let network = try Network(model)
        #expect(network.outputShape == [7])
        let again = try Self.parse(model.yaml)
        #expect(again.layers == model.layers)
        #expect(try Network(again).parameters == network.parameters)
        #expect(Set(network.parameters.slots.map(\.name)).count == network.parameters.slots.count)
    }

    /// The numbers of trained parameters that papers and torchvision give.
    @Test(arguments: [
        ("lenet5", [1, 28, 28], 10, 61_706), ("resnet20", [3, 32, 32], 10, 269_722),
        ("resnet56", [3, 32, 32], 10, 853_018), ("resnet18", [3, 224, 224], 1000, 11_689_512),
        ("mobilenet-v2", [3, 224, 224], 1000, 3_504_872),
        ("mobilenet-v1", [3, 224, 224], 1000, 4_231_976),
    ])
    func presetsHaveThePublishedSize(_ name: String, _ shape: [Int], _ classes: Int, _ count: Int)
        throws
    {
        let model = try #require(
            ModelSpecification.builtIn(name, inputShape: shape, classCount: classes))
        let parameters = try Network(model).parameters
        #expect(parameters.elementCount - parameters.statistics.count == count)
    }

    @Test(arguments: [
        (
            "- relu\n- conv2d: {filters: 2, kernel: 1, from: later}\n- relu: {name: later}",
            "layer 2 (conv1): reads from later, which is no earlier layer; a layer reads from "
                + "layers before it, or from input"
        ),
        (
            "- relu: {name: a}\n- relu: {name: a}",
            "layer 2 (a): has the name of an earlier layer; each name can be given once"
        ),
        (
            "- conv2d: {filters: 3, kernel: 3, name: a}\n- add: {from: [a, input]}",
            "layer 2 (add1): expects inputs of one shape, gets [3, 6, 6] and [4, 8, 8]"
        ),
        (
            "- conv2d: {filters: 3, kernel: 3, name: a}\n- concat: {from: [a, input]}",
            "layer 2 (concat1): expects inputs that differ in their channels alone, gets "
                + "[3, 6, 6] and [4, 8, 8]"
        ),
        (
            "- conv2d: {filters: 6, kernel: 1, groups: 3}",
            "layer 1 (conv1): expects groups that divide 4 channels and 6 filters, gets 3"
        ),
        (
            "- relu\n- relu: {from: input}\n- relu",
            "layer 1 (relu1): is read by no other layer, and only the last layer may be so; name "
                + "it in the from of another layer, or remove it"
        ),
        (
            "- add: {from: input}",
            "layer 1 (add1): expects at least 2 inputs, gets 1; name them with from"
        ),
        (
            "- max-pool2d: {size: 2, padding: 2}",
            "layer 1 (pool1): expects padding smaller than its window of [2, 2], gets [2, 2, 2, 2]"
        ),
        (
            "- group-norm: {groups: 3}",
            "layer 1 (gn1): expects groups that divide 4 channels, gets 3"
        ),
        (
            "- conv2d: {filters: 1, kernel: 5, dilation: 4096, padding: same}",
            "layer 1 (conv1): its padded input of [4, 16392, 16392] is larger than 67108864 elements"
        ),
        (
            "- conv2d: {filters: 1, kernel: 3, padding: 40}\n"
                + "- conv2d: {filters: 1, kernel: 85, padding: same}",
            "layer 2 (conv2): its kernel of [85, 85] is too large for its output of [86, 86]"
        ),
        (
            "- conv1d: {filters: 3, kernel: 3}",
            "layer 1 (conv1): expects series [channels, 1, length], gets [4, 8, 8]"
        ),
    ])
    func refusesWithTheNode(_ layers: String, _ problem: String) {
        let error = #expect(throws: ModelError.self) {
            try Self.parse("input: [4, 8, 8]\nlayers:\n\(layers)")
        }
        #expect(error?.description == "model.yaml: \(problem)")
    }

    @Test func repeatsAreBounded() {
        var text = "relu"
        for _ in 0..<4 { text = "{repeat: {times: 1024, layers: [\(text)]}}" }
        let error = #expect(throws: ModelError.self) {
            try Self.parse("input: [1, 4, 4]\nlayers: [\(text)]")
        }
        #expect(error?.description.contains("over 4096 layers") == true)
        var empty = "{repeat: {times: 1024, layers: []}}"
        for _ in 0..<4 { empty = "{repeat: {times: 1024, layers: [\(empty)]}}" }
        #expect(throws: ModelError.self) {
            try Self.parse("input: [1, 4, 4]\nlayers: [\(empty)]")
        }
    }

    // MARK: - Random graphs

    /// Returns a random model of a seed. Most kinds can appear, with branches that are added,
    /// multiplied or concatenated. With `isSmooth`, no function or pool has a corner.
    static func random(_ seed: UInt64, isSmooth: Bool = false) -> ModelSpecification {
        var numbers = RandomStream(seed: seed, purpose: .simulation, 0)
        func pick(_ count: Int) -> Int { Int(numbers.nextUniform() * Float(count)) }
        var model = ModelBuilder(
            name: "random\(seed)", inputShape: [1 + pick(9), 4 + pick(5), 4 + pick(5)])
        var values: [ModelBuilder.Value] = []
        let width = [4, 8, 12][pick(3)]
        model.add(.conv2D(filters: width, kernel: Size2D(3), padding: .cells(1)))
        for _ in 0..<(3 + pick(6)) {
            values.append(model.last)
            switch pick(isSmooth ? 11 : 15) {
            case 0:
                model.add(
                    .conv2D(
                        filters: width, kernel: Size2D(3), padding: .cells(1),
                        hasBias: pick(2) == 0))
            case 1:
                model.add(
                    .conv2D(
                        filters: width, kernel: Size2D(3), padding: .cells(2),
                        dilation: Size2D(2), groups: [1, 2, 4][pick(3)]))
            case 2:
                model.add(
                    .conv2D(
                        filters: width, kernel: Size2D(3), padding: .cells(1), groups: width,
                        hasBias: pick(2) == 0))
            case 3, 4: model.add(.batchNorm())
            case 5: model.add(.groupNorm(groups: [1, 2, 4][pick(3)]))
            case 6: model.add([.sigmoid, .tanh, .silu, .gelu][pick(4)])
            case 7: model.add(.add, from: [model.last, values[pick(values.count)]])
            case 8: model.add(.multiply, from: [model.last, values[pick(values.count)]])
            case 9:
                model.add(.concat, from: [model.last, values[pick(values.count)]])
                model.add(.conv2D(filters: width, kernel: Size2D(1)))
            case 10:
                model.add(
                    .averagePool2D(
                        size: Size2D(3), stride: Size2D(1), padding: .cells(1),
                        countsPadding: pick(2) == 0))
            case 11:
                model.add(.maxPool2D(size: Size2D(3), stride: Size2D(1), padding: .cells(1)))
            case 12: model.add(.relu)
            case 13: model.add([.relu6, .leakyReLU(), .hardSwish, .hardSigmoid][pick(4)])
            default: model.add(.dropout(rate: 0.2))
            }
        }
        if pick(2) == 0 { model.add(.globalAveragePool) } else { model.add(.flatten) }
        model.add(.dense(units: 3, hasBias: pick(2) == 0))
        return model.specification
    }

    /// Returns the parameters of a network: trained ones near their initial values, and statistics as
    /// at the start.
    static func parameters(_ network: Network) -> [Float] {
        var flat = network.initialParameters(seed: 3)
        let noise = GoldenInput.values(flat.count, salt: 5)
        for slot in network.parameters.slots where slot.role == .trained {
            for element in slot.range { flat[element] += 0.1 * noise[element] }
        }
        return flat
    }

    @Test(arguments: 1...60)
    func nativeIsNearTheReference(seed: Int) throws {
        let network = try Network(Self.random(UInt64(seed)))
        let flat = Self.parameters(network)
        for count in [1, 8, 13] {
            let batch = Microbatch(network, count: count)
            var gradients: [[Float]] = []
            var losses: [Double] = []
            for backend in [BackendKind.reference, .native] {
                let engine = try Backends.makeEngine(
                    backend, network: network, configuration: EngineConfiguration(seed: 7))
                engine.setParameters(flat)
                let (gradient, statistics) = engine.computeGradient(batch, epoch: 1)
                gradients.append(gradient)
                losses.append(statistics.lossSum)
            }
            #expect(abs(losses[0] - losses[1]) <= 2e-4 * (1 + abs(losses[0])))
            for slot in network.parameters.slots {
                let expected = Array(gradients[0][slot.range])
                let largest = gradients[0].reduce(0) { max($0, abs($1)) }
                expectClose(
                    Array(gradients[1][slot.range]), expected, absolute: 2e-3 * largest + 1e-5,
                    relative: 1e-3, "seed \(seed) count \(count) \(slot.name)")
            }
        }
    }

    /// The backward half of the reference is the derivative of its forward half, in Double.
    @Test(arguments: 1...25)
    func referenceIsItsDerivative(seed: Int) throws {
        let network = try Network(Self.random(UInt64(1000 + seed), isSmooth: true))
        let reference = ReferenceNetwork<Double>(network: network, seed: 11)
        var parameters = Self.parameters(network).map(Double.init)
        let count = 3
        let images = GoldenInput.values(count * network.inputElementCount, salt: 1)
            .map(Double.init)
        let factors = GoldenInput.values(count * network.outputElementCount, salt: 3)
            .map(Double.init)
        func objective() -> Double {
            let output = reference.output(
                parameters: parameters, image: images, mode: .batchStatistics)
            return zip(output, factors).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let found = reference.gradients(
            parameters: parameters, image: images, outputGradient: factors, mode: .batchStatistics)
        for slot in network.parameters.slots where slot.role == .trained {
            for element in slot.range.prefix(3) {
                let width = 1e-5
                parameters[element] += width
                let above = objective()
                parameters[element] -= 2 * width
                let below = objective()
                parameters[element] += width
                let expected = (above - below) / (2 * width)
                #expect(
                    abs(found.parameters[element] - expected) <= 1e-5 + 1e-5 * abs(expected),
                    "seed \(seed) \(slot.name)")
            }
        }
    }

    /// What the engine calls final does not change afterwards, whatever the segments are.
    @Test(arguments: 1...20)
    func whatIsFinalStays(seed: Int) throws {
        let network = try Network(Self.random(UInt64(seed)))
        let engine = try Backends.makeEngine(
            .native, network: network, configuration: EngineConfiguration(seed: 7))
        engine.setParameters(Self.parameters(network))
        let batch = Microbatch(network, count: 13)
        let count = network.parameters.elementCount
        var gradient = [Float](repeating: .nan, count: count)
        var seen: [(Int, [Float])] = []
        batch.withView { view in
            gradient.withUnsafeMutableBufferPointer { gradient in
                let base = gradient.baseAddress!
                let observer = GradientObserver(isFinal: { element, _ in
                    seen.append(
                        (element, Array(UnsafeBufferPointer(start: base + element, count: count - element))))
                })
                _ = engine.computeGradient(view, epoch: 1, into: base, observer)
            }
        }
        #expect(seen.last?.0 == 0)
        #expect(zip(seen, seen.dropFirst()).allSatisfy { $0.0 > $1.0 })
        for (element, values) in seen {
            expectSameBits(Array(gradient[element...]), values, "seed \(seed) from \(element)")
        }
    }

    /// The bits depend on the batch alone, not on what the engine computed before.
    @Test(arguments: 1...10)
    func sameBitsAfterOtherBatches(seed: Int) throws {
        let network = try Network(Self.random(UInt64(seed)))
        func engine() throws -> any GradientEngine {
            let engine = try Backends.makeEngine(
                .native, network: network, configuration: EngineConfiguration(seed: 7))
            engine.setParameters(Self.parameters(network))
            return engine
        }
        let batch = Microbatch(network, count: 13)
        let expected = try engine().computeGradient(batch, epoch: 1)
        let used = try engine()
        _ = used.computeGradient(Microbatch(network, count: 40, firstRecord: 9), epoch: 3)
        _ = used.outputs(images: batch.images, count: 5)
        let found = used.computeGradient(batch, epoch: 1)
        expectSameBits(found.gradient, expected.gradient, "seed \(seed)")
        #expect(found.statistics == expected.statistics)
    }
}
