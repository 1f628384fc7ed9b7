import CKernels

/// A dense layer, with the ReLU that follows it.
///
/// Math: output[o] = bias[o] + Σ weights[o, i] · input[i], as `torch.nn.Linear`. The gradient of
/// the weights is computed for several tiles together, because each computation touches every
/// element of it. Until then the tiles' inputs and output gradients are kept as rows.
final class NativeDense: NativeStage {
    /// The number of tiles whose part of the weights' gradient is computed together.
    private static let tilesTogether = 8
    /// The bytes of the weights' rows that are applied to all tiles of a group before the next rows
    /// are: well below the size of a second-level cache.
    private static let rowsByteCount = 256 << 10

    let node: Node
    private let input: LaneTensor
    private let output: LaneTensor
    private let hasReLU: Bool
    private let weights: AlignedBuffer
    private let bias: AlignedBuffer
    private let inputRows: AlignedBuffer
    private let gradientRows: AlignedBuffer
    private var keptTileCount = 0
    private var hasGradient = false
    private let isTrained: Bool
    /// The bytes of the weights that are read for a tile of images.
    private let weightByteCount: Int
    private let weightSlot: ParameterSlot
    private let biasSlot: ParameterSlot?
    private let inputCount: Int
    private let outputCount: Int

    init(
        _ node: Node, hasReLU: Bool, input: LaneTensor, output: LaneTensor, network: Network,
        memory: NativeMemory
    ) {
        guard let weight = network.slot(.weight, of: node) else {
            preconditionFailure("\(node.name) has no weights")
        }
        self.node = node
        self.hasReLU = hasReLU
        self.input = input
        self.output = output
        isTrained = network.isTrained(node)
        weightSlot = weight
        biasSlot = network.slot(.bias, of: node)
        (inputCount, outputCount) = (node.inputElementCount, node.outputElementCount)
        weights = memory.buffer(byteCount: weightSlot.elementCount * 4)
        weightByteCount = weights.byteCount / (memory.isWide ? NativeMemory.groupSize : 1)
        bias = memory.buffer(byteCount: outputCount * 4)
        let rowCount = isTrained ? Self.tilesTogether : 0
        inputRows = memory.buffer(laneCount: inputCount * rowCount)
        gradientRows = memory.buffer(laneCount: outputCount * rowCount)
    }

    var changesOutputGradient: Bool { hasReLU }

    var load: ((UnsafePointer<Float>) -> Void)? {
        { [unowned self] flat in
            weights.floats.update(
                from: flat + weightSlot.offset, count: weightSlot.elementCount)
            if let biasSlot {
                bias.floats.update(from: flat + biasSlot.offset, count: outputCount)
            }
        }
    }

    func copyParameters(into flat: UnsafeMutablePointer<Float>) {
        (flat + weightSlot.offset).update(from: weights.floats, count: weightSlot.elementCount)
        if let biasSlot { (flat + biasSlot.offset).update(from: bias.floats, count: outputCount) }
    }

    func forward() -> [NativeOperation] {
        [
            NativeOperation(
                hasReLU ? "dense, ReLU" : "dense",
                byteCount: input.byteCount + weightByteCount + output.byteCount,
                runAll: { [unowned self] tiles in
                    forEachRows { first, count in
                        for tile in tiles { runForward(tile, first, count) }
                    }
                })
        ]
    }

    /// Calls `body` with the first output and the number of outputs whose weights are applied
    /// together.
    private func forEachRows(_ body: (Int, Int) -> Void) {
        let rows = max(1, Self.rowsByteCount / (64 * inputCount)) * 16
        for first in stride(from: 0, to: outputCount, by: rows) {
            body(first, min(rows, outputCount - first))
        }
    }

    private func runForward(_ tile: NativeTile, _ first: Int, _ count: Int) {
        convoy_lanes_dense(
            input.at(tile), weights.floats + first * inputCount, bias.floats + first,
            output.at(tile) + first * AlignedBuffer.lanes, inputCount, count, hasReLU ? 1 : 0)
    }

    private func runInputGradient(
        _ outputGradient: UnsafePointer<Float>, _ inputGradient: UnsafeMutablePointer<Float>,
        _ first: Int, _ count: Int
    ) {
        convoy_lanes_dense_input_gradient(
            outputGradient + first * AlignedBuffer.lanes, weights.floats + first * inputCount,
            inputGradient, inputCount, count, first > 0 ? 1 : 0)
    }

    func backward(_ gradients: inout NativeGradients) -> [NativeOperation] {
        let outputGradient = gradients.output
        var operations = [
            NativeOperation(
                isTrained ? "weight gradient" : "output gradient",
                byteCount: (weights.byteCount + inputRows.byteCount) / Self.tilesTogether,
                finishes: true
            ) { [unowned self] tile in runWeightGradient(outputGradient.at(tile), tile) }
        ]
        if let inputGradient = gradients.input() {
            operations.append(
                NativeOperation(
                    "input gradient", byteCount: weightByteCount + inputGradient.byteCount,
                    runAll: { [unowned self] tiles in
                        forEachRows { first, count in
                            for tile in tiles {
                                runInputGradient(
                                    outputGradient.at(tile), inputGradient.at(tile), first, count)
                            }
                        }
                    }))
        }
        return operations
    }

    private func runWeightGradient(
        _ outputGradient: UnsafeMutablePointer<Float>, _ tile: NativeTile
    ) {
        let lanes = AlignedBuffer.lanes
        if hasReLU {
            convoy_relu_backward(outputGradient, output.at(tile), outputCount * lanes)
        }
        guard let flat = tile.gradient, isTrained else { return }
        if tile.isFirst {
            keptTileCount = 0
            hasGradient = false
        }
        convoy_lanes_to_rows(
            input.at(tile), inputCount, inputRows.floats + keptTileCount * inputCount * lanes)
        convoy_lanes_to_rows(
            outputGradient, outputCount, gradientRows.floats + keptTileCount * outputCount * lanes)
        keptTileCount += 1
        guard tile.isLast || keptTileCount == Self.tilesTogether else { return }
        let adds: Int32 = hasGradient ? 1 : 0
        convoy_rows_dense_weight_gradient(
            inputRows.floats, gradientRows.floats, keptTileCount * lanes, inputCount, outputCount,
            flat + weightSlot.offset, adds)
        if let biasSlot {
            convoy_rows_bias_gradient(
                gradientRows.floats, keptTileCount * lanes, outputCount, flat + biasSlot.offset,
                adds)
        }
        hasGradient = true
        keptTileCount = 0
    }
}
