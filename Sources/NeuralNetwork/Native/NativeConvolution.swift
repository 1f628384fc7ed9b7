import CKernels

/// A convolution, with the ReLU and the max-pool that follow it.
///
/// Math: output[o, p] = bias[o] + Σ weights[o, c, k] · input[c, s·p + d·k] with stride s and
/// dilation d, as `torch.nn.Conv2d`.
/// ``NativeWinograd`` computes the convolutions that it supports. All others are computed directly,
/// a few output channels at a time, so that the values between the convolution and its pool stay in
/// the cache.
final class NativeConvolution: NativeStage {
    /// The bytes of the convolution's own output that are computed before they are pooled: well
    /// below the size of a second-level cache.
    private static let groupByteCount = 96 << 10

    let node: Node
    private let winograd: NativeWinograd?
    private let pool: NativePool?
    private let hasReLU: Bool
    private let input: LaneTensor
    private let output: LaneTensor
    private let padding: LanePadding
    private let window: LaneWindow
    private let forwardGroups: [LaneGroup]
    private let backwardGroups: [LaneGroup]
    private let untouched: [Int]
    private let weights: AlignedBuffer
    private let packed: AlignedBuffer?
    private let packedTransposed: AlignedBuffer?
    private let bias: AlignedBuffer
    /// Takes the gradient of a bias that the convolution does not have.
    private let unusedBiasGradient: AlignedBuffer
    /// The convolution's output before its pool, and later the gradient of that output. It holds
    /// all channels where the input's gradient is wanted, otherwise the channels of one group. Nil
    /// where no pool follows, and where ``NativeWinograd`` computes both passes.
    private let scratch: AlignedBuffer?
    private let wantsInputGradient: Bool
    private let isTrained: Bool
    /// Whether operations run on groups of tiles.
    private let isWide: Bool
    private let taps: UnsafeMutableBufferPointer<Int32>
    private let weightSlot: ParameterSlot
    private let biasSlot: ParameterSlot?
    private let inputChannels: Int
    private let outputChannels: Int
    private let groupChannels: Int

    init(
        _ node: Node, _ layer: Conv2D, hasReLU: Bool, pool: Node?, input: LaneTensor,
        output: LaneTensor, network: Network, wantsInputGradient: Bool, memory: NativeMemory
    ) {
        guard let weight = network.slot(.weight, of: node) else {
            preconditionFailure("\(node.name) has no weights")
        }
        self.node = node
        self.hasReLU = hasReLU
        self.input = input
        self.output = output
        self.wantsInputGradient = wantsInputGradient
        isTrained = network.isTrained(node)
        weightSlot = weight
        biasSlot = network.slot(.bias, of: node)
        let (from, to) = (node.inputShape, node.outputShape)
        (inputChannels, outputChannels) = (from[0], to[0])
        let kernel = layer.window.size
        window = LaneWindow(node, layer.window)
        forwardGroups = window.forward()
        winograd = NativeWinograd(
            window: window, channels: from[0], outputs: to[0], hasReLU: hasReLU, pool: pool,
            wantsInputGradient: wantsInputGradient, isTrained: isTrained, isWide: memory.isWide,
            memory: memory)
        isWide = memory.isWide
        let hasDirectBackward = winograd?.hasBackward != true
        padding = LanePadding(
            node, input, size: window.input, wantsInputGradient: wantsInputGradient,
            memory: memory)
        (backwardGroups, untouched) =
            wantsInputGradient && hasDirectBackward ? window.backward() : ([], [])
        let block = Int(CONVOY_LANE_OUTPUTS)
        func packedBuffer(_ outputs: Int, _ channels: Int) -> AlignedBuffer {
            let count = (outputs + block - 1) / block * block * channels
            return memory.buffer(byteCount: count * kernel.height * kernel.width * 4)
        }
        weights = memory.buffer(byteCount: weightSlot.elementCount * 4)
        packed = winograd == nil ? packedBuffer(to[0], from[0]) : nil
        packedTransposed =
            wantsInputGradient && hasDirectBackward ? packedBuffer(from[0], to[0]) : nil
        bias = memory.buffer(byteCount: to[0] * 4)
        unusedBiasGradient = memory.buffer(byteCount: biasSlot == nil ? to[0] * 4 : 0)
        let planeByteCount = to[1] * to[2] * AlignedBuffer.laneByteCount
        let fitting = max(1, Self.groupByteCount / planeByteCount / block) * block
        groupChannels = min(to[0], fitting)
        taps = LaneGroup.copy(window.taps(channels: from[0]))
        memory.note(tables: window.byteCount(taps, untouched, forwardGroups + backwardGroups))
        if let pool {
            let channels = wantsInputGradient ? to[0] : groupChannels
            scratch =
                hasDirectBackward ? memory.buffer(laneCount: channels * to[1] * to[2]) : nil
            self.pool = NativePool(
                pool, masksReLU: hasReLU,
                choice: winograd?.choice ?? memory.kept(pool.outputElementCount))
        } else {
            scratch = nil
            self.pool = nil
        }
    }

    deinit { taps.deallocate() }

    var load: ((UnsafePointer<Float>) -> Void)? {
        { [unowned self] flat in
            weights.floats.update(from: flat + weightSlot.offset, count: weightSlot.elementCount)
            if let biasSlot {
                bias.floats.update(from: flat + biasSlot.offset, count: outputChannels)
            }
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
        if let biasSlot {
            (flat + biasSlot.offset).update(from: bias.floats, count: outputChannels)
        }
    }

    var changesOutputGradient: Bool { hasReLU && pool == nil }

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

    /// Returns the place of the bias's gradient, from an output channel on.
    private func biasGradient(
        _ flat: UnsafeMutablePointer<Float>, from channel: Int = 0
    ) -> UnsafeMutablePointer<Float> {
        (biasSlot.map { flat + $0.offset } ?? unusedBiasGradient.floats) + channel
    }

    // MARK: Forward

    func forward() -> [NativeOperation] {
        let byteCount =
            padding.byteCount + output.byteCount
            + (winograd?.byteCount ?? weights.byteCount + (scratch?.byteCount ?? 0))
        let name = ["convolution", hasReLU ? "ReLU" : nil, pool == nil ? nil : "max-pool"]
        return [
            NativeOperation(
                name.compactMap(\.self).joined(separator: ", "), isConvolution: true,
                byteCount: byteCount,
                runAll: { [unowned self] tiles in
                    guard let winograd else { return tiles.forEach(runForward) }
                    winograd.forward(
                        tiles, bias: bias, input: { padding.forward($0) },
                        output: { output.at($0) })
                })
        ]
    }

    private func runForward(_ tile: NativeTile) {
        let source = padding.forward(tile)
        guard let packed else { return }
        var shape = convoy_lane_shape(
            source_channels: inputChannels,
            source_plane: window.input.height * window.input.width * Int(CONVOY_LANES),
            target_channels: outputChannels, target_plane: plane, kernel_size: window.kernelSize,
            relu: hasReLU ? 1 : 0)
        forEachGroup { first, count in
            let target = scratch?.floats ?? output.at(tile) + first * plane
            for group in forwardGroups {
                var native = group.native
                convoy_lanes_correlate(
                    source, packed.floats, bias.floats, target, &shape, &native, first, count)
            }
            if let scratch {
                pool?.forward(scratch.floats, into: output.at(tile), first: first, count: count, tile)
            }
        }
    }

    // MARK: Backward

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let outputGradient = gradients.output
        let inputGradient = gradients.input()
        let sourceByteCount = padding.byteCount
        if let winograd, winograd.hasBackward {
            let parts = [isTrained ? "weight" : nil, inputGradient == nil ? nil : "input"]
            let name = parts.compactMap(\.self).joined(separator: ", ") + " gradient"
            let byteCount =
                sourceByteCount + outputGradient.byteCount + (inputGradient?.byteCount ?? 0)
            return [
                NativeOperation(
                    name, isConvolution: true, byteCount: byteCount + winograd.byteCount,
                    finishes: true,
                    runAll: { [unowned self] tiles in
                        runBackward(winograd, outputGradient, inputGradient, tiles)
                    })
            ]
        }
        let gradientByteCount =
            sourceByteCount + outputGradient.byteCount + (scratch?.byteCount ?? 0)
        let name = isTrained ? "weight gradient" : "output gradient"
        if let inputGradient, let packedTransposed, scratch != nil, isWide {
            // The gradient of the convolution's own output is there for one tile at a time.
            return [
                NativeOperation(
                    "\(name), input gradient", isConvolution: true,
                    byteCount: gradientByteCount + inputGradient.byteCount
                        + packedTransposed.byteCount,
                    finishes: true
                ) { [unowned self] tile in
                    runWeightGradient(outputGradient, tile)
                    runInputGradient(
                        scratch?.floats ?? outputGradient.at(tile), packedTransposed,
                        inputGradient.at(tile))
                }
            ]
        }
        var operations = [
            NativeOperation(
                name, isConvolution: true,
                byteCount: gradientByteCount + weightSlot.elementCount * 4, finishes: true
            ) { [unowned self] tile in runWeightGradient(outputGradient, tile) }
        ]
        if let inputGradient, let packedTransposed {
            operations.append(
                NativeOperation(
                    "input gradient", isConvolution: true,
                    byteCount: (scratch?.byteCount ?? outputGradient.byteCount)
                        + inputGradient.byteCount + packedTransposed.byteCount
                ) { [unowned self] tile in
                    runInputGradient(
                        scratch?.floats ?? outputGradient.at(tile), packedTransposed,
                        inputGradient.at(tile))
                })
        }
        return operations
    }

    private func runBackward(
        _ winograd: NativeWinograd, _ outputGradient: LaneTensor, _ inputGradient: LaneTensor?,
        _ tiles: ArraySlice<NativeTile>
    ) {
        guard let flat = tiles.first?.gradient else { return }
        winograd.backward(
            tiles, weights: flat + weightSlot.offset, bias: biasGradient(flat),
            input: { padding.again($0) },
            output: { tile in
                if hasReLU, pool == nil {
                    convoy_relu_backward(
                        outputGradient.at(tile), output.at(tile), outputChannels * plane)
                }
                return outputGradient.at(tile)
            }, inputGradient: { tile in inputGradient.map { padding.target($0.at(tile)) } },
            didFinish: { tile in
                if let inputGradient { padding.finish(inputGradient.at(tile)) }
            })
    }

    private func runWeightGradient(_ outputGradient: LaneTensor, _ tile: NativeTile) {
        guard let flat = tile.gradient else { return }
        let source = isTrained ? padding.again(tile) : nil
        let lanes = Int(CONVOY_LANES)
        var walk = convoy_lane_walk(
            output_height: window.output.height, output_width: window.output.width,
            source_row: window.stride.height * window.input.width * lanes,
            source_column: window.stride.width * lanes)
        let adds: Int32 = tile.isFirst ? 0 : 1
        forEachGroup { first, count in
            let gradient = convolutionGradient(outputGradient, first: first, count: count, tile)
            guard let source else { return }
            convoy_lanes_weight_gradient(
                source, gradient, count, taps.baseAddress, taps.count, &walk,
                flat + weightSlot.offset + first * taps.count, adds)
            convoy_lanes_bias_gradient(
                gradient, count, plane / lanes, biasGradient(flat, from: first), adds)
        }
    }

    /// Returns the gradient of the convolution's own output for some channels, after the gradients
    /// of the pool and the ReLU have been taken.
    private func convolutionGradient(
        _ outputGradient: LaneTensor, first: Int, count: Int, _ tile: NativeTile
    ) -> UnsafeMutablePointer<Float> {
        if let scratch, let pool {
            let target = scratch.floats + (wantsInputGradient ? first * plane : 0)
            pool.backward(outputGradient.at(tile), into: target, first: first, count: count, tile)
            return target
        }
        let gradient = outputGradient.at(tile) + first * plane
        if hasReLU {
            convoy_relu_backward(gradient, output.at(tile) + first * plane, count * plane)
        }
        return gradient
    }

    private func runInputGradient(
        _ gradient: UnsafePointer<Float>, _ packedTransposed: AlignedBuffer,
        _ inputGradient: UnsafeMutablePointer<Float>
    ) {
        let target = padding.target(inputGradient)
        let sourcePlane = window.input.height * window.input.width * AlignedBuffer.lanes
        var shape = convoy_lane_shape(
            source_channels: outputChannels, source_plane: plane, target_channels: inputChannels,
            target_plane: sourcePlane, kernel_size: window.kernelSize, relu: 0)
        for group in backwardGroups {
            var native = group.native
            convoy_lanes_correlate(
                gradient, packedTransposed.floats, nil, target, &shape, &native, 0, inputChannels)
        }
        for channel in 0..<inputChannels {
            for position in untouched {
                (target + channel * sourcePlane + position)
                    .update(repeating: 0, count: AlignedBuffer.lanes)
            }
        }
        padding.finish(inputGradient)
    }
}
