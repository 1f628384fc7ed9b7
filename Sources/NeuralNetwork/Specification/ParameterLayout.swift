/// The place of one tensor in the flat parameter vector.
public struct ParameterSlot: Sendable, Hashable {
    /// The two kinds of parameters.
    public enum Kind: String, Sendable, Hashable {
        /// A kernel of a convolution or a matrix of a dense layer.
        case weight
        /// The numbers that are added to a layer's sums, one for each output channel or unit.
        case bias
    }

    /// The tensor's name, for instance "conv1.weight".
    public let name: String
    /// The index of the tensor's first element in the flat vector.
    public let offset: Int
    /// The tensor's shape: [out, in, kh, kw] for the weight of a convolution, [out, in] for the
    /// weight of a dense layer, [out] for a bias.
    public let shape: [Int]
    /// The number of inputs that one output sums over: in · kh · kw.
    public let fanIn: Int
    /// The number of outputs that one input reaches with stride 1: out · kh · kw.
    public let fanOut: Int
    /// Whether the tensor is a weight or a bias.
    public let kind: Kind
    /// The distribution of the initial weights of the layer; a bias starts at zero.
    public let initializer: Initializer

    /// The number of elements of the tensor.
    public var elementCount: Int { shape.reduce(1, *) }
    /// The indices of the tensor's elements in the flat vector.
    public var range: Range<Int> { offset..<offset + elementCount }
}

/// The layout of the flat parameter vector: slots one after another without gaps, in layer order,
/// each weight before its bias.
///
/// Gradients and optimizer state have the same layout. The flat vector is the payload on the wire
/// and in a checkpoint, and the input of the hash of the weights.
public struct ParameterLayout: Sendable, Hashable {
    /// The tensors, in the order of the flat vector.
    public let slots: [ParameterSlot]
    /// For each layer with parameters, the indices of its weight and its bias in the flat vector.
    public let layers: [Range<Int>]
    /// The number of elements of the flat vector.
    public let elementCount: Int

    init(slots: [ParameterSlot]) {
        self.slots = slots
        var layers: [Range<Int>] = []
        for slot in slots {
            if slot.kind == .bias, let weight = layers.popLast() {
                layers.append(weight.lowerBound..<slot.range.upperBound)
            } else {
                layers.append(slot.range)
            }
        }
        self.layers = layers
        elementCount = slots.last?.range.upperBound ?? 0
    }

    /// Returns the slot of that name, or nil for an unknown name.
    public func slot(named name: String) -> ParameterSlot? { slots.first { $0.name == name } }
}
