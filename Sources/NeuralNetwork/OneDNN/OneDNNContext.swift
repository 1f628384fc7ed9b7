import COneDNN

/// oneDNN's engine and stream.
///
/// Safety: owns one handle of the C shim and keeps alive what it refers to; the objects of one
/// engine stay on its thread.
final class OneDNNContext {
    let handle: OpaquePointer

    init() throws(BackendError) {
        var handle: OpaquePointer?
        try OneDNN.check(convoy_dnnl_context_create(&handle), "starting oneDNN")
        self.handle = handle!
    }

    deinit { convoy_dnnl_context_destroy(handle) }
}
