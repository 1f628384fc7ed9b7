import CKernels

/// A 3 × 3 convolution with stride 1, computed by Winograd's minimal filtering.
///
/// It works on a block of tiles of 2 × 2 outputs at a time, so that the values of a block stay in
/// the second-level cache. Where the weights are wider than that cache, it works on several blocks,
/// also of several tiles of images, point by point: the weights of a point then serve all of them.
/// A max-pool of 2 × 2 with stride 2 has these tiles as its windows and is computed with them;
/// outputs that such a pool leaves out are never computed. Source: see winograd_kernels.h.
final class NativeWinograd {
    /// The largest number of tiles in a block.
    private static let widestBlock = Int(CONVOY_WINOGRAD_TILES)
    /// The smallest number of tiles for which this is used. Below it the maps cost more than the
    /// products that they save.
    private static let fewestTiles = 4
    /// The number of blocks that are computed together where the weights are wide.
    private static let blocksTogether = 8

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
    /// The number of blocks that are computed together.
    private let batchSize: Int
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
        wantsInputGradient: Bool, isTrained: Bool, isWide: Bool, memory: NativeMemory
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
        batchSize =
            isWide ? min(Self.blocksTogether, NativeMemory.groupSize * blocks.count) : 1
        let batchSize = batchSize
        choice = pool == nil ? nil : memory.kept(outputs * tileCount)
        func points(_ point: Int) -> AlignedBuffer {
            memory.buffer(
                byteCount: Int(CONVOY_WINOGRAD_POINTS) * point * MemoryLayout<Float>.size)
        }
        func tilePoints(_ channels: Int) -> AlignedBuffer {
            points(batchSize * convoy_winograd_point(channels * widest * AlignedBuffer.lanes))
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
        weights.byteCount
            + 2 * blocks.count * (inputPoints.byteCount + outputPoints.byteCount) / batchSize
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

    /// Returns the points of a block of the batch.
    private func points(_ buffer: AlignedBuffer, _ block: Int) -> UnsafeMutablePointer<Float> {
        buffer.floats + block * (buffer.byteCount / MemoryLayout<Float>.size / batchSize)
    }

    /// Calls `body` with the blocks of the tiles, as many as are computed together.
    private func forEachBatch(_ tiles: ArraySlice<NativeTile>, _ body: (Range<Int>) -> Void) {
        let count = tiles.count * blocks.count
        var start = 0
        while start < count {
            let end = min(start + batchSize, count)
            body(start..<end)
            start = end
        }
    }

    /// Returns a block of the tiles, counted tile by tile.
    private func block(
        _ number: Int, of tiles: ArraySlice<NativeTile>
    ) -> (tile: NativeTile, first: Int, count: Int) {
        let block = blocks[number % blocks.count]
        return (tiles[tiles.startIndex + number / blocks.count], block.first, block.count)
    }

    /// Multiplies, at each point, `height` rows of weights by the blocks of a batch.
    private func multiply(
        _ weights: AlignedBuffer, _ from: AlignedBuffer, height: Int, depth: Int,
        _ batch: Range<Int>, to target: AlignedBuffer
    ) {
        let weightPoint = convoy_winograd_packed_point(height, depth)
        forEachPoint { point in
            for number in batch {
                let width = blocks[number % blocks.count].count
                let fromPoint = convoy_winograd_point(depth * width * AlignedBuffer.lanes)
                let toPoint = convoy_winograd_point(height * width * AlignedBuffer.lanes)
                let slot = number - batch.lowerBound
                convoy_winograd_multiply(
                    weights.floats + point * weightPoint, points(from, slot) + point * fromPoint,
                    height, depth, width, points(target, slot) + point * toPoint)
            }
        }
    }

    /// Computes the convolution, the ReLU and the pool of tiles of images.
    ///
    /// - Parameters:
    ///   - tiles: the tiles, in their order.
    ///   - bias: [outputs].
    ///   - input: returns the padded images of a tile, in lanes. It is called once a tile.
    ///   - output: returns where the outputs of a tile go, pooled where the pool is computed here.
    func forward(
        _ tiles: ArraySlice<NativeTile>, bias: AlignedBuffer,
        input: (NativeTile) -> UnsafeMutablePointer<Float>,
        output: (NativeTile) -> UnsafeMutablePointer<Float>
    ) {
        var source: UnsafePointer<Float>?
        forEachBatch(tiles) { batch in
            for number in batch {
                let (tile, first, count) = block(number, of: tiles)
                if first == 0 { source = UnsafePointer(input(tile)) }
                convoy_winograd_input(
                    source, &shape, first, count, points(inputPoints, number - batch.lowerBound))
            }
            multiply(
                weights, inputPoints, height: shape.outputs, depth: shape.channels, batch,
                to: outputPoints)
            for number in batch {
                let (tile, first, count) = block(number, of: tiles)
                let values = points(outputPoints, number - batch.lowerBound)
                if let choice {
                    convoy_winograd_output_pooled(
                        values, bias.floats, &shape, first, count, hasReLU ? 1 : 0, output(tile),
                        choice.integers(tile))
                } else {
                    convoy_winograd_output(
                        values, bias.floats, &shape, first, count, hasReLU ? 1 : 0, output(tile))
                }
            }
        }
    }

    /// Computes the gradients of tiles of images, in their order.
    ///
    /// - Parameters:
    ///   - tiles: the tiles. With the last one of a microbatch the gradient of the weights is written.
    ///   - weights: the gradient of the weights, [outputs, channels, 3, 3]. Neither it nor the bias's is
    ///     written where nothing of the node is trained.
    ///   - bias: the gradient of the bias, [outputs].
    ///   - input: returns the padded images of a tile, in lanes. It is called once a tile.
    ///   - output: returns the gradient of a tile of the convolution's output with the ReLU's mask
    ///     applied, or of the pool's output where the pool is computed here. It is called once a tile.
    ///   - inputGradient: returns where the gradient of a tile's padded input goes; nil where it is not
    ///     wanted.
    ///   - didFinish: is called when the gradient of a tile's padded input is complete, before the next
    ///     tile's begins.
    func backward(
        _ tiles: ArraySlice<NativeTile>, weights: UnsafeMutablePointer<Float>,
        bias: UnsafeMutablePointer<Float>, input: (NativeTile) -> UnsafeMutablePointer<Float>,
        output: (NativeTile) -> UnsafeMutablePointer<Float>,
        inputGradient: (NativeTile) -> UnsafeMutablePointer<Float>?,
        didFinish: (NativeTile) -> Void
    ) {
        guard hasBackward else { return }
        var outputGradient: UnsafePointer<Float>?
        var source: UnsafePointer<Float>?
        forEachBatch(tiles) { batch in
            for number in batch {
                let (tile, first, count) = block(number, of: tiles)
                if first == 0 {
                    outputGradient = UnsafePointer(output(tile))
                    if weightGradientPoints != nil { source = UnsafePointer(input(tile)) }
                }
                let slot = number - batch.lowerBound
                if let choice {
                    convoy_winograd_pooled_gradient(
                        outputGradient, choice.integers(tile), &shape, first, count,
                        points(outputPoints, slot))
                } else {
                    convoy_winograd_output_gradient(
                        outputGradient, &shape, first, count, points(outputPoints, slot))
                }
                if weightGradientPoints != nil {
                    convoy_winograd_input_by_image(
                        source, &shape, first, count, points(inputPoints, slot))
                }
            }
            if let sums = weightGradientPoints {
                addWeightGradient(tiles, batch, biasGradient: bias, to: sums)
            }
            addInputGradient(tiles, batch, to: inputGradient, didFinish)
        }
        if tiles.last?.isLast == true, let sums = weightGradientPoints {
            convoy_winograd_unpack_gradient(
                sums.floats, shape.outputs * shape.channels, weights)
        }
    }

    private func addInputGradient(
        _ tiles: ArraySlice<NativeTile>, _ batch: Range<Int>,
        to target: (NativeTile) -> UnsafeMutablePointer<Float>?, _ didFinish: (NativeTile) -> Void
    ) {
        guard let transposedWeights, let inputGradientPoints else { return }
        multiply(
            transposedWeights, outputPoints, height: shape.channels, depth: shape.outputs, batch,
            to: inputGradientPoints)
        for number in batch {
            let (tile, first, count) = block(number, of: tiles)
            guard let gradient = target(tile) else { return }
            if first == 0 {
                gradient.update(
                    repeating: 0,
                    count: shape.channels * shape.input_height * shape.input_width
                        * AlignedBuffer.lanes)
            }
            convoy_winograd_input_gradient(
                points(inputGradientPoints, number - batch.lowerBound), &shape, first, count,
                gradient)
            if number % blocks.count == blocks.count - 1 { didFinish(tile) }
        }
    }

    private func addWeightGradient(
        _ tiles: ArraySlice<NativeTile>, _ batch: Range<Int>,
        biasGradient: UnsafeMutablePointer<Float>, to sums: AlignedBuffer
    ) {
        let sumPoint = convoy_winograd_point(shape.outputs * shape.channels)
        func adds(_ block: (tile: NativeTile, first: Int, count: Int)) -> Int32 {
            block.tile.isFirst && block.first == 0 ? 0 : 1
        }
        forEachPoint { point in
            for number in batch {
                let block = block(number, of: tiles)
                let depth = block.count * AlignedBuffer.lanes
                let gradientPoint = convoy_winograd_point(shape.outputs * depth)
                let inputPoint = convoy_winograd_point(shape.channels * depth)
                let slot = number - batch.lowerBound
                convoy_winograd_multiply_gradient(
                    points(outputPoints, slot) + point * gradientPoint,
                    points(inputPoints, slot) + point * inputPoint, shape.outputs, shape.channels,
                    depth, sums.floats + point * sumPoint, adds(block))
            }
        }
        for number in batch {
            let block = block(number, of: tiles)
            // The sum of a tile's gradients lies at the sixth point.
            let gradientPoint = convoy_winograd_point(
                shape.outputs * block.count * AlignedBuffer.lanes)
            convoy_lanes_bias_gradient(
                points(outputPoints, number - batch.lowerBound) + 5 * gradientPoint, shape.outputs,
                block.count, biasGradient, adds(block))
        }
    }
}
