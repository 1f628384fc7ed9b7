import CKernels

/// A 3 × 3 convolution with stride 1, computed by Winograd's minimal filtering.
///
/// It works on a block of tiles of 2 × 2 outputs at a time, so that the values of a block stay in
/// the second-level cache. A max-pool of 2 × 2 with stride 2 has these tiles as its windows and is
/// computed with them; outputs that such a pool leaves out are never computed. Source: see
/// winograd_kernels.h.
final class NativeWinograd {
    /// The largest number of tiles in a block.
    private static let widestBlock = Int(CONVOY_WINOGRAD_TILES)
    /// The smallest number of tiles for which this is used. Below it the maps cost more than the
    /// products that they save.
    private static let fewestTiles = 4

    /// The places of the maxima, where the pool is computed with the convolution; nil without a
    /// pool.
    let choice: LaneTensor?
    /// Whether the backward pass is computed here too. That needs a multiple of eight input
    /// channels, since eight channels are one of its vectors.
    let hasBackward: Bool
    private var shape: convoy_winograd_shape
    private let hasReLU: Bool
    /// The first tile and the number of tiles of each block.
    private let blocks: [(first: Int, count: Int)]
    private let weights: AlignedBuffer
    private let transposedWeights: AlignedBuffer?
    private let inputPoints: AlignedBuffer
    private let outputPoints: AlignedBuffer
    private let inputGradientPoints: AlignedBuffer?
    /// The gradient of the weights at the points, summed over the tiles of a microbatch.
    private let weightGradientPoints: AlignedBuffer?

    /// Creates the computation, or returns nil where the direct way is faster or the only one.
    init?(
        window: LaneWindow, channels: Int, outputs: Int, hasReLU: Bool, pool: Node?,
        wantsInputGradient: Bool, isTrained: Bool,
        memory: NativeMemory
    ) {
        guard window.kernel == Size2D(3), window.stride == Size2D(1), window.dilation == Size2D(1)
        else { return nil }
        var tiles = Size2D(
            height: (window.output.height + 1) / 2, width: (window.output.width + 1) / 2)
        if let pool {
            guard let moving = (pool.layer as? MaxPool2D)?.window,
                moving.size == Size2D(2), moving.stride == Size2D(2), pool.padding == .none
            else { return nil }
            tiles = Size2D(height: pool.outputShape[1], width: pool.outputShape[2])
        }
        let tileCount = tiles.height * tiles.width
        guard tileCount >= Self.fewestTiles else { return nil }
        shape = convoy_winograd_shape(
            channels: channels, outputs: outputs, input_height: window.input.height,
            input_width: window.input.width, output_height: window.output.height,
            output_width: window.output.width, tile_rows: tiles.height, tile_columns: tiles.width)
        self.hasReLU = hasReLU
        hasBackward = channels % AlignedBuffer.lanes == 0
        let blockCount = (tileCount + Self.widestBlock - 1) / Self.widestBlock
        let starts = (0...blockCount).map { $0 * tileCount / blockCount }
        blocks = zip(starts, starts.dropFirst()).map { (first: $0, count: $1 - $0) }
        let widest = blocks.map(\.count).max() ?? 1
        choice = pool == nil ? nil : memory.kept(outputs * tileCount)
        func points(_ point: Int) -> AlignedBuffer {
            memory.buffer(
                byteCount: Int(CONVOY_WINOGRAD_POINTS) * point * MemoryLayout<Float>.size)
        }
        func tilePoints(_ channels: Int) -> AlignedBuffer {
            points(convoy_winograd_point(channels * widest * AlignedBuffer.lanes))
        }
        weights = points(convoy_winograd_packed_point(outputs, channels))
        inputPoints = tilePoints(channels)
        outputPoints = tilePoints(outputs)
        weightGradientPoints =
            hasBackward && isTrained ? points(convoy_winograd_point(outputs * channels)) : nil
        let hasTransposed = hasBackward && wantsInputGradient
        transposedWeights =
            hasTransposed ? points(convoy_winograd_packed_point(channels, outputs)) : nil
        inputGradientPoints = hasTransposed ? tilePoints(channels) : nil
    }

    /// The bytes that one tile of images moves, without those of the input and the output.
    var byteCount: Int {
        weights.byteCount + 2 * blocks.count * (inputPoints.byteCount + outputPoints.byteCount)
    }

    /// Takes the weights.
    ///
    /// - Parameter kernels: [outputs, channels, 3, 3].
    func load(_ kernels: UnsafePointer<Float>) {
        convoy_winograd_pack(
            kernels, shape.outputs, shape.channels, weights.floats, transposedWeights?.floats)
    }

    /// Calls `body` with the number of each point.
    private func forEachPoint(_ body: (Int) -> Void) {
        for point in 0..<Int(CONVOY_WINOGRAD_POINTS) { body(point) }
    }

    /// Multiplies, at each point, `height` rows of weights by a block of tiles.
    private func multiply(
        _ weights: AlignedBuffer, _ from: AlignedBuffer, height: Int, depth: Int, width: Int,
        to target: AlignedBuffer
    ) {
        let weightPoint = convoy_winograd_packed_point(height, depth)
        let fromPoint = convoy_winograd_point(depth * width * AlignedBuffer.lanes)
        let toPoint = convoy_winograd_point(height * width * AlignedBuffer.lanes)
        forEachPoint { point in
            convoy_winograd_multiply(
                weights.floats + point * weightPoint, from.floats + point * fromPoint, height,
                depth, width, target.floats + point * toPoint)
        }
    }

    /// Computes the convolution, the ReLU and the pool of one tile of images.
    ///
    /// - Parameters:
    ///   - input: the padded images, in lanes.
    ///   - bias: [outputs].
    ///   - output: receives the outputs, pooled where the pool is computed here.
    ///   - tile: the pass.
    func forward(
        _ input: UnsafePointer<Float>, bias: AlignedBuffer, into output: UnsafeMutablePointer<Float>,
        _ tile: NativeTile
    ) {
        for (first, count) in blocks {
            convoy_winograd_input(input, &shape, first, count, inputPoints.floats)
            multiply(
                weights, inputPoints, height: shape.outputs, depth: shape.channels, width: count,
                to: outputPoints)
            if let choice {
                convoy_winograd_output_pooled(
                    outputPoints.floats, bias.floats, &shape, first, count, hasReLU ? 1 : 0,
                    output, choice.integers(tile))
            } else {
                convoy_winograd_output(
                    outputPoints.floats, bias.floats, &shape, first, count, hasReLU ? 1 : 0, output)
            }
        }
    }

    /// Computes the gradients of one tile of images.
    ///
    /// - Parameters:
    ///   - input: the padded images, in lanes.
    ///   - outputGradient: the gradient of the convolution's output with the ReLU's mask applied,
    ///     or of the pool's output where the pool is computed here.
    ///   - tile: says when sums start and when they are written.
    ///   - weightGradient: [outputs, channels, 3, 3], written with the last tile of a microbatch.
    ///     Neither it nor the bias's is written where nothing of the node is trained.
    ///   - biasGradient: [outputs].
    ///   - inputGradient: overwritten with the gradient of the padded input; nil where it is not
    ///     wanted.
    func backward(
        _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>, _ tile: NativeTile,
        weightGradient: UnsafeMutablePointer<Float>, biasGradient: UnsafeMutablePointer<Float>,
        inputGradient: UnsafeMutablePointer<Float>?
    ) {
        guard hasBackward else { return }
        inputGradient?.update(
            repeating: 0,
            count: shape.channels * shape.input_height * shape.input_width * AlignedBuffer.lanes)
        for (first, count) in blocks {
            if let choice {
                convoy_winograd_pooled_gradient(
                    outputGradient, choice.integers(tile), &shape, first, count,
                    outputPoints.floats)
            } else {
                convoy_winograd_output_gradient(
                    outputGradient, &shape, first, count, outputPoints.floats)
            }
            let adds: Int32 = tile.isFirst && first == 0 ? 0 : 1
            if let sums = weightGradientPoints {
                addWeightGradient(input, first: first, count: count, adds: adds, to: sums)
                // The sum of a tile's gradients lies at the sixth point.
                let gradientPoint = convoy_winograd_point(
                    shape.outputs * count * AlignedBuffer.lanes)
                convoy_lanes_bias_gradient(
                    outputPoints.floats + 5 * gradientPoint, shape.outputs, count, biasGradient,
                    adds)
            }
            if let inputGradient, let transposedWeights, let inputGradientPoints {
                multiply(
                    transposedWeights, outputPoints, height: shape.channels, depth: shape.outputs,
                    width: count, to: inputGradientPoints)
                convoy_winograd_input_gradient(
                    inputGradientPoints.floats, &shape, first, count, inputGradient)
            }
        }
        if tile.isLast, let sums = weightGradientPoints {
            convoy_winograd_unpack_gradient(
                sums.floats, shape.outputs * shape.channels, weightGradient)
        }
    }

    private func addWeightGradient(
        _ input: UnsafePointer<Float>, first: Int, count: Int, adds: Int32, to sums: AlignedBuffer
    ) {
        convoy_winograd_input_by_image(input, &shape, first, count, inputPoints.floats)
        let depth = count * AlignedBuffer.lanes
        let gradientPoint = convoy_winograd_point(shape.outputs * depth)
        let inputPoint = convoy_winograd_point(shape.channels * depth)
        let sumPoint = convoy_winograd_point(shape.outputs * shape.channels)
        forEachPoint { point in
            convoy_winograd_multiply_gradient(
                outputPoints.floats + point * gradientPoint,
                inputPoints.floats + point * inputPoint, shape.outputs, shape.channels, depth,
                sums.floats + point * sumPoint, adds)
        }
    }
}
