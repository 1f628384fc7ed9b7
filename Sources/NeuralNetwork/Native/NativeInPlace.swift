import CKernels

/// A ReLU that follows neither a convolution nor a dense layer. It works in place.
final class NativeReLU: NativeStage {
    let layer: NetworkLayer
    let output: AlignedBuffer
    private(set) var inputGradient: AlignedBuffer?

    init(_ layer: NetworkLayer, input: AlignedBuffer) {
        self.layer = layer
        output = input
    }

    private var count: Int { layer.inputElementCount * AlignedBuffer.lanes }

    func forward() -> [NativeOperation] {
        [
            NativeOperation("ReLU", byteCount: 2 * output.byteCount) { [unowned self] _ in
                convoy_relu(output.floats, count)
            }
        ]
    }

    func backward(_ outputGradient: AlignedBuffer) -> [NativeOperation] {
        inputGradient = outputGradient
        return [
            NativeOperation("ReLU", byteCount: 3 * output.byteCount) { [unowned self] _ in
                convoy_relu_backward(outputGradient.floats, output.floats, count)
            }
        ]
    }
}

/// Inverted dropout in place, with the masks of ``DropoutMask``.
///
/// A layer before it that derives its ReLU's mask from its own output still finds zero where that
/// output was zero, or where the gradient is zero anyway.
final class NativeDropout: NativeStage {
    let layer: NetworkLayer
    let output: AlignedBuffer
    private(set) var inputGradient: AlignedBuffer?
    private let rate: Double
    /// The masks as rows, [8, elements]. The padding's rows stay zero or finite.
    private let rows: AlignedBuffer
    private let mask: AlignedBuffer

    init(_ layer: NetworkLayer, rate: Double, input: AlignedBuffer) {
        self.layer = layer
        self.rate = rate
        output = input
        rows = AlignedBuffer(laneCount: layer.inputElementCount)
        mask = AlignedBuffer(laneCount: layer.inputElementCount)
    }

    private var elementCount: Int { layer.inputElementCount }

    func forward() -> [NativeOperation] {
        [
            NativeOperation("dropout", byteCount: 5 * mask.byteCount) { [unowned self] tile in
                guard let key = tile.dropout else { return }
                DropoutMask.fill(
                    rows.floats, count: elementCount, rate: rate, key: key, layerIndex: layer.index)
                convoy_lanes_from_rows(rows.floats, key.count, elementCount, mask.floats)
                convoy_scale(output.floats, mask.floats, elementCount * AlignedBuffer.lanes)
            }
        ]
    }

    func backward(_ outputGradient: AlignedBuffer) -> [NativeOperation] {
        inputGradient = outputGradient
        return [
            NativeOperation("dropout", byteCount: 3 * mask.byteCount) { [unowned self] tile in
                guard tile.dropout != nil else { return }
                convoy_scale(outputGradient.floats, mask.floats, elementCount * AlignedBuffer.lanes)
            }
        ]
    }
}
