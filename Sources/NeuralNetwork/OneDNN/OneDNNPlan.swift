/// Everything one network needs for tiles of one size: operations, buffers, and the order of work.
///
/// Made once, with every buffer; a step allocates none. Layouts: activations stay in the layout
/// that the convolutions chose from layer to layer; a reorder stands only where the layout changes.
/// Threading: one thread. Determinism: a fixed list of single-threaded operations on buffers that
/// start at multiples of 64 bytes.
final class OneDNNPlan {
    let network: Network
    let tileSize: Int
    let context: OneDNNContext
    private let input: OneDNNTensor
    private let readsImagesInPlace: Bool
    private let output: OneDNNTensor
    private let outputGradient: OneDNNTensor
    private let inputGradient: OneDNNTensor?
    let loads: [OneDNNParameterMove]
    let stores: [OneDNNParameterMove]
    let forwardSteps: [OneDNNStep]
    let backwardSteps: [OneDNNStep]
    /// Layers' names, one a step; for breakdowns of the time.
    let forwardLayerNames: [String]
    let backwardLayerNames: [String]

    /// - Parameter wantsInputGradient: also computes the images' gradient, which training never
    ///   needs.
    init(
        network: Network, tileSize: Int, element: OneDNNElement, wantsInputGradient: Bool
    ) throws(BackendError) {
        self.network = network
        self.tileSize = tileSize
        context = try OneDNNContext()
        let planner = OneDNNPlanner(context: context, tileSize: tileSize, element: element)
        input = try OneDNNTensor(
            context,
            OneDNNLayout(.float32, [tileSize] + network.layers[0].inputShape, .rowMajor))
        var builder = OneDNNPlanBuilder(planner: planner, network: network)
        readsImagesInPlace = builder.onlyReadsItsInput
        output = try builder.planForward(input)
        outputGradient = try OneDNNTensor(context, output.layout)
        inputGradient = try builder.planBackward(
            outputGradient, wantsInputGradient: wantsInputGradient)
        try planner.finish()
        loads = planner.loads
        stores = planner.stores
        forwardSteps = planner.forwardSteps.steps
        backwardSteps = planner.backwardSteps.steps
        forwardLayerNames = planner.forwardSteps.layerNames
        backwardLayerNames = planner.backwardSteps.layerNames
    }

    /// [tileSize, outputs], row-major, after ``forward(_:count:dropout:)``.
    var outputs: UnsafeMutablePointer<Float> { output.buffer.floats }
    /// [tileSize, outputs], row-major, read by ``backward(isFirstTile:dropout:)``. Rows of padding
    /// must be zero: then all they add to any sum is zero.
    var outputGradients: UnsafeMutablePointer<Float> { outputGradient.buffer.floats }
    /// [tileSize, C, H, W], after ``backward(isFirstTile:dropout:)``, in plans that want it.
    var inputGradients: UnsafeMutablePointer<Float>? { inputGradient?.buffer.floats }

    func loadParameters(_ parameters: UnsafePointer<Float>) {
        for load in loads { load.load(parameters, context) }
    }

    func loadParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
        let range = network.parameters.layers[layer]
        for load in loads where range.contains(load.slot.offset) {
            load.load(parameters, context)
        }
    }

    /// Writes the sums over the tiles since the first to the flat gradient.
    func storeGradient(into gradient: UnsafeMutablePointer<Float>) {
        for store in stores { store.store(into: gradient, context) }
    }

    /// Computes `count` images, at most a tile; zeros fill the rest of the tile.
    func forward(_ images: UnsafePointer<Float>, count: Int, dropout: DropoutKey?) {
        load(images, count: count)
        for step in forwardSteps { step.run(context, isFirstTile: true, dropout: dropout) }
    }

    /// Gives the first step its images: a whole tile is read where it lies, until the next load;
    /// the last one, and what a step changes in place, is copied.
    func load(_ images: UnsafePointer<Float>, count: Int) {
        precondition(count <= tileSize, "\(count) images in a tile of \(tileSize)")
        if count == tileSize && readsImagesInPlace {
            input.memory.point(at: UnsafeMutableRawPointer(mutating: images))
            return
        }
        useOwnImages()
        let imageElementCount = network.inputElementCount
        input.buffer.floats.update(from: images, count: count * imageElementCount)
        (input.buffer.floats + count * imageElementCount)
            .update(repeating: 0, count: (tileSize - count) * imageElementCount)
    }

    /// Lets go of the caller's images.
    func useOwnImages() { input.memory.point(at: input.buffer.bytes) }

    func backward(isFirstTile: Bool, dropout: DropoutKey?) {
        for step in backwardSteps {
            step.run(context, isFirstTile: isFirstTile, dropout: dropout)
        }
    }

    /// The last tile: a layer's sums go to the flat gradient as soon as they are complete.
    ///
    /// - Parameter isFinal: told from which element on the gradient is final.
    func backward(
        isFirstTile: Bool, dropout: DropoutKey?,
        storingInto gradient: UnsafeMutablePointer<Float>, isFinal: (Int) -> Void
    ) {
        // Two moves, weights and biases, for each weight gradient, in the same order.
        var next = 0
        for step in backwardSteps {
            step.run(context, isFirstTile: isFirstTile, dropout: dropout)
            guard case .weightGradient = step else { continue }
            for move in stores[next..<next + 2] { move.store(into: gradient, context) }
            isFinal(stores[next].slot.offset)
            next += 2
        }
    }

    /// Zeroes the output gradients of a tile's padding, images `count` and beyond.
    func clearOutputGradients(from count: Int) {
        (outputGradients + count * network.outputElementCount)
            .update(repeating: 0, count: (tileSize - count) * network.outputElementCount)
    }

    /// The parameters in force, as far as the element type kept them.
    func copyParameters() throws(BackendError) -> [Float] {
        var flat = [Float](repeating: 0, count: network.parameters.elementCount)
        for load in loads {
            let shape: [Int] = load.tensor.layout.shape
            let plain = try OneDNNTensor(context, OneDNNLayout(.float32, shape, .rowMajor))
            let call = try OneDNNCall(
                OneDNNOperation(reorder: load.tensor.layout, to: plain.layout, context))
            call.bind(.source, load.tensor.memory)
            call.bind(.destination, plain.memory)
            call.run(context)
            for index in 0..<load.slot.elementCount {
                flat[load.slot.offset + index] = plain.buffer.floats[index]
            }
        }
        return flat
    }
}
