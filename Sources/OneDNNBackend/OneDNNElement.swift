import COneDNN
import NeuralNetwork

/// The element type of a tensor.
enum OneDNNElement: Hashable {
    case float32
    case bfloat16

    var byteCount: Int { self == .float32 ? 4 : 2 }
    /// The C shim's number for the type.
    var code: convoy_dnnl_type {
        self == .float32 ? convoy_dnnl_type_float32 : convoy_dnnl_type_bfloat16
    }
}
