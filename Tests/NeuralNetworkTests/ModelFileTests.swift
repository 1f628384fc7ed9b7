import FoundationEssentials
import NeuralNetwork
import StrictYAML
import Testing

@Suite struct ModelFileTests {
    private func parse(_ text: String) throws -> ModelSpecification {
        try ModelSpecification(
            name: "model", mapping: StrictDocument.parse(text, fileName: "model.yaml"))
    }

    @Test func readsTheDocumentedExample() throws {
        let specification = try parse(
            """
            input: [1, 28, 28]
            layers:
              - conv2d: {filters: 32, kernel: 3, activation: relu}
              - max-pool2d: {size: 2}
              - flatten: {}
              - dense: {units: 64, activation: relu}
              - dropout: {rate: 0.5}
              - dense: {units: 10}
            """)
        #expect(specification.inputShape == [1, 28, 28])
        #expect(
            specification.layers == [
                .conv2D(
                    filters: 32, kernel: Size2D(3), stride: Size2D(1), padding: .valid,
                    activation: .relu, initializer: .glorotUniform),
                .maxPool2D(size: Size2D(2), stride: Size2D(2), padding: .valid),
                .flatten,
                .dense(units: 64, activation: .relu, initializer: .glorotUniform),
                .dropout(rate: 0.5),
                .dense(units: 10, activation: .linear, initializer: .glorotUniform),
            ])
    }

    @Test func readsEveryKey() throws {
        let specification = try parse(
            """
            input: [2, 19, 18]
            layers:
              - conv2d:
                  filters: 4
                  kernel: [3, 5]
                  stride: [2, 1]
                  padding: same
                  activation: relu
                  initializer: he-uniform
              - max-pool2d: {size: [2, 3], stride: 1, padding: same}
              - relu: {}
              - relu
              - flatten
              - dense: {units: 3, initializer: he-uniform}
            """)
        #expect(
            specification.layers == [
                .conv2D(
                    filters: 4, kernel: Size2D(height: 3, width: 5),
                    stride: Size2D(height: 2, width: 1), padding: .same, activation: .relu,
                    initializer: .heUniform),
                .maxPool2D(
                    size: Size2D(height: 2, width: 3), stride: Size2D(1), padding: .same),
                .relu, .relu, .flatten, .dense(units: 3, initializer: .heUniform),
            ])
    }

    @Test(arguments: GoldenCase.load("layers") + GoldenCase.load("training"))
    func canonicalTextReadsBack(golden: GoldenCase) throws {
        let specification = try #require(golden.specification)
        let again = try parse(specification.yaml)
        #expect(again.layers == specification.layers)
        #expect(again.inputShape == specification.inputShape)
        #expect(again.yaml == specification.yaml)
    }

    @Test func filesNameTheirModel() throws {
        let file = FileManager.default.temporaryDirectory
            .appending(path: "convoy-model-\(UInt64.random(in: 0 ... .max)).v2.yaml")
        defer { try? FileManager.default.removeItem(at: file) }
        let cnn = ModelSpecification.cnn(inputShape: [3, 32, 32], classCount: 10)
        try Data(cnn.yaml.utf8).write(to: file)
        let read = try ModelSpecification.load(file: file.path)
        #expect(read.name == file.lastPathComponent.dropLast(5))
        #expect(read.layers == cnn.layers)
        try Data("input: [3, 5, 5]\nlayers: [{dense: {units: 2}}]\n".utf8).write(to: file)
        let error = #expect(throws: ModelError.self) {
            try ModelSpecification.load(file: file.path)
        }
        #expect(
            error?.description == "\(file.path): layer 1 (dense1): expects a flat input, gets "
                + "[3, 5, 5]; put flatten before it")
        try FileManager.default.removeItem(at: file)
        #expect(throws: ModelError.self) { try ModelSpecification.load(file: file.path) }
    }

    @Test(arguments: [
        ("layers: [flatten]", "1: input: is required here, but missing"),
        (
            "input: [1, 28]\nlayers: [flatten]",
            "1: input: expected [channels, height, width], found a list of 2"
        ),
        ("input: 3\nlayers: [flatten]", "1: input: expected a list, found \"3\""),
        (
            "input: [1, 2, 0]\nlayers: [flatten]",
            "1: input[2]: expected a whole number from 1 to 65536, found \"0\""
        ),
        ("input: [1, 8, 8]", "1: layers: is required here, but missing"),
        (
            "input: [1, 8, 8]\nlayers:\n  - conv2d: {filters: 3, kernle: 3}",
            "3: layers[0].conv2d.kernel: is required here, but missing"
        ),
        (
            "input: [1, 8, 8]\nlayers:\n  - conv2d: {filters: 3, kernel: 3, strid: 2}",
            "3: layers[0].conv2d.strid: unknown key \"strid\"; did you mean \"stride\"? "
                + "allowed here: "
                + "activation, bias, dilation, filters, from, groups, initializer, kernel, name, "
                + "padding, stride"
        ),
        (
            "input: [1, 8, 8]\nlayers:\n  - conv2d: {filters: 3, kernel: [3, 3, 3]}",
            "3: layers[0].conv2d.kernel: expected a whole number or [height, width], "
                + "found a list of 3"
        ),
        (
            "input: [1, 8, 8]\nlayers:\n  - flatten\n  - dens: {units: 3}",
            "4: layers[1]: unknown layer kind \"dens\"; did you mean \"dense\"? "
                + "allowed here: add, average-pool2d, batch-norm, concat, conv1d, conv2d, dense, "
                + "dropout, flatten, gate, gelu, global-average-pool, group-norm, hard-sigmoid, "
                + "hard-swish, layer-norm, leaky-relu, max-pool2d, multiply, pad-channels, "
                + "parallel, relu, relu6, repeat, residual, sigmoid, silu, tanh"
        ),
        (
            "input: [1, 8, 8]\nlayers:\n  - dropout: {rate: 1.0}",
            "3: layers[0].dropout.rate: expected a number of at least 0 and below 1, found \"1.0\""
        ),
        (
            "input: [1, 8, 8]\nlayers:\n  - dense: {units: 3}\n    relu: {}",
            "3: layers[0]: expected one layer kind, as in `- dense: {units: 10}`, "
                + "found keys and values"
        ),
        (
            "input: [1, 8, 8]\nlayers: [{dense: {units: 3, activation: tanh}}]",
            "2: layers[0].dense.activation: expected one of linear, relu, found \"tanh\""
        ),
        (
            "input: [1, 8, 8]\nlayers: [flatten]\nname: x",
            "3: name: unknown key \"name\"; allowed here: input, layers"
        ),
        ("input: [1, 8, 8]\nlayers: []", " layers: expected at least one layer, found none"),
        (
            "input: [3, 9, 9]\nlayers: [{max-pool2d: {size: 2}}, {dense: {units: 2}}]",
            " layer 2 (dense1): expects a flat input, gets [3, 4, 4]; put flatten before it"
        ),
    ])
    func refusesWithThePlace(_ text: String, _ problem: String) {
        let error = #expect(throws: ModelError.self) { try parse(text) }
        #expect(error?.description == "model.yaml:\(problem)")
    }
}
