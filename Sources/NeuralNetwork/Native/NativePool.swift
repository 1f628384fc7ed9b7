import CKernels

/// Max-pooling of lane tensors, on its own or as part of a convolution's stage.
final class NativePool {
    let node: Node
    private let masksReLU: Bool
    private var shape: convoy_lane_pool
    private let choice: LaneTensor

    /// Creates a pool.
    ///
    /// - Parameters:
    ///   - node: a max-pool.
    ///   - masksReLU: whether the input comes from a ReLU, whose gradient the pool then computes
    ///     too.
    ///   - choice: memory for the choices: that of the code that computes the forward pass.
    init(_ node: Node, masksReLU: Bool, choice: LaneTensor) {
        guard let layer = node.layer as? MaxPool2D else {
            preconditionFailure("\(node.name) is not a max-pool")
        }
        self.node = node
        self.masksReLU = masksReLU
        self.choice = choice
        shape = convoy_lane_pool(node, layer.window)
    }

    private var outputPlane: Int {
        shape.output_height * shape.output_width * AlignedBuffer.lanes
    }

    /// Pools the first `count` channels of `input` into the channels of `output` from `first` on.
    func forward(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, first: Int,
        count: Int, _ tile: NativeTile
    ) {
        let start = first * outputPlane
        convoy_lanes_max_pool(
            input, output + start, choice.integers(tile) + start, count, &shape, masksReLU ? 1 : 0)
    }

    /// Computes the gradient of the input for `count` channels, from `first` on. `inputGradient`
    /// begins with channel `first`.
    func backward(
        _ outputGradient: UnsafePointer<Float>, into inputGradient: UnsafeMutablePointer<Float>,
        first: Int, count: Int, _ tile: NativeTile
    ) {
        let start = first * outputPlane
        convoy_lanes_max_pool_backward(
            outputGradient + start, choice.integers(tile) + start, inputGradient, count, &shape)
    }
}

extension convoy_lane_pool {
    /// The shapes of a pool's node.
    init(_ node: Node, _ window: MovingWindow) {
        let (from, to) = (node.inputShape, node.outputShape)
        self.init(
            input_height: from[1], input_width: from[2], output_height: to[1], output_width: to[2],
            window_height: window.size.height, window_width: window.size.width,
            stride_height: window.stride.height, stride_width: window.stride.width,
            padding_top: node.padding.top, padding_left: node.padding.left)
    }
}

/// A max-pool that does not follow a convolution.
final class NativePoolStage: NativeStage {
    private let pool: NativePool
    private let input: LaneTensor
    private let output: LaneTensor
    let changesOutputGradient = false

    var node: Node { pool.node }

    init(_ node: Node, input: LaneTensor, output: LaneTensor, memory: NativeMemory) {
        pool = NativePool(node, masksReLU: false, choice: memory.kept(node.outputElementCount))
        self.input = input
        self.output = output
    }

    private var channelCount: Int { node.inputShape[0] }

    func forward() -> [NativeOperation] {
        [
            NativeOperation("max-pool", byteCount: input.byteCount + 2 * output.byteCount) {
                [unowned self] tile in
                pool.forward(
                    input.at(tile), into: output.at(tile), first: 0, count: channelCount, tile)
            }
        ]
    }

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let outputGradient = gradients.output
        guard let inputGradient = gradients.input() else { return [] }
        return [
            NativeOperation(
                "max-pool", byteCount: inputGradient.byteCount + 2 * outputGradient.byteCount
            ) { [unowned self] tile in
                pool.backward(
                    outputGradient.at(tile), into: inputGradient.at(tile), first: 0,
                    count: channelCount, tile)
            }
        ]
    }
}

/// The mean under each window, or of each channel.
final class NativeAveragePool: NativeStage {
    let node: Node
    let changesOutputGradient = false
    private let input: LaneTensor
    private let output: LaneTensor
    /// The window; nil for the mean of each channel.
    private var shape: convoy_lane_pool?
    private let countsPadding: Int32

    init(_ node: Node, input: LaneTensor, output: LaneTensor) {
        self.node = node
        self.input = input
        self.output = output
        let layer = node.layer as? AveragePool2D
        shape = layer.map { convoy_lane_pool(node, $0.window) }
        countsPadding = layer?.countsPadding == false ? 0 : 1
    }

    private var channelCount: Int { node.inputShape[0] }
    private var positionCount: Int { node.inputElementCount / channelCount }

    func forward() -> [NativeOperation] {
        [
            NativeOperation("average-pool", byteCount: input.byteCount + output.byteCount) {
                [unowned self] tile in
                if var shape {
                    convoy_lanes_average_pool(
                        input.at(tile), output.at(tile), channelCount, &shape, countsPadding)
                } else {
                    convoy_lanes_global_average(
                        input.at(tile), output.at(tile), channelCount, positionCount)
                }
            }
        ]
    }

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let outputGradient = gradients.output
        guard let inputGradient = gradients.input() else { return [] }
        return [
            NativeOperation(
                "average-pool", byteCount: inputGradient.byteCount + outputGradient.byteCount
            ) { [unowned self] tile in
                if var shape {
                    convoy_lanes_average_pool_backward(
                        outputGradient.at(tile), inputGradient.at(tile), channelCount, &shape,
                        countsPadding)
                } else {
                    convoy_lanes_global_average_backward(
                        outputGradient.at(tile), inputGradient.at(tile), channelCount,
                        positionCount)
                }
            }
        ]
    }
}
