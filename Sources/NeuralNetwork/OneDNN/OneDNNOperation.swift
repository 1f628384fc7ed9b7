import COneDNN

/// A primitive, ready to run.
///
/// Safety: owns one handle of the C shim and keeps alive what it refers to; the objects of one
/// engine stay on its thread.
final class OneDNNOperation {
    enum Kind: String {
        case convolution
        case innerProduct = "inner product"
        case reorder
    }

    let handle: OpaquePointer
    let kind: Kind

    init(adopting handle: OpaquePointer, kind: Kind) {
        self.handle = handle
        self.kind = kind
    }

    convenience init(
        reorder source: OneDNNLayout, to destination: OneDNNLayout, _ context: OneDNNContext
    ) throws(BackendError) {
        var handle: OpaquePointer?
        try OneDNN.check(
            convoy_dnnl_reorder_create(
                &handle, context.handle, source.handle, destination.handle),
            "planning a reorder of \(source.shape)")
        self.init(adopting: handle!, kind: .reorder)
    }

    deinit { convoy_dnnl_operation_destroy(handle) }

    /// oneDNN's name of the kernel, such as "jit:avx512_core".
    var implementation: String { String(cString: convoy_dnnl_operation_implementation(handle)) }

    /// A plain loop of oneDNN's, far slower than its kernels.
    var isSlow: Bool { implementation.hasPrefix("ref") }
}
