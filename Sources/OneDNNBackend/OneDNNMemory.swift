import COneDNN
import NeuralNetwork

/// A layout over bytes.
///
/// Safety: a memory owns one handle of the C shim and keeps alive what the handle refers to. The
/// objects of one engine stay on its thread.
final class OneDNNMemory {
    let handle: OpaquePointer
    let byteCount: Int
    private let buffer: AlignedBuffer?

    /// Creates a memory over the bytes of a buffer, and keeps the buffer alive.
    init(
        _ context: OneDNNContext, _ layout: OneDNNLayout, _ buffer: AlignedBuffer
    ) throws(BackendError) {
        precondition(
            buffer.byteCount >= layout.byteCount,
            "a buffer of \(buffer.byteCount) bytes for a layout of \(layout.byteCount)")
        var handle: OpaquePointer?
        try OneDNNLibrary.check(
            convoy_dnnl_memory_create(&handle, context.handle, layout.handle, buffer.bytes),
            "making a memory of shape \(layout.shape)")
        self.handle = handle!
        byteCount = layout.byteCount
        self.buffer = buffer
    }

    /// Creates a memory without bytes; ``point(at:)`` gives it some.
    init(_ context: OneDNNContext, pointing layout: OneDNNLayout) throws(BackendError) {
        precondition(layout.shape == layout.paddedShape, "a pointing memory has no padding")
        var handle: OpaquePointer?
        try OneDNNLibrary.check(
            convoy_dnnl_memory_create(&handle, context.handle, layout.handle, nil),
            "making a memory of shape \(layout.shape)")
        self.handle = handle!
        byteCount = layout.byteCount
        buffer = nil
    }

    deinit { convoy_dnnl_memory_destroy(handle) }

    /// Borrows bytes until the next call of this function.
    func point(at bytes: UnsafeMutableRawPointer) {
        let status = convoy_dnnl_memory_set_bytes(handle, bytes)
        precondition(status == 0, String(cString: convoy_dnnl_message()))
    }
}
