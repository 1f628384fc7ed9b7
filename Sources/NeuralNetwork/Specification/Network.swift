import CounterRandom

/// One layer with its shapes, its name and its slots in the flat vector.
public struct NetworkLayer: Sendable, Hashable {
    /// The layer's kind and settings.
    public let specification: LayerSpecification
    /// The layer's place in the network, counted from 0. It keys the dropout masks.
    public let index: Int
    /// The layer's kind and its number among the layers of that kind: "conv1", "pool1", "flatten1",
    /// "dense1", "relu1", "dropout1".
    public let name: String
    /// The shape of one input: [C, H, W], or [N] when flat.
    public let inputShape: [Int]
    /// The shape of one output: [C, H, W], or [N] when flat.
    public let outputShape: [Int]
    /// The cells that `same` padding adds; zeros for all other layers.
    public let padding: PaddingAmounts
    /// The weight's index in ``ParameterLayout/slots``; nil for a layer without parameters.
    public let weightSlot: Int?
    /// The bias's index in ``ParameterLayout/slots``; nil for a layer without parameters.
    public let biasSlot: Int?

    /// The number of elements of one input.
    public var inputElementCount: Int { inputShape.reduce(1, *) }
    /// The number of elements of one output.
    public var outputElementCount: Int { outputShape.reduce(1, *) }
}

/// A model with every shape computed and every parameter placed in the flat vector.
public struct Network: Sendable, Hashable {
    /// The model that the network was made from.
    public let specification: ModelSpecification
    /// The layers, from the input to the output; at least one.
    public let layers: [NetworkLayer]
    /// The layout of the flat parameter vector.
    public let parameters: ParameterLayout

    /// Creates the network of a model and computes every shape.
    ///
    /// - Throws: ``ModelError`` that names the layer (number, kind, name) and the shapes that do
    ///   not fit.
    public init(_ specification: ModelSpecification) throws(ModelError) {
        var builder = try NetworkBuilder(specification)
        for layer in specification.layers { try builder.append(layer) }
        self.specification = specification
        layers = builder.layers
        parameters = ParameterLayout(slots: builder.slots)
    }

    /// The number of elements of one input image: C · H · W.
    public var inputElementCount: Int { layers[0].inputElementCount }

    /// The number of elements of one output; for a classifier, the number of classes.
    public var outputElementCount: Int { layers[layers.count - 1].outputElementCount }

    /// The shape of one output.
    public var outputShape: [Int] { layers[layers.count - 1].outputShape }

    /// Checks that the last layer gives at least one number a class.
    ///
    /// More outputs than classes are allowed, because a subset of a data set may lack some classes.
    /// - Throws: ``ModelError`` that names the last layer.
    public func requireClassifier(classCount: Int) throws(ModelError) {
        if outputShape.count == 1, outputShape[0] >= classCount { return }
        let last = layers[layers.count - 1]
        throw .layer(
            model: specification.name, number: layers.count, name: last.name,
            problem: "is the last layer and gives \(outputShape), but the data has \(classCount) "
                + "classes; end with flatten and dense: {units: \(classCount)}")
    }

    /// Returns the flat vector that a run starts from.
    ///
    /// Weights are drawn by their slot's ``ParameterSlot/initializer``; biases are zero.
    /// Determinism: each tensor is a function of (seed, index of its slot), so other tensors do not
    /// change it.
    public func initialParameters(seed: UInt64) -> [Float] {
        var values = [Float](repeating: 0, count: parameters.elementCount)
        for (index, slot) in parameters.slots.enumerated() where slot.kind == .weight {
            var stream = RandomStream(seed: seed, purpose: .initialWeights, UInt64(index))
            let fan = slot.initializer == .glorotUniform ? slot.fanIn + slot.fanOut : slot.fanIn
            let limit = Float((6 / Double(fan)).squareRoot())
            for element in slot.range { values[element] = (2 * stream.nextUniform() - 1) * limit }
        }
        return values
    }

    /// An identifier of this architecture that is the same in every process: the FNV-1a hash (64
    /// bits) of the canonical model file, as 16 hexadecimal digits.
    public var fingerprint: String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in specification.yaml.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
