/// One tensor's place in the flat parameter vector.
public struct ParameterSlot: Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable {
        case weight
        case bias
    }

    /// For instance "conv1.weight".
    public let name: String
    /// Where the tensor starts, in elements.
    public let offset: Int
    /// conv weight [out, in, kh, kw], dense weight [out, in], bias [out].
    public let shape: [Int]
    /// Inputs that one output sums over: in · kh · kw.
    public let fanIn: Int
    /// Outputs that one input reaches, without strides: out · kh · kw.
    public let fanOut: Int
    public let kind: Kind
    public let initializer: Initializer

    public var elementCount: Int { shape.reduce(1, *) }
    /// The tensor's elements in the flat vector.
    public var range: Range<Int> { offset..<offset + elementCount }
}

/// The flat parameter vector: slots one after another, without gaps, in layer order, weight then
/// bias.
///
/// Gradients and optimizer state have the same layout. It is the payload on the wire and in a
/// checkpoint, and what is hashed.
public struct ParameterLayout: Sendable, Hashable {
    public let slots: [ParameterSlot]
    /// What each layer that has parameters takes up, in elements: weight and bias.
    public let layers: [Range<Int>]
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

    /// The slot of that name.
    public func slot(named name: String) -> ParameterSlot? { slots.first { $0.name == name } }
}
