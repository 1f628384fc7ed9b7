import CounterRandom

/// A node of the graph: one layer with its inputs, its shapes, its name and its tensors in the flat
/// vector.
public struct Node: Sendable, Hashable {
    /// The layer's kind and settings.
    public let specification: LayerSpecification
    /// The node's place in the model, counted from 0. It keys the dropout masks.
    public let index: Int
    /// The node's name. By default it is the kind and the number among the layers of that kind:
    /// "conv1", "pool1", "flatten1", "dense1".
    public let name: String
    /// The values that the node reads: 0 is the network's input, and i + 1 is the output of node i.
    public let inputs: [Int]
    /// The shapes of the inputs: [C, H, W], or [N] when flat.
    public let inputShapes: [[Int]]
    /// The shape of the output.
    public let outputShape: [Int]
    /// The cells that padding adds; zeros for nodes without a window.
    public let padding: PaddingAmounts
    /// The node's tensors, as indices into ``ParameterLayout/slots``.
    public let slots: [Int]

    package var layer: any Layer { specification.layer }
    /// The value that the node computes.
    package var output: Int { index + 1 }
    /// The shape of the first input.
    public var inputShape: [Int] { inputShapes[0] }
    /// The number of elements of the first input.
    public var inputElementCount: Int { inputShape.reduce(1, *) }
    /// The number of elements of the output.
    public var outputElementCount: Int { outputShape.reduce(1, *) }
}

/// A network: the nodes of a model with every shape computed and every parameter placed in the flat
/// vector.
public struct Network: Sendable, Hashable {
    /// The model that the network was made from.
    public let specification: ModelSpecification
    /// The nodes, in the order of the model; at least one. A node reads only values of nodes before
    /// it.
    public let nodes: [Node]
    /// The layout of the flat parameter vector.
    public private(set) var parameters: ParameterLayout

    /// Creates the network of a model and computes every shape.
    ///
    /// - Throws: ``ModelError`` that names the layer (number, name) and the shapes that do not fit.
    public init(_ specification: ModelSpecification) throws(ModelError) {
        var builder = try NetworkBuilder(specification)
        for layer in specification.layers { try builder.append(layer) }
        self.specification = specification
        (nodes, parameters) = try builder.finish()
    }

    /// Returns this network with its tensors in other places.
    func with(_ parameters: ParameterLayout) -> Network {
        var network = self
        network.parameters = parameters
        return network
    }

    /// The number of elements of one input image: C · H · W.
    public var inputElementCount: Int { specification.inputShape.reduce(1, *) }

    /// The number of elements of one output; for a classifier, the number of classes.
    public var outputElementCount: Int { nodes[nodes.count - 1].outputElementCount }

    /// The shape of one output.
    public var outputShape: [Int] { nodes[nodes.count - 1].outputShape }

    /// The number of nodes that read each value; the output of the network counts as one reader.
    var readerCounts: [Int] {
        var counts = [Int](repeating: 0, count: nodes.count + 1)
        for node in nodes { for value in node.inputs { counts[value] += 1 } }
        counts[nodes.count] += 1
        return counts
    }

    /// Whether each node reads only the output of the node before it.
    var isSequence: Bool { nodes.allSatisfy { $0.inputs == [$0.index] } }

    /// Returns a tensor of a node, or nil where the node has none of that kind.
    package func slot(_ kind: ParameterSlot.Kind, of node: Node) -> ParameterSlot? {
        node.slots.lazy.map { parameters.slots[$0] }.first { $0.kind == kind }
    }

    /// The number of products of a forward pass of one image, in convolutions and dense layers.
    public var multiplyAddCount: Int {
        nodes.reduce(0) { sum, node in
            guard let weight = slot(.weight, of: node) else { return sum }
            let positions = node.outputShape.dropFirst().reduce(1, *)
            return sum + weight.elementCount * positions
        }
    }

    /// Checks that the last layer gives at least one number a class.
    ///
    /// More outputs than classes are allowed, because a subset of a data set may lack some classes.
    /// - Throws: ``ModelError`` that names the last layer.
    public func requireClassifier(classCount: Int) throws(ModelError) {
        if outputShape.count == 1, outputShape[0] >= classCount { return }
        let last = nodes[nodes.count - 1]
        throw .layer(
            model: specification.name, number: nodes.count, name: last.name,
            problem: "is the last layer and gives \(outputShape), but the data has \(classCount) "
                + "classes; end with flatten and dense: {units: \(classCount)}")
    }

    /// Checks that the network gives as many outputs as its records have targets.
    ///
    /// - Throws: ``ModelError`` that names the last layer.
    public func requireOutputs(_ targetCount: Int) throws(ModelError) {
        if outputShape == [targetCount] { return }
        let last = nodes[nodes.count - 1]
        throw .layer(
            model: specification.name, number: nodes.count, name: last.name,
            problem: "is the last layer and gives \(outputShape), but the records have "
                + "\(targetCount) targets; end with flatten and dense: {units: \(targetCount)}")
    }

    /// Returns the flat vector that a run starts from: every tensor has the values of
    /// ``ParameterSlot/initial``.
    ///
    /// Determinism: each tensor is a function of (seed, index of its slot), so other tensors do not
    /// change it.
    public func initialParameters(seed: UInt64) -> [Float] {
        var values = [Float](repeating: 0, count: parameters.elementCount)
        for (index, slot) in parameters.slots.enumerated() {
            values.withUnsafeMutableBufferPointer { values in
                initialize(slot: index, seed: seed, UnsafeMutableBufferPointer(rebasing: values[slot.range]))
            }
        }
        return values
    }

    /// Writes the values that a tensor has when a run starts.
    ///
    /// - Parameters:
    ///   - index: the index of the tensor's slot.
    ///   - seed: the run's seed.
    ///   - values: receives the tensor's elements.
    public func initialize(
        slot index: Int, seed: UInt64, _ values: UnsafeMutableBufferPointer<Float>
    ) {
        let slot = parameters.slots[index]
        switch slot.initial {
        case .constant(let value): values.update(repeating: value)
        case .drawn(let initializer):
            var stream = RandomStream(seed: seed, purpose: .initialWeights, UInt64(index))
            let fan: Int
            switch initializer {
            case .glorotUniform: fan = slot.fanIn + slot.fanOut
            case .heUniform: fan = slot.fanIn
            }
            let limit = Float((6 / Double(fan)).squareRoot())
            for element in values.indices {
                values[element] = (2 * stream.nextUniform() - 1) * limit
            }
        }
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
