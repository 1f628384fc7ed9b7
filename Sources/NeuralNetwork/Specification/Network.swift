import CounterRandom

/// One layer with its shapes, its name and its place in the parameter vector.
public struct NetworkLayer: Sendable, Hashable {
    public let specification: LayerSpecification
    /// Its place among the layers, from 0. Dropout masks are keyed by it.
    public let index: Int
    /// "conv1", "pool1", "flatten1", "dense1", "relu1", "dropout1": kind and order.
    public let name: String
    /// [C, H, W], or [N] when flat.
    public let inputShape: [Int]
    public let outputShape: [Int]
    /// What `same` padding comes to; zeros otherwise.
    public let padding: PaddingAmounts
    /// Indices into ``ParameterLayout/slots``; nil for layers without parameters.
    public let weightSlot: Int?
    public let biasSlot: Int?

    public var inputElementCount: Int { inputShape.reduce(1, *) }
    public var outputElementCount: Int { outputShape.reduce(1, *) }
}

/// A specification with every shape worked out.
public struct Network: Sendable, Hashable {
    public let specification: ModelSpecification
    public let layers: [NetworkLayer]
    public let parameters: ParameterLayout

    /// Works out every shape.
    ///
    /// Throws: ``ModelError`` that names the layer (number, kind, name) and the shapes that do not
    /// fit.
    public init(_ specification: ModelSpecification) throws(ModelError) {
        var builder = try NetworkBuilder(specification)
        for layer in specification.layers { try builder.append(layer) }
        self.specification = specification
        layers = builder.layers
        parameters = ParameterLayout(slots: builder.slots)
    }

    /// Elements of one input image: C · H · W.
    public var inputElementCount: Int { layers[0].inputElementCount }

    /// Elements of one output: the number of classes, for a classifier.
    public var outputElementCount: Int { layers[layers.count - 1].outputElementCount }

    /// The shape of one output.
    public var outputShape: [Int] { layers[layers.count - 1].outputShape }

    /// Checks that the last layer gives one number a class. More are good too: a sample of a data
    /// set may lack some classes.
    public func requireClassifier(classCount: Int) throws(ModelError) {
        if outputShape.count == 1, outputShape[0] >= classCount { return }
        let last = layers[layers.count - 1]
        throw .layer(
            model: specification.name, number: layers.count, name: last.name,
            problem: "is the last layer and gives \(outputShape), but the data has \(classCount) "
                + "classes; end with flatten and dense: {units: \(classCount)}")
    }

    /// The flat vector a run starts from.
    ///
    /// Determinism: each tensor is a function of (seed, its slot's index), whatever the others are.
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

    /// A name for this architecture that is the same in every process: 16 hexadecimal digits of the
    /// FNV-1a hash (64 bits) of the canonical model file.
    public var fingerprint: String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in specification.yaml.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
