/// Activations, weights or gradients of one tile: bytes and how they lie.
struct OneDNNTensor {
    let layout: OneDNNLayout
    let buffer: AlignedBuffer
    let memory: OneDNNMemory

    init(
        _ context: OneDNNContext, _ layout: OneDNNLayout, over buffer: AlignedBuffer? = nil
    ) throws(BackendError) {
        self.layout = layout
        self.buffer = buffer ?? AlignedBuffer(byteCount: layout.byteCount)
        memory = try OneDNNMemory(context, layout, self.buffer)
    }
}
