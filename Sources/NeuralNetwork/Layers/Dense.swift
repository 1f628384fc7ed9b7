import StrictYAML

/// A fully connected layer, with or without a bias, and with the function that follows it.
package struct Dense: Layer {
    package static let kind = "dense"
    package static let namePrefix = "dense"

    var units: Int
    package var hasBias = true
    package var activation = Activation.linear
    var initializer = Initializer.glorotUniform

    init(units: Int, hasBias: Bool, activation: Activation, initializer: Initializer) {
        self.units = units
        self.hasBias = hasBias
        self.activation = activation
        self.initializer = initializer
    }

    package init(reading settings: StrictMapping) throws(SettingsError) {
        units = try settings.integer("units", in: 1...1_048_576)
        hasBias = try settings.boolean("bias", default: true)
        activation = try settings.oneOf("activation", default: .linear)
        initializer = try settings.oneOf("initializer", default: .glorotUniform)
    }

    package var settings: [(key: String, text: String)] {
        var texts: [(key: String, text: String)] = [("units", "\(units)")]
        if !hasBias { texts.append(("bias", "false")) }
        texts.append(("activation", activation.rawValue))
        texts.append(("initializer", initializer.rawValue))
        return texts
    }

    package func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        try LayerProblem.require(units >= 1, "expects at least 1 unit, gets \(units)")
        let shape = inputs[0]
        try LayerProblem.require(
            shape.count == 1, "expects a flat input, gets \(shape); put flatten before it")
        return LayerPlan(
            output: [units],
            slots: SlotRequest.weightAndBias(
                [units, shape[0]], fanIn: shape[0], fanOut: units, initializer, hasBias: hasBias))
    }

    package func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceDense<Scalar>(self, node, parameters)
    }
}

/// A fully connected layer in plain loops.
///
/// Math: out = weight · in + bias. Shapes: in [I], weight [O, I], bias [O], out [O].
private final class ReferenceDense<Scalar: ReferenceScalar>: ReferenceOperation {
    private let inputCount: Int
    private let outputCount: Int
    private let weightOffset: Int
    private let biasOffset: Int?
    private let hasReLU: Bool

    init(_ layer: Dense, _ node: Node, _ parameters: ParameterLayout) {
        inputCount = node.inputElementCount
        outputCount = layer.units
        weightOffset = parameters.slots[node.slots[0]].offset
        biasOffset = layer.hasBias ? parameters.slots[node.slots[1]].offset : nil
        hasReLU = layer.activation == .relu
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        for record in 0..<pass.count {
            let input = pass.inputs[0] + record * inputCount
            let output = pass.output + record * outputCount
            for unit in 0..<outputCount {
                let weight = pass.parameters + weightOffset + unit * inputCount
                let bias = biasOffset.map { pass.parameters[$0 + unit] } ?? 0
                output[unit] = bias + ReferenceLoops.dot(weight, input, inputCount)
            }
            if hasReLU { ReferenceLoops.rectify(output, outputCount) }
        }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        for record in 0..<pass.count {
            let input = pass.inputs[0] + record * inputCount
            let inputGradient = pass.inputGradients[0] + record * inputCount
            inputGradient.update(repeating: 0, count: inputCount)
            for unit in 0..<outputCount {
                let place = record * outputCount + unit
                var gradient = pass.outputGradient[place]
                if hasReLU, pass.output[place] <= 0 { gradient = 0 }
                let start = weightOffset + unit * inputCount
                if let biasOffset { pass.parameterGradient[biasOffset + unit] += gradient }
                ReferenceLoops.addScaled(
                    pass.parameterGradient + start, gradient, input, inputCount)
                ReferenceLoops.addScaled(
                    inputGradient, gradient, pass.parameters + start, inputCount)
            }
        }
    }
}
