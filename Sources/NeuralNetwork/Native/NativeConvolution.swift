import CKernels

/// A convolution, with the ReLU and the max-pool that follow it.
///
/// Math: output[o, p] = bias[o] + Σ weights[o, c, k] · input[c, s·p + k], as `torch.nn.Conv2d`.
/// ``NativeWinograd`` computes the convolutions that it supports. All others are computed directly,
/// a few output channels at a time, so that the values between the convolution and its pool stay in
/// the cache.
final class NativeConvolution: NativeStage {
    /// The bytes of the convolution's own output that are computed before they are pooled: well
    /// below the size of a second-level cache.
    private static let groupByteCount = 96 << 10

    let layer: NetworkLayer
    let output: AlignedBuffer
    let inputGradient: AlignedBuffer?
    private let winograd: NativeWinograd?
    private let pool: NativePool?
    private let hasReLU: Bool
    private let input: AlignedBuffer
    /// The input with zeros around it; the input itself where there is no padding.
    private let padded: AlignedBuffer
    private let window: LaneWindow
    private let forwardGroups: [LaneGroup]
    private let backwardGroups: [LaneGroup]
    private let untouched: [Int]
    private let weights: AlignedBuffer
    private let packed: AlignedBuffer?
    private let packedTransposed: AlignedBuffer?
    private let bias: AlignedBuffer
    /// The convolution's output before its pool, and later the gradient of that output. It holds
    /// all channels where the input's gradient is wanted, otherwise the channels of one group. Nil
    /// where no pool follows, and where ``NativeWinograd`` computes both passes.
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
        else { preconditionFailure("\(layer.name) is not a convolution") }
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
        winograd = NativeWinograd(
            window: window, channels: from[0], outputs: to[0], hasReLU: hasReLU, pool: pool,
            wantsInputGradient: wantsInputGradient)
        let hasDirectBackward = winograd?.hasBackward != true
        let isPadded = padding != .none
        let paddedCount = from[0] * window.input.height * window.input.width
        padded = isPadded ? AlignedBuffer(laneCount: paddedCount) : input
        inputGradient = wantsInputGradient ? AlignedBuffer(laneCount: from.reduce(1, *)) : nil
        paddedGradient =
            isPadded && wantsInputGradient ? AlignedBuffer(laneCount: paddedCount) : inputGradient
        (backwardGroups, untouched) =
            wantsInputGradient && hasDirectBackward ? window.backward() : ([], [])
        let block = Int(CONVOY_LANE_OUTPUTS)
        func packedBuffer(_ outputs: Int, _ channels: Int) -> AlignedBuffer {
            let count = (outputs + block - 1) / block * block * channels
            return AlignedBuffer(byteCount: count * kernel.height * kernel.width * 4)
        }
        weights = AlignedBuffer(byteCount: weightSlot.elementCount * 4)
        packed = winograd == nil ? packedBuffer(to[0], from[0]) : nil
        packedTransposed =
            wantsInputGradient && hasDirectBackward ? packedBuffer(from[0], to[0]) : nil
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
            scratch =
                hasDirectBackward ? AlignedBuffer(laneCount: channels * to[1] * to[2]) : nil
            self.pool = NativePool(pool, masksReLU: hasReLU, choice: winograd?.choice)
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
            weights.floats.update(from: flat + weightSlot.offset, count: weightSlot.elementCount)
            bias.floats.update(from: flat + biasSlot.offset, count: outputChannels)
            winograd?.load(weights.floats)
            let size = window.kernelSize
            if let packed {
                convoy_lanes_pack(
                    weights.floats, outputChannels, inputChannels, size, packed.floats)
            }
            if let packedTransposed {
                convoy_lanes_pack_transposed(
                    weights.floats, outputChannels, inputChannels, size, packedTransposed.floats)
            }
        }
    }

    func copyParameters(into flat: UnsafeMutablePointer<Float>) {
        (flat + weightSlot.offset).update(from: weights.floats, count: weightSlot.elementCount)
        (flat + biasSlot.offset).update(from: bias.floats, count: outputChannels)
    }

    /// The number of floats of one channel of the convolution's output.
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
            padded.byteCount + output.byteCount
            + (winograd?.byteCount ?? weights.byteCount + (scratch?.byteCount ?? 0))
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
        if let winograd { return winograd.forward(padded, bias: bias, into: output) }
        guard let packed else { return }
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

    /// Calls `body` with a channel, a row, and the offset of that row in the padded tensor, in
    /// floats.
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
        if let winograd, winograd.hasBackward {
            let name = inputGradient == nil ? "weight gradient" : "weight, input gradient"
            let byteCount =
                padded.byteCount + outputGradient.byteCount + (inputGradient?.byteCount ?? 0)
            return [
                NativeOperation(
                    name, isConvolution: true, byteCount: byteCount + winograd.byteCount
                ) { [unowned self] tile in runBackward(winograd, outputGradient, tile) }
            ]
        }
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

    private func runBackward(
        _ winograd: NativeWinograd, _ outputGradient: AlignedBuffer, _ tile: NativeTile
    ) {
        guard let flat = tile.gradient else { return }
        if hasReLU, pool == nil {
            convoy_relu_backward(
                outputGradient.floats, output.floats, outputChannels * plane)
        }
        winograd.backward(
            padded, outputGradient, tile, weightGradient: flat + weightSlot.offset,
            biasGradient: flat + biasSlot.offset, inputGradient: paddedGradient)
        unpadGradient()
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

    /// Returns the gradient of the convolution's own output for some channels, after the gradients
    /// of the pool and the ReLU have been taken.
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
        guard let paddedGradient else { return }
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
        unpadGradient()
    }

    private func unpadGradient() {
        guard let paddedGradient, let inputGradient, paddedGradient !== inputGradient else {
            return
        }
        let (height, width) = (layer.inputShape[1], layer.inputShape[2])
        forEachRow(height) { channel, row, inside in
            (inputGradient.floats + (channel * height + row) * width * AlignedBuffer.lanes)
                .update(from: paddedGradient.floats + inside, count: width * AlignedBuffer.lanes)
        }
    }
}
