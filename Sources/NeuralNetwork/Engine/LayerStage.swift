/// A layer as an engine plans it. A ReLU that follows a layer with weights is part of that layer's
/// stage. Flatten has no stage, because it changes only how a shape is read.
enum LayerStage {
    case convolution(NetworkLayer, hasReLU: Bool)
    case dense(NetworkLayer, hasReLU: Bool)
    /// A max-pool. With `masksReLU` the stage before it ends in a ReLU, and the pool computes the
    /// gradient of that ReLU too.
    case pool(NetworkLayer, masksReLU: Bool)
    case relu(NetworkLayer)
    case dropout(NetworkLayer, rate: Double)

    var layer: NetworkLayer {
        switch self {
        case .convolution(let layer, _), .dense(let layer, _), .pool(let layer, _),
            .relu(let layer), .dropout(let layer, _):
            layer
        }
    }

    /// Returns the stages of a network, in order.
    static func list(_ network: Network) -> [LayerStage] {
        var stages: [LayerStage] = []
        for layer in network.layers {
            switch layer.specification {
            case .conv2D(_, _, _, _, let activation, _):
                stages.append(.convolution(layer, hasReLU: activation == .relu))
            case .dense(_, let activation, _):
                stages.append(.dense(layer, hasReLU: activation == .relu))
            case .maxPool2D:
                var masksReLU = false
                if case .convolution(_, hasReLU: true)? = stages.last { masksReLU = true }
                stages.append(.pool(layer, masksReLU: masksReLU))
            case .flatten: break
            case .relu:
                switch stages.last {
                case .convolution(let layer, _):
                    stages[stages.count - 1] = .convolution(layer, hasReLU: true)
                case .dense(let layer, _):
                    stages[stages.count - 1] = .dense(layer, hasReLU: true)
                default: stages.append(.relu(layer))
                }
            case .dropout(let rate): stages.append(.dropout(layer, rate: rate))
            }
        }
        return stages
    }

    var hasParameters: Bool {
        switch self {
        case .convolution, .dense: true
        case .pool, .relu, .dropout: false
        }
    }
}
