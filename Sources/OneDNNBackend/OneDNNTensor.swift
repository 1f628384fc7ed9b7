import NeuralNetwork

/// The activations, weights or gradients of one tile: their bytes and their layout.
struct OneDNNTensor {
    let layout: OneDNNLayout
    let buffer: AlignedBuffer
    let memory: OneDNNMemory

    /// Creates a tensor over `buffer`, or over a new buffer.
    init(
        _ context: OneDNNContext, _ layout: OneDNNLayout, over buffer: AlignedBuffer? = nil
    ) throws(BackendError) {
        self.layout = layout
        self.buffer = buffer ?? AlignedBuffer(byteCount: layout.byteCount)
        memory = try OneDNNMemory(context, layout, self.buffer)
    }
}
