import NeuralNetwork

/// A planner collects a plan's steps and buffers while the stages are worked out.
final class OneDNNPlanner {
    let context: OneDNNContext
    let tileSize: Int
    /// The type of activations, of their gradients, and of the weights that are multiplied by them.
    let element: OneDNNElement
    var forwardSteps = OneDNNStepList()
    var backwardSteps = OneDNNStepList()
    private(set) var loads: [OneDNNParameterMove] = []
    private(set) var stores: [OneDNNParameterMove] = []
    private var weightGradients: [OneDNNWeightGradient] = []
    private var scratchpads: [(OneDNNCall, OneDNNLayout)] = []

    init(context: OneDNNContext, tileSize: Int, element: OneDNNElement) {
        self.context = context
        self.tileSize = tileSize
        self.element = element
    }

    /// Returns the tensor in another layout: the tensor itself, or a copy that a new step makes.
    func convert(
        _ tensor: OneDNNTensor, to layout: OneDNNLayout, in steps: inout OneDNNStepList
    ) throws(BackendError) -> OneDNNTensor {
        if tensor.layout.isEqual(layout) { return tensor }
        let copy = try OneDNNTensor(context, layout)
        let operation = try OneDNNOperation(reorder: tensor.layout, to: layout, context)
        steps.append(.call(try reorder(operation, tensor.memory, copy.memory)))
        return copy
    }

    /// Returns the tensor in row-major order.
    func convertToPlain(
        _ tensor: OneDNNTensor, element: OneDNNElement, in steps: inout OneDNNStepList
    ) throws(BackendError) -> OneDNNTensor {
        let plain = try OneDNNLayout(element, tensor.layout.shape, .rowMajor)
        return try convert(tensor, to: plain, in: &steps)
    }

    /// Returns a slot's weights in the layout that `operation` wants. Every `setParameters` fills
    /// them.
    func loadWeights(
        _ slot: ParameterSlot, _ shape: [Int], _ operation: OneDNNOperation
    ) throws(BackendError) -> OneDNNTensor {
        let layout = OneDNNLayout(of: operation, .weights, element: element)!
        if let load = loads.first(where: { $0.slot == slot && $0.tensor.layout.isEqual(layout) }) {
            return load.tensor
        }
        let weights = try OneDNNTensor(context, layout)
        let flatLayout = try OneDNNLayout(.float32, shape, .rowMajor)
        if flatLayout.isEqual(layout) {
            loads.append(OneDNNParameterMove(slot: slot, kind: .copy, tensor: weights))
            return weights
        }
        let flat = try OneDNNMemory(context, pointing: flatLayout)
        let move = try OneDNNOperation(reorder: flatLayout, to: layout, context)
        loads.append(
            OneDNNParameterMove(
                slot: slot, kind: .reorder(flat, try reorder(move, flat, weights.memory)),
                tensor: weights))
        return weights
    }

    /// Returns a slot's bias, in float32. Every `setParameters` fills it.
    func loadBias(_ slot: ParameterSlot) throws(BackendError) -> OneDNNTensor {
        let bias = try OneDNNTensor(context, OneDNNLayout(.float32, slot.shape, .rowMajor))
        loads.append(OneDNNParameterMove(slot: slot, kind: .copy, tensor: bias))
        return bias
    }

    /// Adds the copying of a layer's gradient sums to the flat gradient, at the end of a
    /// microbatch.
    func store(
        _ sum: OneDNNWeightGradient, _ weightSlot: ParameterSlot, _ shape: [Int],
        _ biasSlot: ParameterSlot
    ) throws(BackendError) {
        weightGradients.append(sum)
        let flatLayout = try OneDNNLayout(.float32, shape, .rowMajor)
        var kind = OneDNNParameterMove.Kind.copy
        if !flatLayout.isEqual(sum.weights.layout) {
            let flat = try OneDNNMemory(context, pointing: flatLayout)
            let move = try OneDNNOperation(reorder: sum.weights.layout, to: flatLayout, context)
            kind = .reorder(flat, try reorder(move, sum.weights.memory, flat))
        }
        stores.append(OneDNNParameterMove(slot: weightSlot, kind: kind, tensor: sum.weights))
        stores.append(OneDNNParameterMove(slot: biasSlot, kind: .copy, tensor: sum.bias))
    }

    /// Notes that a call needs scratch memory, if it does; ``finish()`` allocates it.
    func bindScratchpad(
        _ call: OneDNNCall, _ operation: OneDNNOperation
    ) throws(BackendError) {
        guard let layout = OneDNNLayout(of: operation, .scratchpad, element: .float32),
            layout.byteCount > 0
        else { return }
        scratchpads.append((call, layout))
    }

    /// Gives every call the buffers that all calls share.
    func finish() throws(BackendError) {
        let scratch = AlignedBuffer(
            byteCount: scratchpads.reduce(0) { max($0, $1.1.byteCount) })
        for (call, layout) in scratchpads {
            call.bind(.scratchpad, try OneDNNMemory(context, layout, scratch))
        }
        let weights = AlignedBuffer(
            byteCount: weightGradients.reduce(0) { max($0, $1.weights.layout.byteCount) })
        let bias = AlignedBuffer(
            byteCount: weightGradients.reduce(0) { max($0, $1.bias.layout.byteCount) })
        for gradient in weightGradients {
            try gradient.bindTemporaries(context, weights: weights, bias: bias)
        }
    }

    private func reorder(
        _ operation: OneDNNOperation, _ source: OneDNNMemory, _ destination: OneDNNMemory
    ) throws(BackendError) -> OneDNNCall {
        let call = try OneDNNCall(operation)
        call.bind(.source, source)
        call.bind(.destination, destination)
        try bindScratchpad(call, operation)
        return call
    }
}
