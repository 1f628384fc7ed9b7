import NeuralNetwork
import Testing

@Suite struct NetworkTests {
    @Test func cnnHasTheDocumentedShapes() throws {
        let network = try Network(.cnn(inputShape: [3, 32, 32], classCount: 10))
        #expect(network.parameters.elementCount == 122_570)
        #expect(network.inputElementCount == 3 * 32 * 32)
        #expect(network.outputElementCount == 10)
        #expect(
            network.nodes.map(\.name) == [
                "conv1", "pool1", "conv2", "pool2", "conv3", "flatten1", "dense1", "dropout1",
                "dense2",
            ])
        #expect(
            network.nodes.map(\.outputShape) == [
                [32, 30, 30], [32, 15, 15], [64, 13, 13], [64, 6, 6], [64, 4, 4], [1024], [64],
                [64], [10],
            ])
        #expect(
            network.parameters.slots.map(\.name) == [
                "conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "conv3.weight",
                "conv3.bias", "dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias",
            ])
        let conv2 = try #require(network.parameters.slot(named: "conv2.weight"))
        #expect(conv2.shape == [64, 32, 3, 3])
        #expect(conv2.offset == 32 * 3 * 9 + 32)
        #expect(conv2.fanIn == 32 * 9 && conv2.fanOut == 64 * 9)
        try network.requireClassifier(classCount: 10)
        #expect(ModelSpecification.builtInNames.contains("cnn"))
        #expect(
            ModelSpecification.builtIn("cnn", inputShape: [3, 32, 32], classCount: 10)
                == network.specification)
        #expect(ModelSpecification.builtIn("vgg", inputShape: [3, 32, 32], classCount: 10) == nil)
    }

    @Test func samePaddingFollowsTensorFlow() throws {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [1, 8, 9],
                layers: [
                    .conv2D(
                        filters: 1, kernel: Size2D(height: 4, width: 3), stride: Size2D(2),
                        padding: .same)
                ]))
        #expect(network.nodes[0].outputShape == [1, 4, 5])
        #expect(network.nodes[0].padding == PaddingAmounts(top: 1, left: 1, bottom: 1, right: 1))
        let odd = try Network(
            ModelSpecification(
                name: "model", inputShape: [1, 7, 8],
                layers: [.maxPool2D(size: Size2D(2), stride: Size2D(2), padding: .same)]))
        #expect(odd.nodes[0].padding == PaddingAmounts(top: 0, left: 0, bottom: 1, right: 0))
        #expect(odd.nodes[0].outputShape == [1, 4, 4])
    }

    static let three = Size2D(3)
    static let refusals: [([Int], [LayerSpecification], String)] = [
        (
            [3, 16, 16],
            [
                .conv2D(filters: 64, kernel: three), .maxPool2D(size: Size2D(2), stride: Size2D(2)),
                .dense(units: 5),
            ],
            "model: layer 3 (dense1): expects a flat input, gets [64, 7, 7]; put flatten before it"
        ),
        (
            [1, 4, 4], [.flatten, .conv2D(filters: 1, kernel: three)],
            "model: layer 2 (conv1): expects an image [channels, height, width], gets [16]; "
                + "put it before flatten"
        ),
        (
            [1, 4, 2], [.conv2D(filters: 1, kernel: three)],
            "model: layer 1 (conv1): its kernel of [3, 3] does not fit into [1, 4, 2]; "
                + "make it smaller or pad with same"
        ),
        (
            [1, 4, 4], [.maxPool2D(size: Size2D(2), stride: Size2D(0))],
            "model: layer 1 (pool1): expects a stride with sides from 1 to 4096, gets [0, 0]"
        ),
        (
            [1, 4, 4], [.dropout(rate: 1)],
            "model: layer 1 (dropout1): expects a rate of at least 0 and below 1, gets 1.0"
        ),
        (
            [1, 4, 4], [.flatten, .dense(units: 1 << 62)],
            "model: layer 2 (dense1): its weight of [4611686018427387904, 16] "
                + "brings the model over "
                + "1073741824 parameters"
        ),
        ([1, 4, 4], [], "model: layers: expected at least one layer, found none"),
        (
            [1, 0, 4], [.flatten],
            "model: input: expected [channels, height, width], each at least 1 and 1073741824 "
                + "elements at most, found [1, 0, 4]"
        ),
        (
            [28, 28], [.flatten],
            "model: input: expected [channels, height, width], each at least 1 and 1073741824 "
                + "elements at most, found [28, 28]"
        ),
    ]

    @Test(arguments: refusals)
    func refusesWhatDoesNotFit(
        _ inputShape: [Int], _ layers: [LayerSpecification], _ text: String
    ) {
        let error = #expect(throws: ModelError.self) {
            try Network(ModelSpecification(name: "model", inputShape: inputShape, layers: layers))
        }
        #expect(error?.description == text)
    }

    @Test func aClassifierNeedsAnOutputForEachClass() throws {
        let network = try Network(
            ModelSpecification(name: "model", inputShape: [1, 4, 4], layers: [.relu]))
        let error = #expect(throws: ModelError.self) {
            try network.requireClassifier(classCount: 10)
        }
        #expect(
            error?.description
                == "model: layer 1 (relu1): is the last layer and gives [1, 4, 4], but "
                + "the data has 10 classes; end with flatten and dense: {units: 10}")
    }

    @Test func initialParametersFollowTheirRules() throws {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [3, 8, 8],
                layers: [
                    .conv2D(filters: 16, kernel: Self.three), .flatten,
                    .dense(units: 50, initializer: .heUniform), .dense(units: 10),
                ]))
        let values = network.initialParameters(seed: 4)
        #expect(values == network.initialParameters(seed: 4))
        #expect(values != network.initialParameters(seed: 5))
        for slot in network.parameters.slots {
            let part = values[slot.range].map(Double.init)
            if slot.kind == .bias {
                #expect(part.allSatisfy { $0 == 0 })
                continue
            }
            let fan = slot.name == "dense1.weight" ? slot.fanIn : slot.fanIn + slot.fanOut
            let limit = (6 / Double(fan)).squareRoot()
            #expect(part.allSatisfy { abs($0) <= limit * 1.000001 })
            #expect(part.max()! > 0.98 * limit && part.min()! < -0.98 * limit, "\(slot.name)")
            let mean = part.reduce(0, +) / Double(part.count)
            let variance = part.reduce(0) { $0 + $1 * $1 } / Double(part.count)
            #expect(abs(mean) < 0.1 * limit, "\(slot.name)")
            #expect(abs(variance / (limit * limit / 3) - 1) < 0.15, "\(slot.name)")
        }
    }

    /// The numbers of Keras 3.15: 6 / limit² of its glorot_uniform is 36 + 576 for Conv2D with 4
    /// groups, and 144 + 9 for DepthwiseConv2D, which is what 16 groups of one filter give.
    @Test func groupsCountAsInKeras() throws {
        func fans(_ filters: Int, groups: Int) throws -> (Int, Int) {
            let network = try Network(
                ModelSpecification(
                    name: "model", inputShape: [16, 8, 8],
                    layers: [.conv2D(filters: filters, kernel: Size2D(3), groups: groups)]))
            let slot = try #require(network.parameters.slot(named: "conv1.weight"))
            return (slot.fanIn, slot.fanOut)
        }
        #expect(try fans(64, groups: 4) == (36, 576))
        #expect(try fans(16, groups: 16) == (9, 144))
        #expect(try fans(64, groups: 1) == (144, 576))
    }

    /// A slot's initial values depend on its own index, not on the sizes of the slots before it.
    @Test func initialParametersAreKeyedBySlot() throws {
        func dense(_ width: Int) throws -> ArraySlice<Float> {
            let network = try Network(
                ModelSpecification(
                    name: "model", inputShape: [1, 1, width],
                    layers: [.flatten, .dense(units: 6), .dense(units: 7)]))
            let slot = try #require(network.parameters.slot(named: "dense2.weight"))
            return network.initialParameters(seed: 1)[slot.range]
        }
        #expect(try Array(dense(3)) == Array(dense(11)))
    }

    @Test func fingerprintsNameTheArchitecture() throws {
        let a = try Network(.cnn(inputShape: [3, 32, 32], classCount: 10))
        var renamed = a.specification
        renamed.name = "other"
        #expect(try Network(renamed).fingerprint == a.fingerprint)
        let b = try Network(.cnn(inputShape: [3, 32, 32], classCount: 11))
        #expect(a.fingerprint != b.fingerprint)
        #expect(a.fingerprint == "daa198acab3b4dfe")
    }
}
