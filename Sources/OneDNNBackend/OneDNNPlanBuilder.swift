import NeuralNetwork

/// A builder works out the steps of a plan, stage by stage: forward in order, then backward.
///
/// ReLU and dropout work in place. A layer before them that derives its ReLU's mask from its own
/// output still finds zero where that output was zero, or where the gradient is zero anyway. Images
/// that are changed in place are copied first; see ``onlyReadsItsInput``.
struct OneDNNPlanBuilder {
    private enum Planned {
        case weighted(OneDNNWeightedLayer, OneDNNForward, isReLUMasked: Bool)
        case pool(OneDNNPool, input: OneDNNTensor, output: OneDNNTensor, reusesInput: Bool)
        case relu(OneDNNTensor)
        case dropout(OneDNNDropout, OneDNNTensor)
    }

    private let planner: OneDNNPlanner
    private let network: Network
    private let stages: [LayerStage]
    private var planned: [Planned] = []

    init(planner: OneDNNPlanner, network: Network) throws(BackendError) {
        self.planner = planner
        self.network = network
        stages = try LayerStage.list(network)
    }

    /// Whether oneDNN reads the images, which may then lie anywhere. Convoy's own kernels know only
    /// the addresses of the plan's buffers, and some of them change their input.
    var onlyReadsItsInput: Bool { stages.first?.hasParameters ?? false }

    /// Plans the forward pass.
    ///
    /// - Returns: the output, float32 and row-major.
    mutating func planForward(_ input: OneDNNTensor) throws(BackendError) -> OneDNNTensor {
        var tensor = input
        for (index, stage) in stages.enumerated() {
            planner.forwardSteps.layerName = stage.node.name
            switch stage {
            case .convolution(let layer, let hasReLU), .dense(let layer, let hasReLU):
                var isReLUMasked = false
                if index + 1 < stages.count, case .pool(_, masksReLU: true) = stages[index + 1] {
                    isReLUMasked = true
                }
                let weighted = OneDNNWeightedLayer(
                    layer, hasReLU: hasReLU, inputShape: tensor.layout.shape,
                    parameters: network.parameters)
                let forward = try weighted.planForward(
                    planner, input: tensor, isLast: index == stages.count - 1)
                tensor = forward.output
                planned.append(.weighted(weighted, forward.forward, isReLUMasked: isReLUMasked))
            case .pool(let layer, let masksReLU):
                tensor = try planPool(layer, tensor, masksReLU: masksReLU, index: index)
            case .relu:
                planner.forwardSteps.append(.relu(tensor))
                planned.append(.relu(tensor))
            case .dropout(let layer, let rate):
                tensor = try planner.convertToPlain(
                    tensor, element: tensor.layout.element, in: &planner.forwardSteps)
                let dropout = OneDNNDropout(
                    layerIndex: layer.index, rate: rate, elementCount: layer.inputElementCount,
                    tileSize: planner.tileSize)
                planner.forwardSteps.append(.dropout(dropout, tensor))
                planned.append(.dropout(dropout, tensor))
            }
        }
        return try planner.convertToPlain(
            tensor, element: .float32, in: &planner.forwardSteps)
    }

    private mutating func planPool(
        _ layer: Node, _ tensor: OneDNNTensor, masksReLU: Bool, index: Int
    ) throws(BackendError) -> OneDNNTensor {
        guard let window = (layer.layer as? MaxPool2D)?.window else {
            preconditionFailure("\(layer.name) is not a pool")
        }
        let (size, stride) = (window.size, window.stride)
        guard size.height * size.width < 0xFFFF else {
            throw OneDNNLibrary.failure(
                "layer \(layer.name) has a window of \(size.height)x\(size.width); "
                    + "at most 65,534 elements are supported")
        }
        var input = tensor
        if input.layout.channelBlock == nil {
            input = try planner.convertToPlain(
                input, element: input.layout.element, in: &planner.forwardSteps)
        }
        let output = try OneDNNTensor(
            planner.context,
            OneDNNLayout(
                input.layout.element, [planner.tileSize] + layer.outputShape,
                .channelBlock(input.layout.channelBlock!)))
        let pool = OneDNNPool(
            layer: layer, size: size, stride: stride, input: input, output: output,
            masksReLU: masksReLU)
        planner.forwardSteps.append(.pool(pool))
        // What a convolution or a pool wrote only for this pool is no longer needed when its
        // gradient is made. So the gradient takes that buffer, which is in the cache.
        var reusesInput = false
        switch planned.last {
        case .weighted(let layer, _, let isReLUMasked):
            reusesInput = !layer.hasReLU || isReLUMasked
        case .pool: reusesInput = true
        default: break
        }
        planned.append(.pool(pool, input: input, output: output, reusesInput: reusesInput))
        return output
    }

    /// Plans the backward pass.
    ///
    /// - Returns: the gradient of the images, float32 and row-major; nil where it is not wanted.
    mutating func planBackward(
        _ outputGradient: OneDNNTensor, wantsInputGradient: Bool
    ) throws(BackendError) -> OneDNNTensor? {
        let firstWithParameters = stages.firstIndex { $0.hasParameters } ?? stages.count
        var gradient = outputGradient
        for index in planned.indices.reversed() {
            if !wantsInputGradient && index < firstWithParameters { break }
            planner.backwardSteps.layerName = stages[index].node.name
            switch planned[index] {
            case .weighted(let layer, let forward, let isReLUMasked):
                let next = try layer.planBackward(
                    planner, forward, outputGradient: gradient, isReLUMasked: isReLUMasked,
                    wantsInputGradient: wantsInputGradient || index > firstWithParameters)
                guard let next else { return nil }
                gradient = next
            case .pool(let pool, let input, let output, let reusesInput):
                gradient = try planner.convert(
                    gradient, to: output.layout, in: &planner.backwardSteps)
                let inputGradient = try OneDNNTensor(
                    planner.context, input.layout, over: reusesInput ? input.buffer : nil)
                planner.backwardSteps.append(
                    .poolBackward(pool, outputGradient: gradient, inputGradient: inputGradient))
                gradient = inputGradient
            case .relu(let output):
                gradient = try planner.convert(
                    gradient, to: output.layout, in: &planner.backwardSteps)
                planner.backwardSteps.append(.reluBackward(gradient: gradient, output: output))
            case .dropout(let dropout, let output):
                gradient = try planner.convert(
                    gradient, to: output.layout, in: &planner.backwardSteps)
                planner.backwardSteps.append(.dropoutBackward(dropout, gradient))
            }
        }
        guard wantsInputGradient else { return nil }
        return try planner.convertToPlain(
            gradient, element: .float32, in: &planner.backwardSteps)
    }
}
