import CKernels

/// The stages, buffers and order of work of one network for tiles of eight images.
///
/// A plan is made once. A step allocates nothing, but for the first one, and for one with more tiles
/// than any before.
final class NativePlan {
    typealias Named = (node: Node, operation: NativeOperation)

    let network: Network
    private let memory: NativeMemory
    private let input: LaneTensor
    private let output: LaneTensor
    private let stages: [any NativeStage]
    private let logits: AlignedBuffer
    private let logitGradients: AlignedBuffer
    private let outputGradient: LaneTensor
    private let imageGradient: LaneTensor?
    /// The loading of parameters: one entry for each of ``ParameterLayout/layers``, in their order.
    let loads: [(name: String, run: (UnsafePointer<Float>) -> Void)]
    /// The operations of each segment on a tile.
    let forwardOperations: [[Named]]
    let backwardOperations: [[Named]]
    let order: SegmentOrder
    private let forwardBarriers: [[NativeBarrier]]
    private let backwardBarriers: [[NativeBarrier]]
    private let precision: Precision
    /// The flat vector with its weights rounded to bfloat16; nil in fp32.
    private let rounded: AlignedBuffer?
    /// For each segment's backward operations, the first element of the flat gradient that is final
    /// together with all after it once the operation has run on the last tile; nil where that is no
    /// news.
    private let finalElements: [[Int?]]
    /// The same for the barriers before each segment's backward operations.
    private let finalElementsOfBarriers: [Int?]
    /// The same for the statistics, which are final before the first backward operation.
    private let finalStatistics: Int?

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
    ///   - wideFrom: the number of weights from which on a node is wide; see ``NativePlanner``.
    ///   - hasMemory: whether memory is allocated. Without it the plan is only counted and computes
    ///     nothing.
    /// - Throws: ``BackendError`` that names a node that this backend does not compute.
    init(
        network: Network, precision: Precision, wantsInputGradient: Bool, wideFrom: Int,
        hasMemory: Bool = true
    ) throws(BackendError) {
        self.network = network
        self.precision = precision
        let planner = try NativePlanner(
            network, wantsImageGradient: wantsInputGradient, wideFrom: wideFrom,
            hasMemory: hasMemory)
        memory = planner.memory
        rounded =
            precision == .bf16
            ? memory.buffer(byteCount: network.parameters.elementCount * 4) : nil
        let tensors = planner.tensors
        guard let first = tensors[0], let last = tensors[planner.outputValue] else {
            preconditionFailure("\(network.specification.name) has no output")
        }
        (input, output) = (first, last)
        logits = memory.buffer(laneCount: network.outputElementCount)
        logitGradients = memory.buffer(laneCount: network.outputElementCount)
        func rounding(_ tensor: LaneTensor?) -> [NativeOperation] {
            guard precision == .bf16, let tensor else { return [] }
            return [Self.round(tensor)]
        }
        let entries = planner.stages
        stages = entries.joined().map(\.stage)
        forwardOperations = entries.map { segment in
            segment.flatMap { entry -> [Named] in
                let isLast = entry.output == planner.outputValue
                let operations =
                    entry.stage.forward() + rounding(isLast ? nil : tensors[entry.output])
                return operations.map { (entry.stage.node, $0) }
            }
        }
        order = planner.order
        let backward = planner.planBackward(rounding)
        backwardOperations = backward.operations
        outputGradient = backward.outputGradient
        imageGradient = backward.imageGradient
        forwardBarriers = planner.forwardBarriers
        backwardBarriers = planner.backwardBarriers
        loads = Self.loads(stages, network)
        var final = FinalElements(network.parameters)
        finalStatistics = final.finish(network.parameters.statistics)
        var elements = [[Int?]](repeating: [], count: entries.count)
        var ofBarriers = [Int?](repeating: nil, count: entries.count)
        for segment in entries.indices.reversed() {
            if segment < backwardBarriers.count {
                for barrier in backwardBarriers[segment] {
                    let news = barrier.finishes ? final.finish(network.trainedRange(barrier.node)) : nil
                    ofBarriers[segment] = news ?? ofBarriers[segment]
                }
            }
            elements[segment] = backwardOperations[segment].map { entry in
                entry.operation.finishes ? final.finish(network.trainedRange(entry.node)) : nil
            }
        }
        finalElements = elements
        finalElementsOfBarriers = ofBarriers
    }

    private static func loads(
        _ stages: [any NativeStage], _ network: Network
    ) -> [(name: String, run: (UnsafePointer<Float>) -> Void)] {
        var loads: [(name: String, run: (UnsafePointer<Float>) -> Void)] =
            stages.filter { network.isTrained($0.node) }.sorted { $0.node.index < $1.node.index }
            .compactMap { stage in stage.load.map { (stage.node.name, $0) } }
        func append(_ name: String, _ parts: [(UnsafePointer<Float>) -> Void]) {
            if !parts.isEmpty { loads.append((name, { flat in for part in parts { part(flat) } })) }
        }
        append(
            "statistics",
            stages.filter { !network.hasFrozenStatistics($0.node) }.compactMap(\.loadStatistics))
        let frozen = stages.filter { stage in
            stage.node.slots.contains { network.parameters.slots[$0].isFrozen }
        }
        append("frozen", frozen.compactMap(\.load) + frozen.compactMap(\.loadStatistics))
        return loads
    }

    /// The network's outputs, row-major [8, outputs], after ``giveOutputs(_:)``.
    var outputs: UnsafeMutablePointer<Float> { logits.floats }
    /// The gradient of the outputs, row-major [8, outputs], read by
    /// ``takeOutputGradients(_:)``.
    var outputGradients: UnsafeMutablePointer<Float> { logitGradients.floats }
    /// The bytes that the plan allocates for microbatches of this number of records.
    func byteCount(records: Int) -> Int {
        memory.byteCount(tiles: (records + AlignedBuffer.lanes - 1) / AlignedBuffer.lanes)
    }

    private static func round(_ tensor: LaneTensor) -> NativeOperation {
        NativeOperation("to bfloat16", byteCount: 2 * tensor.byteCount) { tile in
            convoy_bf16_round(tensor.at(tile), tensor.at(tile), tensor.floatCount)
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

    /// Copies images [tile.count, C, H, W] to the input's lanes, with zeros for the rest of the
    /// tile.
    func takeImages(_ images: UnsafePointer<Float>, _ tile: NativeTile) {
        convoy_lanes_from_rows(images, tile.count, network.inputElementCount, input.at(tile))
        if precision == .bf16 {
            convoy_bf16_round(input.at(tile), input.at(tile), input.floatCount)
        }
    }

    /// Copies the network's output from lanes to the rows of ``outputs``.
    func giveOutputs(_ tile: NativeTile) {
        convoy_lanes_to_rows(output.at(tile), network.outputElementCount, logits.floats)
    }

    /// Copies ``outputGradients`` to lanes. Images from `tile.count` on get zero gradients, so that
    /// they add exact zeros to every sum.
    func takeOutputGradients(_ tile: NativeTile) {
        let gradient = outputGradient.at(tile)
        convoy_lanes_from_rows(
            logitGradients.floats, tile.count, network.outputElementCount, gradient)
        if precision == .bf16 { convoy_bf16_round(gradient, gradient, outputGradient.floatCount) }
    }

    /// Returns the gradient of the images as rows [8, C, H, W].
    func copyImageGradients(_ tile: NativeTile) -> [Float] {
        guard let imageGradient else { return [] }
        let count = network.inputElementCount
        return [Float](unsafeUninitializedCapacity: count * AlignedBuffer.lanes) { rows, filled in
            convoy_lanes_to_rows(imageGradient.at(tile), count, rows.baseAddress)
            filled = count * AlignedBuffer.lanes
        }
    }

    /// Makes room for a number of tiles, which is needed before anything is computed.
    func reserve(_ tileCount: Int) { memory.reserve(tileCount) }

    /// Computes at most eight images in inference mode. Zero images fill the rest of the tile.
    func infer(_ images: UnsafePointer<Float>, count: Int) {
        reserve(1)
        let tile = NativeTile(count: count)
        takeImages(images, tile)
        let tiles = [tile][...]
        for segment in forwardOperations {
            for (_, operation) in segment { operation.run(tiles) }
        }
        giveOutputs(tile)
    }

    /// Computes the gradients of a microbatch of at least one record.
    ///
    /// All tiles run forward through each stretch of segments but the last before the next one
    /// begins. Through the last stretch each tile, or each group of tiles, runs forward, through the
    /// loss and back. The other stretches then run back, in reverse order.
    /// - Parameters:
    ///   - images: row-major [count, C, H, W].
    ///   - pass: the tiles, the gradient and the callbacks.
    /// - Returns: whether the gradient was wanted to the end.
    func computeGradient(
        _ images: UnsafePointer<Float>, _ pass: some NativePass
    ) -> Bool {
        let tiles = pass.tiles
        reserve(tiles.count)
        let batch = NativeBarrier.Batch(
            count: tiles.reduce(0) { $0 + $1.count }, gradient: pass.gradient)
        let stretches = order.stretches
        var start = images
        for stretch in stretches {
            var rest = tiles[...]
            while !rest.isEmpty {
                let group = Self.take(order.groupSize(of: stretch), of: &rest)
                guard pass.isWanted() else { return false }
                for segment in stretch { runForward(segment, group, &start, pass) }
                guard stretch == stretches.last else { continue }
                for tile in group {
                    giveOutputs(tile)
                    pass.computeLoss(tile, self)
                    takeOutputGradients(tile)
                    if tile.isLast, let element = finalStatistics { pass.isFinal(element) }
                }
                pass.didRun()
                for segment in stretch.reversed() { runBackward(segment, group, pass) }
            }
            guard stretch != stretches.last else { break }
            for barrier in forwardBarriers[stretch.upperBound - 1] { barrier.run(batch) }
        }
        for stretch in stretches.dropLast().reversed() {
            let end = stretch.upperBound - 1
            for barrier in backwardBarriers[end] { barrier.run(batch) }
            if let element = finalElementsOfBarriers[end] { pass.isFinal(element) }
            var rest = tiles[...]
            while !rest.isEmpty {
                let group = Self.take(order.groupSize(of: stretch), of: &rest)
                guard pass.isWanted() else { return false }
                for segment in stretch.reversed() { runBackward(segment, group, pass) }
            }
        }
        return true
    }

    /// Removes and returns the tiles of a group that each operation of a segment runs on before the
    /// next one does: all of them in a wide segment, otherwise the first one.
    func takePart(
        of group: inout ArraySlice<NativeTile>, _ segment: Int
    ) -> ArraySlice<NativeTile> {
        Self.take(order.isWide(segment) ? group.count : 1, of: &group)
    }

    /// Removes and returns the first tiles.
    private static func take(
        _ count: Int, of tiles: inout ArraySlice<NativeTile>
    ) -> ArraySlice<NativeTile> {
        defer { tiles = tiles.dropFirst(count) }
        return tiles.prefix(count)
    }

    /// Runs a segment forward, and takes the images first where it is the first one.
    private func runForward(
        _ segment: Int, _ group: ArraySlice<NativeTile>, _ images: inout UnsafePointer<Float>,
        _ pass: some NativePass
    ) {
        var rest = group
        while !rest.isEmpty {
            let tiles = takePart(of: &rest, segment)
            pass.willRun(segment, isForward: true)
            if segment == 0 {
                for tile in tiles {
                    takeImages(images, tile)
                    images += tile.count * network.inputElementCount
                }
                pass.didRun()
            }
            for (_, operation) in forwardOperations[segment] {
                operation.run(tiles)
                pass.didRun()
            }
        }
    }

    private func runBackward(
        _ segment: Int, _ group: ArraySlice<NativeTile>, _ pass: some NativePass
    ) {
        var rest = group
        while !rest.isEmpty {
            let tiles = takePart(of: &rest, segment)
            pass.willRun(segment, isForward: false)
            let isLast = tiles.last?.isLast ?? false
            for (index, entry) in backwardOperations[segment].enumerated() {
                entry.operation.run(tiles)
                pass.didRun()
                if isLast, let element = finalElements[segment][index] { pass.isFinal(element) }
            }
            if segment == 0 { for tile in tiles { pass.didFinish(tile, self) } }
        }
    }
}

/// What a plan is told and asked while it computes a gradient.
protocol NativePass {
    /// The tiles of the microbatch, in order.
    var tiles: [NativeTile] { get }
    /// The flat gradient.
    var gradient: UnsafeMutablePointer<Float> { get }
    /// Returns whether the gradient is still wanted.
    func isWanted() -> Bool
    /// Reads the outputs of a tile, and writes their gradients.
    func computeLoss(_ tile: NativeTile, _ plan: NativePlan)
    /// Receives the first element of the flat gradient that is final with all after it.
    func isFinal(_ element: Int)
    /// Is told that the operations of a segment come next.
    func willRun(_ segment: Int, isForward: Bool)
    /// Is told that an operation, the taking of images or the loss has run.
    func didRun()
    /// Is told that a tile has run through to the gradient of its images.
    func didFinish(_ tile: NativeTile, _ plan: NativePlan)
}

extension NativePass {
    func isWanted() -> Bool { true }
    func isFinal(_ element: Int) {}
    func willRun(_ segment: Int, isForward: Bool) {}
    func didRun() {}
    func didFinish(_ tile: NativeTile, _ plan: NativePlan) {}
}

/// Follows which elements at the end of the flat gradient are final.
private struct FinalElements {
    private var finished: Set<Range<Int>> = []
    private var first: Int

    init(_ parameters: ParameterLayout) { first = parameters.activeCount }

    /// Notes that a range is final. Returns the first element that is final with all after it, if
    /// that is news.
    mutating func finish(_ range: Range<Int>) -> Int? {
        guard !range.isEmpty else { return nil }
        finished.insert(range)
        let before = first
        while let next = finished.first(where: { $0.upperBound == first }) {
            finished.remove(next)
            first = next.lowerBound
        }
        return first < before ? first : nil
    }
}

extension AlignedBuffer {
    /// The number of images that lie side by side in a lane tensor.
    static let lanes = Int(CONVOY_LANES)
    static let laneByteCount = lanes * MemoryLayout<Float>.size

    var integers: UnsafeMutablePointer<Int32> { bytes.assumingMemoryBound(to: Int32.self) }
}
