import COneDNN
import NeuralNetwork

/// The role of a tensor that an operation reads or writes.
enum OneDNNArgument {
    case source, destination, weights, bias
    case sourceGradient, destinationGradient, weightsGradient, biasGradient
    case scratchpad

    /// The C shim's number for the role.
    var code: convoy_dnnl_argument {
        switch self {
        case .source: convoy_dnnl_argument_source
        case .destination: convoy_dnnl_argument_destination
        case .weights: convoy_dnnl_argument_weights
        case .bias: convoy_dnnl_argument_bias
        case .sourceGradient: convoy_dnnl_argument_source_gradient
        case .destinationGradient: convoy_dnnl_argument_destination_gradient
        case .weightsGradient: convoy_dnnl_argument_weights_gradient
        case .biasGradient: convoy_dnnl_argument_bias_gradient
        case .scratchpad: convoy_dnnl_argument_scratchpad
        }
    }
}
