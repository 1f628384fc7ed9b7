import CKernels

/// Max-pooling of lane tensors, on its own or as part of a convolution's stage.
final class NativePool {
    let layer: NetworkLayer
    private let masksReLU: Bool
    private var shape: convoy_lane_pool
    private let choice: AlignedBuffer

    /// Creates a pool.
    ///
    /// - Parameters:
    ///   - layer: a max-pool layer.
    ///   - masksReLU: whether the input comes from a ReLU, whose gradient the pool then computes
    ///     too.
    ///   - choice: the buffer of choices of the code that computes the forward pass; nil where this
    ///     pool computes it.
    init(_ layer: NetworkLayer, masksReLU: Bool, choice: AlignedBuffer? = nil) {
        guard case .maxPool2D(let size, let stride, _) = layer.specification else {
            preconditionFailure("\(layer.name) is not a pool")
        }
        self.layer = layer
        self.masksReLU = masksReLU
        let (from, to) = (layer.inputShape, layer.outputShape)
        shape = convoy_lane_pool(
            input_height: from[1], input_width: from[2], output_height: to[1], output_width: to[2],
            window_height: size.height, window_width: size.width, stride_height: stride.height,
            stride_width: stride.width, padding_top: layer.padding.top,
            padding_left: layer.padding.left)
        self.choice = choice ?? AlignedBuffer(laneCount: layer.outputElementCount)
    }

    private var outputPlane: Int {
        shape.output_height * shape.output_width * AlignedBuffer.lanes
    }

    /// Pools the first `count` channels of `input` into the channels of `output` from `first` on.
    func forward(_ input: AlignedBuffer, into output: AlignedBuffer, first: Int, count: Int) {
        let start = first * outputPlane
        convoy_lanes_max_pool(
            input.floats, output.floats + start, choice.integers + start, count, &shape,
            masksReLU ? 1 : 0)
    }

    /// Computes the gradient of the input for `count` channels, from `first` on. `inputGradient`
    /// begins with channel `first`.
    func backward(
        _ outputGradient: AlignedBuffer, into inputGradient: UnsafeMutablePointer<Float>,
        first: Int, count: Int
    ) {
        let start = first * outputPlane
        convoy_lanes_max_pool_backward(
            outputGradient.floats + start, choice.integers + start, inputGradient, count, &shape)
    }
}

/// A max-pool that does not follow a convolution.
final class NativePoolStage: NativeStage {
    let output: AlignedBuffer
    let inputGradient: AlignedBuffer?
    private let pool: NativePool
    private let input: AlignedBuffer

    var layer: NetworkLayer { pool.layer }

    init(_ layer: NetworkLayer, input: AlignedBuffer, wantsInputGradient: Bool) {
        pool = NativePool(layer, masksReLU: false)
        self.input = input
        output = AlignedBuffer(laneCount: layer.outputElementCount)
        inputGradient =
            wantsInputGradient ? AlignedBuffer(laneCount: layer.inputElementCount) : nil
    }

    private var channelCount: Int { layer.inputShape[0] }

    func forward() -> [NativeOperation] {
        [
            NativeOperation("max-pool", byteCount: input.byteCount + 2 * output.byteCount) {
                [unowned self] _ in
                pool.forward(input, into: output, first: 0, count: channelCount)
            }
        ]
    }

    func backward(_ outputGradient: AlignedBuffer) -> [NativeOperation] {
        guard let inputGradient else { return [] }
        return [
            NativeOperation(
                "max-pool", byteCount: inputGradient.byteCount + 2 * outputGradient.byteCount
            ) { [unowned self] _ in
                pool.backward(
                    outputGradient, into: inputGradient.floats, first: 0, count: channelCount)
            }
        ]
    }
}
