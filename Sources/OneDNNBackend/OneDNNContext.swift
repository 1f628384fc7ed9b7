import COneDNN
import NeuralNetwork

/// The engine and the stream of oneDNN that one Convoy engine uses.
///
/// Safety: a context owns one handle of the C shim and keeps alive what the handle refers to. The
/// objects of one engine stay on its thread.
final class OneDNNContext {
    let handle: OpaquePointer

    init() throws(BackendError) {
        var handle: OpaquePointer?
        try OneDNNLibrary.check(convoy_dnnl_context_create(&handle), "starting oneDNN")
        self.handle = handle!
    }

    deinit { convoy_dnnl_context_destroy(handle) }
}
