import NeuralNetwork

/// The operations, buffers and order of work of one network for tiles of one size.
///
/// A plan is made once, with every buffer; a step allocates none. Layouts: activations stay in the
/// layout that the convolutions chose from layer to layer, and a reorder stands only where the
/// layout changes.
/// Threading: one thread uses a plan. Determinism: a plan is a fixed list of single-threaded
/// operations on buffers that start at multiples of 64 bytes.
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
    /// The names of the steps' layers, one for each step; for breakdowns of the time.
    let forwardLayerNames: [String]
    let backwardLayerNames: [String]

    /// Creates a plan and allocates its buffers.
    ///
    /// - Parameters:
    ///   - network: the network to compute.
    ///   - tileSize: the number of images in a tile.
    ///   - element: the type of weights, activations and the gradients of activations.
    ///   - wantsInputGradient: whether the gradient of the images is computed too, which training
    ///     never needs.
    init(
        network: Network, tileSize: Int, element: OneDNNElement, wantsInputGradient: Bool
    ) throws(BackendError) {
        self.network = network
        self.tileSize = tileSize
        context = try OneDNNContext()
        let planner = OneDNNPlanner(context: context, tileSize: tileSize, element: element)
        input = try OneDNNTensor(
            context,
            OneDNNLayout(.float32, [tileSize] + network.specification.inputShape, .rowMajor))
        var builder = try OneDNNPlanBuilder(planner: planner, network: network)
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

    /// The network's outputs, row-major [tileSize, outputs], after ``forward(_:count:dropout:)``.
    var outputs: UnsafeMutablePointer<Float> { output.buffer.floats }
    /// The gradient of the outputs, row-major [tileSize, outputs], read by
    /// ``backward(isFirstTile:dropout:)``. Rows of padding must be zero: then they add only zeros
    /// to any sum.
    var outputGradients: UnsafeMutablePointer<Float> { outputGradient.buffer.floats }
    /// The gradient of the images, [tileSize, C, H, W], after ``backward(isFirstTile:dropout:)``;
    /// nil in plans that do not compute it.
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

    /// Writes the sums over the tiles since the first one to the flat gradient.
    func storeGradient(into gradient: UnsafeMutablePointer<Float>) {
        for store in stores { store.store(into: gradient, context) }
    }

    /// Computes `count` images, at most a tile. Zero images fill the rest of the tile.
    func forward(_ images: UnsafePointer<Float>, count: Int, dropout: DropoutKey?) {
        load(images, count: count)
        for step in forwardSteps { step.run(context, isFirstTile: true, dropout: dropout) }
    }

    /// Gives the first step its images. A whole tile is read where it lies, until the next load. A
    /// tile that is not full is copied, and so are images that a step changes in place.
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

    /// Points the input at the plan's own buffer again, so that it no longer refers to the caller's
    /// images.
    func useOwnImages() { input.memory.point(at: input.buffer.bytes) }

    /// Computes the gradients of one tile from ``outputGradients``.
    func backward(isFirstTile: Bool, dropout: DropoutKey?) {
        for step in backwardSteps {
            step.run(context, isFirstTile: isFirstTile, dropout: dropout)
        }
    }

    /// Computes the gradients of the last tile, and copies each layer's sums to the flat gradient
    /// as soon as they are complete.
    ///
    /// - Parameters:
    ///   - isFirstTile: whether the tile is also the first one.
    ///   - dropout: the key of the masks; nil where nothing is dropped.
    ///   - gradient: the flat gradient.
    ///   - isFinal: receives the first element of the flat gradient that is final.
    func backward(
        isFirstTile: Bool, dropout: DropoutKey?,
        storingInto gradient: UnsafeMutablePointer<Float>, isFinal: (Int) -> Void
    ) {
        // Each weight gradient has two moves, for weights and bias, in the same order.
        var next = 0
        for step in backwardSteps {
            step.run(context, isFirstTile: isFirstTile, dropout: dropout)
            guard case .weightGradient = step else { continue }
            for move in stores[next..<next + 2] { move.store(into: gradient, context) }
            isFinal(stores[next].slot.offset)
            next += 2
        }
    }

    /// Zeroes the output gradients of a tile's padding: images `count` and beyond.
    func clearOutputGradients(from count: Int) {
        (outputGradients + count * network.outputElementCount)
            .update(repeating: 0, count: (tileSize - count) * network.outputElementCount)
    }

    /// Returns the flat vector of the parameters in force, as the element type keeps them.
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
