import COneDNN

/// What a tensor is made of.
enum OneDNNElement: Hashable {
    case float32
    case bfloat16

    var byteCount: Int { self == .float32 ? 4 : 2 }
    var code: convoy_dnnl_type {
        self == .float32 ? convoy_dnnl_type_float32 : convoy_dnnl_type_bfloat16
    }
}
