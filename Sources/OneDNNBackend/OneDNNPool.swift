import CKernels
import NeuralNetwork

/// Max-pooling in the channel-blocked layout of its input; see `convoy_max_pool`.
///
/// Safety: `choice` has an element for each stored element of `output`.
final class OneDNNPool {
    private let input: OneDNNTensor
    private let output: OneDNNTensor
    private let choice: AlignedBuffer
    private var shape: convoy_pool_shape
    private let masksReLU: Bool

    /// Creates a pool.
    ///
    /// - Parameter masksReLU: whether the input comes from a ReLU, whose gradient the pool then
    ///   computes too.
    init(
        layer: Node, size: Size2D, stride: Size2D, input: OneDNNTensor,
        output: OneDNNTensor, masksReLU: Bool
    ) {
        self.input = input
        self.output = output
        self.masksReLU = masksReLU
        choice = AlignedBuffer(byteCount: output.layout.storedElementCount * 2)
        let block = input.layout.channelBlock!
        let (from, to) = (input.layout.paddedShape, output.layout.paddedShape)
        precondition(from[1] == to[1], "\(from[1]) stored channels into \(to[1])")
        shape = convoy_pool_shape(
            plane_count: from[0] * from[1] / block, block: block, input_height: from[2],
            input_width: from[3], output_height: to[2], output_width: to[3],
            window_height: size.height, window_width: size.width, stride_height: stride.height,
            stride_width: stride.width, padding_top: layer.padding.top,
            padding_left: layer.padding.left)
    }

    /// The bytes of the input, the output and the choices. The backward pass touches as many.
    var byteCount: Int { input.layout.byteCount + output.layout.byteCount + choice.byteCount }

    func forward() {
        let mask: Int32 = masksReLU ? 1 : 0
        switch input.layout.element {
        case .float32:
            convoy_max_pool(
                input.buffer.floats, output.buffer.floats, choice.halves, &shape, mask)
        case .bfloat16:
            convoy_max_pool_bf16(
                input.buffer.halves, output.buffer.halves, choice.halves, &shape, mask)
        }
    }

    func backward(_ outputGradient: OneDNNTensor, into inputGradient: OneDNNTensor) {
        switch outputGradient.layout.element {
        case .float32:
            convoy_max_pool_backward(
                outputGradient.buffer.floats, choice.halves, inputGradient.buffer.floats, &shape)
        case .bfloat16:
            convoy_max_pool_backward_bf16(
                outputGradient.buffer.halves, choice.halves, inputGradient.buffer.halves, &shape)
        }
    }
}
