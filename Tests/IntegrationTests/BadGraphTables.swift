import NeuralNetwork
import RunFiles
import SafeTensors

extension BadInput {
    /// Runs `convoy train` with a model that ends in a classifier of these layers.
    private static func graph(_ name: String, _ mentions: [String], _ layers: [String]) -> BadInput {
        let lines = (layers + ["flatten", "dense: {units: 4}"]).map { "  - \($0)\n" }.joined()
        return .model(name, mentions, "input: [1, 12, 12]\nlayers:\n\(lines)")
    }

    /// Graphs that cannot be; each is refused with the name of the layer.
    static let graphs: [BadInput] = [
        .graph(
            "reads nothing", ["(conv1)", "reads from nowhere"],
            [
                "conv2d: {filters: 2, kernel: 1, from: nowhere}"
            ]),
        .graph(
            "reads a later layer", ["(conv1)", "reads from later"],
            [
                "conv2d: {filters: 2, kernel: 1, from: later}", "relu: {name: later}",
            ]),
        .graph("reads itself", ["(loop)", "reads from loop"], ["relu: {name: loop, from: loop}"]),
        .graph(
            "a circle", ["(a)", "reads from b"],
            [
                "relu: {name: a, from: b}", "relu: {name: b, from: a}",
            ]),
        .graph(
            "two of one name", ["(twin)", "name of an earlier layer"],
            [
                "relu: {name: twin}", "relu: {name: twin}",
            ]),
        .graph(
            "shapes that do not add", ["(add1)", "[2, 10, 10]", "[1, 12, 12]"],
            [
                "conv2d: {filters: 2, kernel: 3, name: a}", "add: {from: [a, input]}",
            ]),
        .graph(
            "shapes that do not concatenate", ["(concat1)", "[2, 10, 10]", "[1, 12, 12]"],
            [
                "conv2d: {filters: 2, kernel: 3, name: a}", "concat: {from: [a, input]}",
            ]),
        .graph(
            "groups that do not divide", ["(conv2)", "4 channels and 6 filters", "gets 3"],
            [
                "conv2d: {filters: 4, kernel: 3}", "conv2d: {filters: 6, kernel: 3, groups: 3}",
            ]),
        oneValue(
            .graph(
                "one value of an image", ["(bn2)", "[2, 1, 1]", "1 record"],
                [
                    "conv2d: {filters: 2, kernel: 3}", "batch-norm",
                    "conv2d: {filters: 2, kernel: 10}", "batch-norm",
                ])),
        oneValue(
            .model(
                "one value of a row", ["(bn1)", "[5]", "group-norm"],
                "input: [1, 12, 12]\nlayers: [flatten, dense: {units: 5}, batch-norm, dense: {units: 4}]\n"
            )),
    ]

    /// Gives an input microbatches of one record.
    private static func oneValue(_ input: BadInput) -> BadInput {
        var input = input
        let arguments = input.arguments
        input.arguments = {
            try arguments($0) + ["--batch-size", "8", "--virtual-workers", "8"]
        }
        return input
    }

    /// Files for `training.init` that do not fit the sample's model, or hold no numbers.
    static let initialWeights: [BadInput] = [
        initial("init: a tensor is missing", ["conv1.bias", "found conv1.weight"]) {
            $0.filter { $0.0 != "conv1.bias" }
        },
        initial("init: a tensor has another shape", ["dense2.weight", "[4, 16]", "[16, 4]"]) {
            $0.map { $0.0 == "dense2.weight" ? ($0.0, [16, 4], $0.2) : $0 }
        },
        initial("init: a number that is none", ["dense1.bias", "element 3", "nan"]) { tensors in
            tensors.map { name, shape, values in
                var values = values
                if name == "dense1.bias" { values[3] = .nan }
                return (name, shape, values)
            }
        },
    ]

    /// Runs `convoy train` from a changed copy of a checkpoint's weights.
    private static func initial(
        _ name: String, _ mentions: [String],
        _ change: @escaping @Sendable ([(String, [Int], [Float])]) -> [(String, [Int], [Float])]
    ) -> BadInput {
        BadInput(name: name, exitCode: 65, mentions: mentions) { files in
            let file = try SafeTensorsFile.read(path: "\(files.checkpoint)/model.safetensors")
            let tensors = try file.tensors.map { ($0.name, $0.shape, try Array($0.floats())) }
            let path = "\(files.directory.path)/initial.safetensors"
            try SafeTensorsFile.write(
                path: path,
                tensors: change(tensors).map { SafeTensor(name: $0.0, shape: $0.1, floats: $0.2) })
            return files.train + ["--config", try files.config(), "--init", path]
        }
    }
}
