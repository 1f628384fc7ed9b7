/// The values that a tensor has when a run starts.
public enum InitialValue: Sendable, Hashable {
    /// Every element has this value.
    case constant(Float)
    /// The elements are drawn from a distribution.
    case drawn(Initializer)
}

/// The distribution of a layer's initial weights.
public enum Initializer: String, Sendable, Hashable, CaseIterable {
    /// Uniform in ±√(6 / (fanIn + fanOut)). Glorot and Bengio, AISTATS 2010, formula 16; the
    /// default of Keras.
    case glorotUniform = "glorot-uniform"
    /// Uniform in ±√(6 / fanIn). He, Zhang, Ren, Sun, ICCV 2015, formula 10, for a uniform
    /// distribution.
    case heUniform = "he-uniform"
}

/// The place of one tensor in the flat parameter vector.
public struct ParameterSlot: Sendable, Hashable {
    /// The kinds of tensors.
    public enum Kind: String, Sendable, Hashable {
        /// A kernel of a convolution or a matrix of a dense layer.
        case weight
        /// The numbers that are added to a layer's sums, one for each output channel or unit.
        case bias
        /// The factors of a normalisation.
        case scale
        /// The numbers that a normalisation adds.
        case shift
        /// The running mean of a batch normalisation.
        case mean
        /// The running variance of a batch normalisation.
        case variance

        /// Whether such a tensor is the running value of a statistic.
        var isStatistic: Bool { self == .mean || self == .variance }
    }

    /// The way in which a tensor changes during a run.
    public enum Role: String, Sendable, Hashable {
        /// The optimizer updates the tensor by its gradient.
        case trained
        /// The tensor is the running value of a statistic of the microbatches. Its place in a
        /// gradient holds the statistic of these records times their number.
        case statistic
        /// The tensor stays as it is. It has no gradient.
        case frozen
    }

    /// The tensor's name, for instance "conv1.weight".
    public let name: String
    /// The index of the tensor's first element in the flat vector.
    public internal(set) var offset: Int
    /// The tensor's shape: [out, in / groups, kh, kw] for the weight of a convolution, without kh
    /// for one of series; [out, in] for the weight of a dense layer; [channels] for a bias, a
    /// scale, a shift and a statistic; the shape of the input for scale and shift of a layer
    /// normalisation.
    public let shape: [Int]
    /// The number of inputs that one output sums over; 0 for a tensor without such a number.
    public let fanIn: Int
    /// The number of outputs that one input reaches with stride 1, counted without groups; 0 for a
    /// tensor without such a number.
    public let fanOut: Int
    /// What the tensor is for.
    public let kind: Kind
    /// The values at the start of a run.
    public let initial: InitialValue
    /// For a statistic, the share of the new value in the running one; 0 for other tensors.
    public let momentum: Double
    /// Whether the tensor stays as it is in this run.
    public internal(set) var isFrozen = false

    /// The way in which the tensor changes.
    public var role: Role { isFrozen ? .frozen : kind.isStatistic ? .statistic : .trained }
    /// The number of elements of the tensor.
    public var elementCount: Int { shape.reduce(1, *) }
    /// The indices of the tensor's elements in the flat vector.
    public var range: Range<Int> { offset..<offset + elementCount }
}

/// The layout of the flat parameter vector: slots one after another without gaps.
///
/// The trained tensors come first, in the order of the nodes. The statistics of all nodes follow,
/// and then everything that is frozen. Gradients and optimizer state have the same layout. The
/// *active* elements are those before the frozen ones: they are the payload on the wire.
public struct ParameterLayout: Sendable, Hashable {
    /// The tensors: first those with a gradient or frozen ones of their kinds, in the order of the
    /// nodes, then the statistics. What is frozen does not change this order, only the offsets.
    /// Checkpoints and the hash of the weights have this order.
    public let slots: [ParameterSlot]
    /// For each node with trained tensors, their indices in the flat vector; then, if there are any,
    /// the indices of all statistics, and those of everything that is frozen.
    public let layers: [Range<Int>]
    /// The indices of the statistics in the flat vector; an empty range before the frozen elements
    /// where there are none.
    public let statistics: Range<Int>
    /// The indices of the frozen elements; an empty range at the end where there are none.
    public let frozen: Range<Int>

    /// Places tensors in the flat vector.
    ///
    /// - Parameters:
    ///   - slots: the tensors, with any offsets.
    ///   - nodes: the indices of each node's slots.
    init(slots: [ParameterSlot], nodes: [[Int]]) {
        var placed = slots
        var end = 0
        func place(_ indices: [Int], _ role: ParameterSlot.Role) -> Range<Int> {
            let start = end
            for index in indices where placed[index].role == role {
                placed[index].offset = end
                end += placed[index].elementCount
            }
            return start..<end
        }
        let trained = nodes.map { place($0, .trained) }
        statistics = place(Array(slots.indices), .statistic)
        frozen = place(Array(slots.indices), .frozen)
        self.slots = placed
        layers = (trained + [statistics, frozen]).filter { !$0.isEmpty }
    }

    /// The number of elements of the flat vector.
    public var elementCount: Int { frozen.upperBound }
    /// The number of elements that change, which come first in the flat vector.
    public var activeCount: Int { frozen.lowerBound }

    /// The tensors' places in the flat vector, in the order of the slots; nil where that is the order
    /// of the vector.
    public var order: [Range<Int>]? { frozen.isEmpty ? nil : slots.map(\.range) }

    /// The indices of ``layers`` without that of the frozen elements.
    public var activeLayers: Range<Int> { 0..<layers.count - (frozen.isEmpty ? 0 : 1) }

    /// Returns the slot of that name, or nil for an unknown name.
    public func slot(named name: String) -> ParameterSlot? { slots.first { $0.name == name } }
}
