import CKernels

/// A convolution in groups: each part of the filters reads its part of the channels. With one
/// channel and one filter in each group it is a depthwise convolution, which has kernels of its own.
///
/// Math: as ``NativeConvolution`` for each group. The stage computes a ReLU that follows, and no
/// pool.
final class NativeGroupedConvolution: NativeStage {
    let node: Node
    private let input: LaneTensor
    private let output: LaneTensor
    private let hasReLU: Bool
    private let isTrained: Bool
    private let isDepthwise: Bool
    private let groups: Int
    private let window: LaneWindow
    private let padding: LanePadding
    private let forwardGroups: [LaneGroup]
    private let backwardGroups: [LaneGroup]
    private let untouched: [Int]
    private let weights: AlignedBuffer
    /// The packed weights of each group.
    private let packed: [AlignedBuffer]
    private let packedTransposed: [AlignedBuffer]
    private let bias: AlignedBuffer?
    private let taps: UnsafeMutableBufferPointer<Int32>
    private let weightSlot: ParameterSlot
    private let biasSlot: ParameterSlot?
    /// The channels and the filters of a group.
    private let channels: Int
    private let filters: Int
    private var depthwise: convoy_depthwise

    init(
        _ node: Node, _ layer: Conv2D, hasReLU: Bool, input: LaneTensor, output: LaneTensor,
        network: Network, wantsInputGradient: Bool, memory: NativeMemory
    ) {
        guard let weight = network.slot(.weight, of: node) else {
            preconditionFailure("\(node.name) has no weights")
        }
        self.node = node
        self.input = input
        self.output = output
        self.hasReLU = hasReLU
        groups = layer.groups
        isTrained = network.isTrained(node)
        weightSlot = weight
        biasSlot = network.slot(.bias, of: node)
        let (from, to) = (node.inputShape, node.outputShape)
        (channels, filters) = (from[0] / groups, to[0] / groups)
        isDepthwise = channels == 1 && filters == 1
        let kernel = layer.window.size
        window = LaneWindow(node, layer.window)
        padding = LanePadding(
            node, input, size: window.input, wantsInputGradient: wantsInputGradient,
            memory: memory)
        forwardGroups = isDepthwise ? [] : window.forward()
        (backwardGroups, untouched) =
            wantsInputGradient && !isDepthwise ? window.backward() : ([], [])
        weights = memory.buffer(byteCount: weightSlot.elementCount * 4)
        bias = biasSlot == nil ? nil : memory.buffer(byteCount: to[0] * 4)
        let block = Int(CONVOY_LANE_OUTPUTS)
        let groupCount = layer.groups
        func packedBuffers(_ outputs: Int, _ channels: Int) -> [AlignedBuffer] {
            let count = (outputs + block - 1) / block * block * channels
            return (0..<groupCount).map { _ in
                memory.buffer(byteCount: count * kernel.height * kernel.width * 4)
            }
        }
        packed = isDepthwise ? [] : packedBuffers(filters, channels)
        packedTransposed =
            isDepthwise || !wantsInputGradient ? [] : packedBuffers(channels, filters)
        taps = LaneGroup.copy(window.taps(channels: channels))
        memory.note(tables: window.byteCount(taps, untouched, forwardGroups + backwardGroups))
        depthwise = convoy_depthwise(
            input_height: window.input.height, input_width: window.input.width,
            output_height: to[1], output_width: to[2], kernel_height: kernel.height,
            kernel_width: kernel.width, stride_height: window.stride.height,
            stride_width: window.stride.width, dilation_height: window.dilation.height,
            dilation_width: window.dilation.width)
    }

    deinit { taps.deallocate() }

    var changesOutputGradient: Bool { hasReLU }

    var load: ((UnsafePointer<Float>) -> Void)? {
        { [unowned self] flat in
            weights.floats.update(from: flat + weightSlot.offset, count: weightSlot.elementCount)
            if let bias, let biasSlot {
                bias.floats.update(from: flat + biasSlot.offset, count: biasSlot.elementCount)
            }
            for (group, packed) in packed.enumerated() {
                convoy_lanes_pack(
                    groupWeights(group), filters, channels, window.kernelSize, packed.floats)
            }
            for (group, packed) in packedTransposed.enumerated() {
                convoy_lanes_pack_transposed(
                    groupWeights(group), filters, channels, window.kernelSize, packed.floats)
            }
        }
    }

    private var weightsInGroup: Int { filters * channels * window.kernelSize }
    private func groupWeights(_ group: Int) -> UnsafeMutablePointer<Float> {
        weights.floats + group * weightsInGroup
    }
    /// The number of floats of a channel of the input as the kernels read it, and of the output.
    private var sourcePlane: Int {
        window.input.height * window.input.width * AlignedBuffer.lanes
    }
    private var plane: Int { window.output.height * window.output.width * AlignedBuffer.lanes }

    func copyParameters(into flat: UnsafeMutablePointer<Float>) {
        (flat + weightSlot.offset).update(from: weights.floats, count: weightSlot.elementCount)
        if let bias, let biasSlot {
            (flat + biasSlot.offset).update(from: bias.floats, count: biasSlot.elementCount)
        }
    }

    private var name: String { isDepthwise ? "depthwise convolution" : "grouped convolution" }

    func forward() -> [NativeOperation] {
        [
            NativeOperation(
                hasReLU ? "\(name), ReLU" : name, isConvolution: true,
                byteCount: input.byteCount + output.byteCount + weights.byteCount
            ) { [unowned self] tile in runForward(tile) }
        ]
    }

    private func runForward(_ tile: NativeTile) {
        let source = padding.forward(tile)
        let target = output.at(tile)
        if isDepthwise {
            convoy_lanes_depthwise(
                source, weights.floats, bias?.floats, target, groups, &depthwise, hasReLU ? 1 : 0)
            return
        }
        var shape = convoy_lane_shape(
            source_channels: channels, source_plane: sourcePlane, target_channels: filters,
            target_plane: plane, kernel_size: window.kernelSize, relu: hasReLU ? 1 : 0)
        for group in 0..<groups {
            for positions in forwardGroups {
                var native = positions.native
                convoy_lanes_correlate(
                    source + group * channels * sourcePlane, packed[group].floats,
                    bias.map { $0.floats + group * filters }, target + group * filters * plane,
                    &shape, &native, 0, filters)
            }
        }
    }

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let outputGradient = gradients.output
        let byteCount = input.byteCount + outputGradient.byteCount
        var operations = [
            NativeOperation(
                isTrained ? "weight gradient" : "output gradient", isConvolution: true,
                byteCount: byteCount, finishes: true
            ) { [unowned self] tile in runWeightGradient(outputGradient, tile) }
        ]
        if let inputGradient = gradients.input() {
            operations.append(
                NativeOperation("input gradient", isConvolution: true, byteCount: byteCount) {
                    [unowned self] tile in
                    runInputGradient(outputGradient.at(tile), inputGradient.at(tile))
                })
        }
        return operations
    }

    private func runWeightGradient(_ outputGradient: LaneTensor, _ tile: NativeTile) {
        guard let flat = tile.gradient else { return }
        let gradient = outputGradient.at(tile)
        let lanes = AlignedBuffer.lanes
        let adds: Int32 = tile.isFirst ? 0 : 1
        if hasReLU { convoy_relu_backward(gradient, output.at(tile), groups * filters * plane) }
        guard isTrained else { return }
        let source = padding.again(tile)
        if let biasSlot {
            convoy_lanes_bias_gradient(
                gradient, groups * filters, plane / lanes, flat + biasSlot.offset, adds)
        }
        if isDepthwise {
            convoy_lanes_depthwise_weight_gradient(
                source, gradient, flat + weightSlot.offset, groups, &depthwise, adds)
            return
        }
        var walk = convoy_lane_walk(
            output_height: window.output.height, output_width: window.output.width,
            source_row: window.stride.height * window.input.width * lanes,
            source_column: window.stride.width * lanes)
        for group in 0..<groups {
            convoy_lanes_weight_gradient(
                source + group * channels * sourcePlane, gradient + group * filters * plane,
                filters, taps.baseAddress, taps.count, &walk,
                flat + weightSlot.offset + group * weightsInGroup, adds)
        }
    }

    private func runInputGradient(
        _ outputGradient: UnsafePointer<Float>, _ inputGradient: UnsafeMutablePointer<Float>
    ) {
        let target = padding.target(inputGradient)
        if isDepthwise {
            convoy_lanes_depthwise_input_gradient(
                outputGradient, weights.floats, target, groups, &depthwise)
            return padding.finish(inputGradient)
        }
        var shape = convoy_lane_shape(
            source_channels: filters, source_plane: plane, target_channels: channels,
            target_plane: sourcePlane, kernel_size: window.kernelSize, relu: 0)
        for group in 0..<groups {
            let part = target + group * channels * sourcePlane
            for positions in backwardGroups {
                var native = positions.native
                convoy_lanes_correlate(
                    outputGradient + group * filters * plane, packedTransposed[group].floats, nil,
                    part, &shape, &native, 0, channels)
            }
            for channel in 0..<channels {
                for position in untouched {
                    (part + channel * sourcePlane + position)
                        .update(repeating: 0, count: AlignedBuffer.lanes)
                }
            }
        }
        padding.finish(inputGradient)
    }
}
