import CKernels
import NeuralNetwork

/// Inverted dropout in place, on tensors in the element order of ``DropoutMask``.
///
/// Safety: `mask` has an element for each element of the tile. The padding's elements stay zero or
/// finite.
final class OneDNNDropout {
    private let mask: AlignedBuffer
    private let elementCount: Int
    private let tileSize: Int
    private let rate: Double
    private let layerIndex: Int

    init(layerIndex: Int, rate: Double, elementCount: Int, tileSize: Int) {
        self.layerIndex = layerIndex
        self.rate = rate
        self.elementCount = elementCount
        self.tileSize = tileSize
        mask = AlignedBuffer(byteCount: tileSize * elementCount * 4)
    }

    /// Draws the masks of a tile's records.
    func fill(_ key: DropoutKey) {
        DropoutMask.fill(
            mask.floats, count: elementCount, rate: rate, key: key, layerIndex: layerIndex)
    }

    /// Multiplies a tile's elements by their masks.
    func scale(_ tensor: OneDNNTensor) {
        let count = tileSize * elementCount
        switch tensor.layout.element {
        case .float32: convoy_scale(tensor.buffer.floats, mask.floats, count)
        case .bfloat16: convoy_scale_bf16(tensor.buffer.halves, mask.floats, count)
        }
    }
}
