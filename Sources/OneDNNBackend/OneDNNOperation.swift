import COneDNN
import NeuralNetwork

/// A primitive of oneDNN that is ready to run.
///
/// Safety: an operation owns one handle of the C shim and keeps alive what the handle refers to.
/// The objects of one engine stay on its thread.
final class OneDNNOperation {
    enum Kind: String {
        case convolution
        case innerProduct = "inner product"
        case reorder
    }

    let handle: OpaquePointer
    let kind: Kind

    /// Creates an operation that owns the handle from now on.
    init(adopting handle: OpaquePointer, kind: Kind) {
        self.handle = handle
        self.kind = kind
    }

    /// Creates a reorder: a copy from one layout to another.
    convenience init(
        reorder source: OneDNNLayout, to destination: OneDNNLayout, _ context: OneDNNContext
    ) throws(BackendError) {
        var handle: OpaquePointer?
        try OneDNNLibrary.check(
            convoy_dnnl_reorder_create(
                &handle, context.handle, source.handle, destination.handle),
            "planning a reorder of \(source.shape)")
        self.init(adopting: handle!, kind: .reorder)
    }

    deinit { convoy_dnnl_operation_destroy(handle) }

    /// oneDNN's name of the kernel, such as "jit:avx512_core".
    var implementation: String { String(cString: convoy_dnnl_operation_implementation(handle)) }

    /// Whether the kernel is one of oneDNN's plain loops, which are far slower than its other
    /// kernels.
    var isSlow: Bool { implementation.hasPrefix("ref") }
}
