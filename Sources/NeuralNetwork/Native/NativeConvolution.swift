import CKernels

/// A convolution with the ReLU and the max-pool that follow it, a few output channels at a time:
/// what the convolution writes for the pool stays in the cache.
///
/// Math: output[o, p] = bias[o] + Σ weights[o, c, k] · input[c, s·p + k], as `torch.nn.Conv2d`.
final class NativeConvolution: NativeStage {
    /// Bytes of the convolution's own output that are worked on at a time, well below a
    /// second-level cache.
    private static let groupByteCount = 96 << 10

    let layer: NetworkLayer
    let output: AlignedBuffer
    let inputGradient: AlignedBuffer?
    private let pool: NativePool?
    private let hasReLU: Bool
    private let input: AlignedBuffer
    /// The input with zeros around it; the input itself where there is no padding.
    private let padded: AlignedBuffer
    private let window: LaneWindow
    private let forwardGroups: [LaneGroup]
    private let backwardGroups: [LaneGroup]
    private let untouched: [Int]
    private let packed: AlignedBuffer
    private let packedTransposed: AlignedBuffer?
    private let bias: AlignedBuffer
    /// The convolution's output, or its gradient: all channels where the input's gradient is
    /// wanted, otherwise those worked on.
    private let scratch: AlignedBuffer?
    private let paddedGradient: AlignedBuffer?
    private let taps: UnsafeMutableBufferPointer<Int32>
    private let weightSlot: ParameterSlot
    private let biasSlot: ParameterSlot
    private let inputChannels: Int
    private let outputChannels: Int
    private let groupChannels: Int

    init(
        _ layer: NetworkLayer, hasReLU: Bool, pool: NetworkLayer?, input: AlignedBuffer,
        parameters: ParameterLayout, wantsInputGradient: Bool
    ) {
        guard case .conv2D(_, let kernel, let stride, _, _, _) = layer.specification,
            let weight = layer.weightSlot, let bias = layer.biasSlot
        else { preconditionFailure("\(layer.name) is no convolution") }
        self.layer = layer
        self.hasReLU = hasReLU
        self.input = input
        weightSlot = parameters.slots[weight]
        biasSlot = parameters.slots[bias]
        let (from, to, padding) = (layer.inputShape, layer.outputShape, layer.padding)
        (inputChannels, outputChannels) = (from[0], to[0])
        window = LaneWindow(
            input: Size2D(
                height: from[1] + padding.top + padding.bottom,
                width: from[2] + padding.left + padding.right),
            output: Size2D(height: to[1], width: to[2]), kernel: kernel, stride: stride)
        forwardGroups = window.forward()
        let isPadded = padding != .none
        let paddedCount = from[0] * window.input.height * window.input.width
        padded = isPadded ? AlignedBuffer(laneCount: paddedCount) : input
        inputGradient = wantsInputGradient ? AlignedBuffer(laneCount: from.reduce(1, *)) : nil
        paddedGradient =
            isPadded && wantsInputGradient ? AlignedBuffer(laneCount: paddedCount) : inputGradient
        let back = wantsInputGradient ? window.backward() : ([], [])
        (backwardGroups, untouched) = back
        let block = Int(CONVOY_LANE_OUTPUTS)
        func packedCount(_ outputs: Int, _ channels: Int) -> Int {
            (outputs + block - 1) / block * block * channels * kernel.height * kernel.width
        }
        packed = AlignedBuffer(byteCount: packedCount(to[0], from[0]) * 4)
        packedTransposed =
            wantsInputGradient ? AlignedBuffer(byteCount: packedCount(from[0], to[0]) * 4) : nil
        self.bias = AlignedBuffer(byteCount: to[0] * 4)
        let planeByteCount = to[1] * to[2] * AlignedBuffer.laneByteCount
        let fitting = max(1, Self.groupByteCount / planeByteCount / block) * block
        groupChannels = min(to[0], fitting)
        let kernelOffsets = forwardGroups[0].native.taps!
        let plane = window.input.height * window.input.width * Int(CONVOY_LANES)
        let kernelSize = window.kernelSize
        taps = LaneGroup.copy(
            (0..<from[0] * kernelSize).map { index in
                index / kernelSize * plane + Int(kernelOffsets[index % kernelSize])
            })
        if let pool {
            let channels = wantsInputGradient ? to[0] : groupChannels
            scratch = AlignedBuffer(laneCount: channels * to[1] * to[2])
            let stage = NativePool(pool, masksReLU: hasReLU)
            self.pool = stage
            output = AlignedBuffer(laneCount: pool.outputElementCount)
        } else {
            scratch = nil
            self.pool = nil
            output = AlignedBuffer(laneCount: to.reduce(1, *))
        }
    }

    deinit { taps.deallocate() }

    var load: ((UnsafePointer<Float>) -> Void)? {
        { [unowned self] flat in
            let weights = flat + weightSlot.offset
            let size = window.kernelSize
            convoy_lanes_pack(weights, outputChannels, inputChannels, size, packed.floats)
            if let packedTransposed {
                convoy_lanes_pack_transposed(
                    weights, outputChannels, inputChannels, size, packedTransposed.floats)
            }
            bias.floats.update(from: flat + biasSlot.offset, count: outputChannels)
        }
    }

    func copyParameters(into flat: UnsafeMutablePointer<Float>) {
        let block = Int(CONVOY_LANE_OUTPUTS)
        for channel in 0..<outputChannels {
            let first = channel / block * block * taps.count + channel % block
            for tap in 0..<taps.count {
                flat[weightSlot.offset + channel * taps.count + tap] =
                    packed.floats[first + tap * block]
            }
        }
        (flat + biasSlot.offset).update(from: bias.floats, count: outputChannels)
    }

    /// Floats of one channel of the convolution's output.
    private var plane: Int { window.output.height * window.output.width * AlignedBuffer.lanes }

    /// Calls `body` with the first channel and the number of channels of each group.
    private func forEachGroup(_ body: (Int, Int) -> Void) {
        var first = 0
        while first < outputChannels {
            body(first, min(groupChannels, outputChannels - first))
            first += groupChannels
        }
    }

    // MARK: Forward

    func forward() -> [NativeOperation] {
        let byteCount =
            padded.byteCount + packed.byteCount + output.byteCount + (scratch?.byteCount ?? 0)
        let name = ["convolution", hasReLU ? "ReLU" : nil, pool == nil ? nil : "max-pool"]
        return [
            NativeOperation(
                name.compactMap(\.self).joined(separator: ", "), isConvolution: true,
                byteCount: byteCount
            ) { [unowned self] _ in runForward() }
        ]
    }

    private func runForward() {
        if padded !== input { pad() }
        var shape = convoy_lane_shape(
            source_channels: inputChannels,
            source_plane: window.input.height * window.input.width * Int(CONVOY_LANES),
            target_channels: outputChannels, target_plane: plane, kernel_size: window.kernelSize,
            relu: hasReLU ? 1 : 0)
        forEachGroup { first, count in
            let target = scratch?.floats ?? output.floats + first * plane
            for group in forwardGroups {
                var native = group.native
                convoy_lanes_correlate(
                    padded.floats, packed.floats, bias.floats, target, &shape, &native, first, count
                )
            }
            if let scratch { pool?.forward(scratch, into: output, first: first, count: count) }
        }
    }

    private func pad() {
        let (height, width) = (layer.inputShape[1], layer.inputShape[2])
        forEachRow(height) { channel, row, inside in
            (padded.floats + inside).update(
                from: input.floats + (channel * height + row) * width * AlignedBuffer.lanes,
                count: width * AlignedBuffer.lanes)
        }
    }

    /// Calls `body` with channel, row, and where that row begins in the padded tensor, in floats.
    private func forEachRow(_ height: Int, _ body: (Int, Int, Int) -> Void) {
        for channel in 0..<inputChannels {
            for row in 0..<height {
                let y = channel * window.input.height + layer.padding.top + row
                let place = y * window.input.width + layer.padding.left
                body(channel, row, place * AlignedBuffer.lanes)
            }
        }
    }

    // MARK: Backward

    func backward(_ outputGradient: AlignedBuffer) -> [NativeOperation] {
        let gradientByteCount =
            padded.byteCount + outputGradient.byteCount + (scratch?.byteCount ?? 0)
        var operations = [
            NativeOperation(
                "weight gradient", isConvolution: true,
                byteCount: gradientByteCount + weightSlot.elementCount * 4
            ) { [unowned self] tile in runWeightGradient(outputGradient, tile) }
        ]
        if let inputGradient, let packedTransposed {
            let source = scratch ?? outputGradient
            operations.append(
                NativeOperation(
                    "input gradient", isConvolution: true,
                    byteCount: source.byteCount + inputGradient.byteCount
                        + packedTransposed.byteCount
                ) { [unowned self] _ in runInputGradient(source, packedTransposed) })
        }
        return operations
    }

    private func runWeightGradient(_ outputGradient: AlignedBuffer, _ tile: NativeTile) {
        guard let flat = tile.gradient else { return }
        let lanes = Int(CONVOY_LANES)
        var walk = convoy_lane_walk(
            output_height: window.output.height, output_width: window.output.width,
            source_row: window.stride.height * window.input.width * lanes,
            source_column: window.stride.width * lanes)
        let adds: Int32 = tile.isFirst ? 0 : 1
        forEachGroup { first, count in
            let gradient = convolutionGradient(outputGradient, first: first, count: count)
            convoy_lanes_weight_gradient(
                padded.floats, gradient, count, taps.baseAddress, taps.count, &walk,
                flat + weightSlot.offset + first * taps.count, adds)
            convoy_lanes_bias_gradient(
                gradient, count, plane / lanes, flat + biasSlot.offset + first, adds)
        }
    }

    /// The gradient of the sums of some channels, behind ReLU and pool.
    private func convolutionGradient(
        _ outputGradient: AlignedBuffer, first: Int, count: Int
    ) -> UnsafeMutablePointer<Float> {
        if let scratch, let pool {
            let target = scratch.floats + (inputGradient == nil ? 0 : first * plane)
            pool.backward(outputGradient, into: target, first: first, count: count)
            return target
        }
        let gradient = outputGradient.floats + first * plane
        if hasReLU { convoy_relu_backward(gradient, output.floats + first * plane, count * plane) }
        return gradient
    }

    private func runInputGradient(_ gradient: AlignedBuffer, _ packedTransposed: AlignedBuffer) {
        guard let paddedGradient, let inputGradient else { return }
        let sourcePlane = window.input.height * window.input.width * AlignedBuffer.lanes
        var shape = convoy_lane_shape(
            source_channels: outputChannels, source_plane: plane, target_channels: inputChannels,
            target_plane: sourcePlane, kernel_size: window.kernelSize, relu: 0)
        for group in backwardGroups {
            var native = group.native
            convoy_lanes_correlate(
                gradient.floats, packedTransposed.floats, nil, paddedGradient.floats, &shape,
                &native, 0, inputChannels)
        }
        for channel in 0..<inputChannels {
            for position in untouched {
                (paddedGradient.floats + channel * sourcePlane + position)
                    .update(repeating: 0, count: AlignedBuffer.lanes)
            }
        }
        guard paddedGradient !== inputGradient else { return }
        let (height, width) = (layer.inputShape[1], layer.inputShape[2])
        forEachRow(height) { channel, row, inside in
            (inputGradient.floats + (channel * height + row) * width * AlignedBuffer.lanes)
                .update(from: paddedGradient.floats + inside, count: width * AlignedBuffer.lanes)
        }
    }
}
