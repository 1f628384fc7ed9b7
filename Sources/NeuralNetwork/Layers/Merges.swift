import StrictYAML

/// The sum of two or more values of one shape.
struct Add: Layer {
    static let kind = "add"
    static let namePrefix = "add"
    static let inputCounts = 2...64

    init() {}

    init(reading settings: StrictMapping) throws(SettingsError) {}

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        for shape in inputs {
            try LayerProblem.require(
                shape == inputs[0], "expects inputs of one shape, gets \(inputs[0]) and \(shape)")
        }
        return LayerPlan(output: inputs[0])
    }

    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceAdd<Scalar>(node)
    }
}

private final class ReferenceAdd<Scalar: ReferenceScalar>: ReferenceOperation {
    private let count: Int

    init(_ node: Node) { count = node.outputElementCount }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        let count = count * pass.count
        pass.output.update(from: pass.inputs[0], count: count)
        for input in pass.inputs.dropFirst() {
            for i in 0..<count { pass.output[i] += input[i] }
        }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        for gradient in pass.inputGradients {
            gradient.update(from: pass.outputGradient, count: count * pass.count)
        }
    }
}

/// The product of two values: of one shape, or an image by a factor for each channel.
struct Multiply: Layer {
    static let kind = "multiply"
    static let namePrefix = "multiply"
    static let inputCounts = 2...2

    init() {}

    init(reading settings: StrictMapping) throws(SettingsError) {}

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        let (shape, gate) = (inputs[0], inputs[1])
        let isGated = gate == [shape[0]] || gate == [shape[0], 1, 1]
        try LayerProblem.require(
            gate == shape || isGated,
            "expects a second input of \(shape), or a factor for each channel [\(shape[0])], gets "
                + "\(gate)")
        return LayerPlan(output: shape)
    }

    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceMultiply<Scalar>(node)
    }
}

private final class ReferenceMultiply<Scalar: ReferenceScalar>: ReferenceOperation {
    private let gateCount: Int
    /// The number of elements that share a factor.
    private let positions: Int

    init(_ node: Node) {
        gateCount = node.inputShapes[1].reduce(1, *)
        positions = node.outputElementCount / gateCount
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        for i in 0..<gateCount * positions * pass.count {
            pass.output[i] = pass.inputs[0][i] * pass.inputs[1][i / positions]
        }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        for gate in 0..<gateCount * pass.count {
            var sum: Scalar = 0
            for i in gate * positions..<(gate + 1) * positions {
                pass.inputGradients[0][i] = pass.outputGradient[i] * pass.inputs[1][gate]
                sum += pass.outputGradient[i] * pass.inputs[0][i]
            }
            pass.inputGradients[1][gate] = sum
        }
    }
}

/// The channels of two or more values, one after another.
struct Concat: Layer {
    static let kind = "concat"
    static let namePrefix = "concat"
    static let inputCounts = 2...64

    init() {}

    init(reading settings: StrictMapping) throws(SettingsError) {}

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        let rest = Array(inputs[0].dropFirst())
        for shape in inputs {
            try LayerProblem.require(
                Array(shape.dropFirst()) == rest,
                "expects inputs that differ in their channels alone, gets \(inputs[0]) and "
                    + "\(shape)")
        }
        return LayerPlan(output: [inputs.reduce(0) { $0 + $1[0] }] + rest)
    }

    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceConcat<Scalar>(node.inputShapes.map { $0.reduce(1, *) })
    }
}

private final class ReferenceConcat<Scalar: ReferenceScalar>: ReferenceOperation {
    private let counts: [Int]

    init(_ counts: [Int]) { self.counts = counts }

    /// Calls `body` with the number of each input and, for each record, the place of its elements
    /// in the input and in the output.
    private func forEachPart(_ recordCount: Int, _ body: (Int, Int, Int) -> Void) {
        let whole = counts.reduce(0, +)
        for record in 0..<recordCount {
            var place = record * whole
            for (input, count) in counts.enumerated() {
                body(input, record * count, place)
                place += count
            }
        }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        forEachPart(pass.count) { input, from, to in
            (pass.output + to).update(from: pass.inputs[input] + from, count: counts[input])
        }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        forEachPart(pass.count) { input, to, from in
            (pass.inputGradients[input] + to)
                .update(from: pass.outputGradient + from, count: counts[input])
        }
    }
}

/// Channels of zeros before and after those of the input.
///
/// After a pool with windows of one cell and stride 2 it makes the shortcut A of He et al., CVPR
/// 2016.
struct PadChannels: Layer {
    static let kind = "pad-channels"
    static let namePrefix = "pad"

    var before: Int
    var after: Int

    init(before: Int, after: Int) {
        self.before = before
        self.after = after
    }

    init(reading settings: StrictMapping) throws(SettingsError) {
        before = try settings.integer("before", in: 0...65536, default: 0)
        after = try settings.integer("after", in: 0...65536, default: 0)
    }

    var settings: [(key: String, text: String)] {
        [("before", "\(before)"), ("after", "\(after)")]
    }

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        let (channels, height, width) = try LayerProblem.image(inputs[0])
        try LayerProblem.require(
            (0...65536).contains(before) && (0...65536).contains(after),
            "expects from 0 to 65536 channels on each side, gets \(before) and \(after)")
        return LayerPlan(output: [before + channels + after, height, width])
    }

    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferencePadChannels<Scalar>(node, before: before)
    }
}

private final class ReferencePadChannels<Scalar: ReferenceScalar>: ReferenceOperation {
    private let inputCount: Int
    private let outputCount: Int
    private let start: Int

    init(_ node: Node, before: Int) {
        inputCount = node.inputElementCount
        outputCount = node.outputElementCount
        start = before * (node.inputElementCount / node.inputShape[0])
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        pass.output.update(repeating: 0, count: outputCount * pass.count)
        for record in 0..<pass.count {
            (pass.output + record * outputCount + start)
                .update(from: pass.inputs[0] + record * inputCount, count: inputCount)
        }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        for record in 0..<pass.count {
            (pass.inputGradients[0] + record * inputCount)
                .update(
                    from: pass.outputGradient + record * outputCount + start, count: inputCount)
        }
    }
}
