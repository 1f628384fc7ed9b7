import CKernels

/// What dropout masks are keyed by, for one tile.
struct OneDNNDropoutKey {
    let seed: UInt64
    let epoch: Int
    let records: UnsafePointer<UInt64>
    /// Samples in the tile; the rest of the tile is padding.
    let count: Int
}

/// Inverted dropout in place, on tensors in the order of ``DropoutMask``.
///
/// Safety: `mask` has an element for each element of the tile; the padding's stay zero or finite.
final class OneDNNDropout {
    private let mask: OneDNNBuffer
    private let elementCount: Int
    private let tileSize: Int
    private let rate: Double
    private let layerIndex: Int

    init(layerIndex: Int, rate: Double, elementCount: Int, tileSize: Int) {
        self.layerIndex = layerIndex
        self.rate = rate
        self.elementCount = elementCount
        self.tileSize = tileSize
        mask = OneDNNBuffer(byteCount: tileSize * elementCount * 4)
    }

    func fill(_ key: OneDNNDropoutKey) {
        for sample in 0..<key.count {
            DropoutMask.fill(
                mask.floats + sample * elementCount, count: elementCount, rate: rate,
                seed: key.seed, epoch: key.epoch, record: key.records[sample],
                layerIndex: layerIndex)
        }
    }

    func scale(_ tensor: OneDNNTensor) {
        let count = tileSize * elementCount
        switch tensor.layout.element {
        case .float32: convoy_scale(tensor.buffer.floats, mask.floats, count)
        case .bfloat16: convoy_scale_bf16(tensor.buffer.halves, mask.floats, count)
        }
    }
}
