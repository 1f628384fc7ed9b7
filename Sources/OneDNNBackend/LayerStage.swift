import NeuralNetwork

/// A node as this backend plans it. A ReLU that follows a layer with weights is part of that
/// layer's stage. Flatten has no stage, because it changes only how a shape is read.
enum LayerStage {
    case convolution(Node, hasReLU: Bool)
    case dense(Node, hasReLU: Bool)
    /// A max-pool. With `masksReLU` the stage before it ends in a ReLU, and the pool computes the
    /// gradient of that ReLU too.
    case pool(Node, masksReLU: Bool)
    case relu(Node)
    case dropout(Node, rate: Double)

    var node: Node {
        switch self {
        case .convolution(let node, _), .dense(let node, _), .pool(let node, _), .relu(let node),
            .dropout(let node, _):
            node
        }
    }

    /// Returns the stages of a network, in order.
    ///
    /// - Throws: ``BackendError`` that names the first node that this backend does not compute.
    static func list(_ network: Network) throws(BackendError) -> [LayerStage] {
        try OneDNNBackend().require(network)
        var stages: [LayerStage] = []
        for node in network.nodes {
            switch node.layer {
            case let layer as Conv2D:
                stages.append(.convolution(node, hasReLU: layer.activation == .relu))
            case let layer as Dense:
                stages.append(.dense(node, hasReLU: layer.activation == .relu))
            case is MaxPool2D:
                var masksReLU = false
                if case .convolution(_, hasReLU: true)? = stages.last { masksReLU = true }
                stages.append(.pool(node, masksReLU: masksReLU))
            case let layer as Dropout: stages.append(.dropout(node, rate: layer.rate))
            case is ReLU:
                switch stages.last {
                case .convolution(let layer, _):
                    stages[stages.count - 1] = .convolution(layer, hasReLU: true)
                case .dense(let layer, _):
                    stages[stages.count - 1] = .dense(layer, hasReLU: true)
                default: stages.append(.relu(node))
                }
            default: break
            }
        }
        return stages
    }

    /// Returns what is not computed here; nil for a node that is.
    static func problem(_ node: Node, _ network: Network) -> String? {
        if node.inputs != [node.index] { return "a layer that does not read the layer before it is" }
        if node.slots.contains(where: { network.parameters.slots[$0].isFrozen }) {
            return "a frozen layer is"
        }
        switch node.layer {
        case let layer as Conv2D:
            if layer.groups != 1 { return "a convolution in groups is" }
            if layer.window.dilation != Size2D(1) { return "a dilated convolution is" }
            return layer.hasBias ? nil : "a convolution without bias is"
        case let layer as Dense: return layer.hasBias ? nil : "a dense layer without bias is"
        case is MaxPool2D, is Flatten, is ReLU, is Dropout: return nil
        default: return "\(node.specification.kind) is"
        }
    }

    var hasParameters: Bool {
        switch self {
        case .convolution, .dense: true
        case .pool, .relu, .dropout: false
        }
    }
}
