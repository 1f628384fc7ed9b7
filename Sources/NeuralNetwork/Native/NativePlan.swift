import CKernels

/// The stages, buffers and order of work of one network for tiles of eight images.
///
/// A plan is made once; a step allocates nothing.
final class NativePlan {
    let network: Network
    private let input: AlignedBuffer
    private let stages: [any NativeStage]
    private let logits: AlignedBuffer
    private let logitGradients: AlignedBuffer
    private let outputGradient: AlignedBuffer
    private let inputGradient: AlignedBuffer?
    /// The loading of parameters: one entry for each layer with parameters, in the order of those
    /// layers.
    let loads: [(name: String, run: (UnsafePointer<Float>) -> Void)]
    let forwardOperations: [(layer: String, operation: NativeOperation)]
    let backwardOperations: [(layer: String, operation: NativeOperation)]
    private let precision: Precision
    /// The flat vector with its weights rounded to bfloat16; nil in fp32.
    private let rounded: AlignedBuffer?
    /// For each backward operation, the first element of the flat gradient that is final once it
    /// has run; nil where the operation makes nothing final.
    private let finalElements: [Int?]

    /// Creates a plan and allocates its buffers.
    ///
    /// - Parameters:
    ///   - network: the network to compute.
    ///   - precision: with bf16 the weights, the images, the gradient of the outputs, and the
    ///     tensors that stages pass to each other in either direction are rounded to bfloat16.
    ///     Products and sums stay single precision, and so do biases, outputs and the gradients of
    ///     parameters.
    ///   - wantsInputGradient: whether the gradient of the images is computed too, which training
    ///     never needs.
    init(network: Network, precision: Precision, wantsInputGradient: Bool) {
        self.network = network
        self.precision = precision
        rounded =
            precision == .bf16
            ? AlignedBuffer(byteCount: network.parameters.elementCount * 4) : nil
        input = AlignedBuffer(laneCount: network.inputElementCount)
        let stages = Self.stages(network, input, wantsInputGradient: wantsInputGradient)
        self.stages = stages
        logits = AlignedBuffer(laneCount: network.outputElementCount)
        logitGradients = AlignedBuffer(laneCount: network.outputElementCount)
        outputGradient = AlignedBuffer(laneCount: network.outputElementCount)
        loads = stages.compactMap { stage in stage.load.map { (stage.layer.name, $0) } }
        func rounding(_ tensor: AlignedBuffer?) -> [NativeOperation] {
            guard precision == .bf16, let tensor else { return [] }
            return [Self.round(tensor)]
        }
        forwardOperations = stages.enumerated().flatMap { index, stage in
            let isLast = index == stages.count - 1
            return (stage.forward() + rounding(isLast ? nil : stage.output)).map {
                (stage.layer.name, $0)
            }
        }
        var backward: [(layer: String, operation: NativeOperation)] = []
        var finalElements: [Int?] = []
        var gradient: AlignedBuffer? = outputGradient
        for stage in stages.reversed() {
            guard let here = gradient else { break }
            let operations = stage.backward(here) + rounding(stage.inputGradient)
            backward += operations.map { (stage.layer.name, $0) }
            // A stage's first operation makes the gradient of its parameters.
            let slot = stage.layer.weightSlot.map { network.parameters.slots[$0] }
            finalElements += operations.indices.map { $0 == 0 ? slot?.offset : nil }
            gradient = stage.inputGradient
        }
        backwardOperations = backward
        self.finalElements = finalElements
        inputGradient = wantsInputGradient ? gradient : nil
    }

    private static func stages(
        _ network: Network, _ input: AlignedBuffer, wantsInputGradient: Bool
    ) -> [any NativeStage] {
        let list = LayerStage.list(network)
        let firstWithParameters = list.firstIndex { $0.hasParameters } ?? list.count
        var stages: [any NativeStage] = []
        var tensor = input
        var index = 0
        while index < list.count {
            let wanted = wantsInputGradient || index > firstWithParameters
            let stage: any NativeStage
            switch list[index] {
            case .convolution(let layer, let hasReLU):
                var pool: NetworkLayer?
                if index + 1 < list.count, case .pool(let next, _) = list[index + 1] {
                    pool = next
                    index += 1
                }
                stage = NativeConvolution(
                    layer, hasReLU: hasReLU, pool: pool, input: tensor,
                    parameters: network.parameters, wantsInputGradient: wanted)
            case .dense(let layer, let hasReLU):
                stage = NativeDense(
                    layer, hasReLU: hasReLU, input: tensor, parameters: network.parameters,
                    wantsInputGradient: wanted)
            case .pool(let layer, _):
                stage = NativePoolStage(layer, input: tensor, wantsInputGradient: wanted)
            case .relu(let layer): stage = NativeReLU(layer, input: tensor)
            case .dropout(let layer, let rate):
                stage = NativeDropout(layer, rate: rate, input: tensor)
            }
            stages.append(stage)
            tensor = stage.output
            index += 1
        }
        return stages
    }

    /// The network's outputs, row-major [8, outputs], after ``forward(_:count:_:)``.
    var outputs: UnsafeMutablePointer<Float> { logits.floats }
    /// The gradient of the outputs, row-major [8, outputs], read by
    /// ``takeOutputGradients(count:)``.
    var outputGradients: UnsafeMutablePointer<Float> { logitGradients.floats }

    private static func round(_ tensor: AlignedBuffer) -> NativeOperation {
        NativeOperation("to bfloat16", byteCount: 2 * tensor.byteCount) { _ in
            tensor.roundToBFloat16()
        }
    }

    func loadParameters(_ parameters: UnsafePointer<Float>) {
        for layer in loads.indices { loadParameters(parameters, ofLayer: layer) }
    }

    func loadParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
        guard let rounded = rounded?.floats else { return loads[layer].run(parameters) }
        let range = network.parameters.layers[layer]
        (rounded + range.lowerBound)
            .update(from: parameters + range.lowerBound, count: range.count)
        for slot in network.parameters.slots
        where slot.kind == .weight && range.contains(slot.offset) {
            convoy_bf16_round(rounded + slot.offset, rounded + slot.offset, slot.elementCount)
        }
        loads[layer].run(rounded)
    }

    /// Returns the flat vector of the parameters in force.
    func copyParameters() -> [Float] {
        var flat = [Float](repeating: 0, count: network.parameters.elementCount)
        flat.withUnsafeMutableBufferPointer { flat in
            guard let base = flat.baseAddress else { return }
            for stage in stages { stage.copyParameters(into: base) }
        }
        return flat
    }

    /// Computes `count` images, at most eight. Zero images fill the rest of the tile.
    func forward(_ images: UnsafePointer<Float>, count: Int, _ tile: NativeTile) {
        takeImages(images, count: count)
        for (_, operation) in forwardOperations { operation.run(tile) }
        giveOutputs()
    }

    /// Copies images [count, C, H, W] to the input's lanes, with zeros for the rest of the tile.
    func takeImages(_ images: UnsafePointer<Float>, count: Int) {
        convoy_lanes_from_rows(images, count, network.inputElementCount, input.floats)
        if precision == .bf16 { input.roundToBFloat16() }
    }

    /// Copies the last stage's output from lanes to the rows of ``outputs``.
    func giveOutputs() {
        let last = stages.last?.output ?? input
        convoy_lanes_to_rows(last.floats, network.outputElementCount, logits.floats)
    }

    /// Computes the gradients of one tile from ``outputGradients``.
    ///
    /// - Parameters:
    ///   - count: the number of images in the tile.
    ///   - tile: the pass; it names the flat gradient that is written.
    ///   - isFinal: receives, in the last tile, the first element of the flat gradient that is
    ///     final.
    func backward(count: Int, _ tile: NativeTile, isFinal: (Int) -> Void = { _ in }) {
        takeOutputGradients(count: count)
        for (index, entry) in backwardOperations.enumerated() {
            entry.operation.run(tile)
            if tile.isLast, let element = finalElements[index] { isFinal(element) }
        }
    }

    /// Copies ``outputGradients`` to lanes. Images from `count` on get zero gradients, so that they
    /// add exact zeros to every sum.
    func takeOutputGradients(count: Int) {
        convoy_lanes_from_rows(
            logitGradients.floats, count, network.outputElementCount, outputGradient.floats)
        if precision == .bf16 { outputGradient.roundToBFloat16() }
    }

    /// Returns the gradient of the images as rows [8, C, H, W].
    func copyInputGradients() -> [Float] {
        guard let inputGradient else { return [] }
        let count = network.inputElementCount
        return [Float](unsafeUninitializedCapacity: count * AlignedBuffer.lanes) { rows, filled in
            convoy_lanes_to_rows(inputGradient.floats, count, rows.baseAddress)
            filled = count * AlignedBuffer.lanes
        }
    }
}

extension AlignedBuffer {
    /// The number of images that lie side by side in a lane tensor.
    static let lanes = Int(CONVOY_LANES)
    static let laneByteCount = lanes * MemoryLayout<Float>.size

    /// Creates a lane tensor of zeros: `laneCount` numbers for each of eight images.
    convenience init(laneCount: Int) { self.init(byteCount: laneCount * Self.laneByteCount) }

    /// Rounds each float to the nearest bfloat16, ties to even.
    func roundToBFloat16() { convoy_bf16_round(floats, floats, byteCount / 4) }

    var integers: UnsafeMutablePointer<Int32> { bytes.assumingMemoryBound(to: Int32.self) }
}
