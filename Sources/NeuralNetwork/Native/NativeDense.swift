import CKernels

/// A dense layer, with the ReLU that follows it.
///
/// Math: output[o] = bias[o] + Σ weights[o, i] · input[i], as `torch.nn.Linear`. The gradient of
/// the weights is computed for several tiles together, because each computation touches every
/// element of it. Until then the tiles' inputs and output gradients are kept as rows.
final class NativeDense: NativeStage {
    /// The number of tiles whose part of the weights' gradient is computed together.
    private static let tilesTogether = 8

    let layer: NetworkLayer
    let output: AlignedBuffer
    let inputGradient: AlignedBuffer?
    private let input: AlignedBuffer
    private let hasReLU: Bool
    private let weights: AlignedBuffer
    private let bias: AlignedBuffer
    private let inputRows: AlignedBuffer
    private let gradientRows: AlignedBuffer
    private var keptTileCount = 0
    private var hasGradient = false
    private let weightSlot: ParameterSlot
    private let biasSlot: ParameterSlot
    private let inputCount: Int
    private let outputCount: Int

    init(
        _ layer: NetworkLayer, hasReLU: Bool, input: AlignedBuffer, parameters: ParameterLayout,
        wantsInputGradient: Bool
    ) {
        guard let weight = layer.weightSlot, let bias = layer.biasSlot else {
            preconditionFailure("\(layer.name) has no weights")
        }
        self.layer = layer
        self.hasReLU = hasReLU
        self.input = input
        weightSlot = parameters.slots[weight]
        biasSlot = parameters.slots[bias]
        (inputCount, outputCount) = (layer.inputElementCount, layer.outputElementCount)
        output = AlignedBuffer(laneCount: outputCount)
        inputGradient = wantsInputGradient ? AlignedBuffer(laneCount: inputCount) : nil
        weights = AlignedBuffer(byteCount: weightSlot.elementCount * 4)
        self.bias = AlignedBuffer(byteCount: outputCount * 4)
        inputRows = AlignedBuffer(laneCount: inputCount * Self.tilesTogether)
        gradientRows = AlignedBuffer(laneCount: outputCount * Self.tilesTogether)
    }

    var load: ((UnsafePointer<Float>) -> Void)? {
        { [unowned self] flat in
            weights.floats.update(
                from: flat + weightSlot.offset, count: weightSlot.elementCount)
            bias.floats.update(from: flat + biasSlot.offset, count: outputCount)
        }
    }

    func copyParameters(into flat: UnsafeMutablePointer<Float>) {
        (flat + weightSlot.offset).update(from: weights.floats, count: weightSlot.elementCount)
        (flat + biasSlot.offset).update(from: bias.floats, count: outputCount)
    }

    func forward() -> [NativeOperation] {
        [
            NativeOperation(
                hasReLU ? "dense, ReLU" : "dense",
                byteCount: input.byteCount + weights.byteCount + output.byteCount
            ) { [unowned self] tile in
                convoy_lanes_dense(
                    input.floats, weights.floats, bias.floats, output.floats, inputCount,
                    outputCount, hasReLU ? 1 : 0)
                guard tile.isTraining else { return }
                if tile.isFirst {
                    keptTileCount = 0
                    hasGradient = false
                }
                convoy_lanes_to_rows(
                    input.floats, inputCount,
                    inputRows.floats + keptTileCount * inputCount * AlignedBuffer.lanes)
            }
        ]
    }

    func backward(_ outputGradient: AlignedBuffer) -> [NativeOperation] {
        var operations = [
            NativeOperation(
                "weight gradient",
                byteCount: (weights.byteCount + inputRows.byteCount) / Self.tilesTogether
            ) { [unowned self] tile in runWeightGradient(outputGradient, tile) }
        ]
        if let inputGradient {
            operations.append(
                NativeOperation(
                    "input gradient", byteCount: weights.byteCount + inputGradient.byteCount
                ) { [unowned self] _ in
                    convoy_lanes_dense_input_gradient(
                        outputGradient.floats, weights.floats, inputGradient.floats, inputCount,
                        outputCount)
                })
        }
        return operations
    }

    private func runWeightGradient(_ outputGradient: AlignedBuffer, _ tile: NativeTile) {
        let lanes = AlignedBuffer.lanes
        if hasReLU {
            convoy_relu_backward(outputGradient.floats, output.floats, outputCount * lanes)
        }
        guard let flat = tile.gradient else { return }
        convoy_lanes_to_rows(
            outputGradient.floats, outputCount,
            gradientRows.floats + keptTileCount * outputCount * lanes)
        keptTileCount += 1
        guard tile.isLast || keptTileCount == Self.tilesTogether else { return }
        let adds: Int32 = hasGradient ? 1 : 0
        convoy_rows_dense_weight_gradient(
            inputRows.floats, gradientRows.floats, keptTileCount * lanes, inputCount, outputCount,
            flat + weightSlot.offset, adds)
        convoy_rows_bias_gradient(
            gradientRows.floats, keptTileCount * lanes, outputCount, flat + biasSlot.offset, adds)
        hasGradient = true
        keptTileCount = 0
    }
}
