import COneDNN
import NeuralNetwork

/// A convolution or a dense layer. It makes its three operations (forward, weight gradient, input
/// gradient) in the layouts that suit them.
struct OneDNNWeightedLayer {
    let layer: Node
    let hasReLU: Bool
    /// The stride and the padding; nil for a dense layer.
    private let window: convoy_dnnl_window?
    private let weightSlot: ParameterSlot
    private let biasSlot: ParameterSlot
    /// The shape of the weights: [out, in, kh, kw] for a convolution, [out, in] for a dense layer
    /// on a flat input, [out, C, H, W] for a dense layer on another input.
    private let weightShape: [Int]

    init(_ layer: Node, hasReLU: Bool, inputShape: [Int], parameters: ParameterLayout) {
        self.layer = layer
        self.hasReLU = hasReLU
        weightSlot = parameters.slots[layer.slots[0]]
        biasSlot = parameters.slots[layer.slots[1]]
        if let stride = (layer.layer as? Conv2D)?.window.stride {
            let padding = layer.padding
            window = convoy_dnnl_window(
                stride: (Int64(stride.height), Int64(stride.width)),
                padding_before: (Int64(padding.top), Int64(padding.left)),
                padding_after: (Int64(padding.bottom), Int64(padding.right)))
            weightShape = weightSlot.shape
        } else {
            window = nil
            weightShape = [weightSlot.shape[0]] + inputShape.dropFirst()
        }
    }

    /// Plans the forward pass.
    ///
    /// - Parameter isLast: whether the output is the network's output, which is float32.
    func planForward(
        _ planner: OneDNNPlanner, input: OneDNNTensor, isLast: Bool
    ) throws(BackendError) -> (output: OneDNNTensor, forward: OneDNNForward) {
        let element = planner.element
        let outputShape = [planner.tileSize] + layer.outputShape
        let outputElement = isLast ? .float32 : element
        let bias = try OneDNNLayout(.float32, biasSlot.shape, .rowMajor)
        let output = try OneDNNLayout(outputElement, outputShape, preferredOrder)
        var options: [Layouts] = []
        for order in orders {
            options.append(
                Layouts(
                    source: try OneDNNLayout(element, input.layout.shape, order),
                    weights: try OneDNNLayout(element, weightShape, order), destination: output))
        }
        let operation = try choose(options) { (option) throws(BackendError) in
            try make(planner, convoy_dnnl_forward_training, option, bias, forward: nil)
        }
        let source = OneDNNLayout(of: operation, .source, element: element)!
        let x = try planner.convert(input, to: source, in: &planner.forwardSteps)
        let y = try OneDNNTensor(
            planner.context, OneDNNLayout(of: operation, .destination, element: outputElement)!)
        let call = try OneDNNCall(operation)
        call.bind(.source, x.memory)
        call.bind(.weights, try planner.loadWeights(weightSlot, weightShape, operation).memory)
        call.bind(.bias, try planner.loadBias(biasSlot).memory)
        call.bind(.destination, y.memory)
        try planner.bindScratchpad(call, operation)
        planner.forwardSteps.append(.call(call))
        return (y, OneDNNForward(operation: operation, input: x, output: y))
    }

    /// Plans the gradient of the weights and, where wanted, the gradient of the input.
    ///
    /// - Returns: the gradient of the input; nil where it is not wanted.
    func planBackward(
        _ planner: OneDNNPlanner, _ forward: OneDNNForward, outputGradient: OneDNNTensor,
        isReLUMasked: Bool, wantsInputGradient: Bool
    ) throws(BackendError) -> OneDNNTensor? {
        var gradient = outputGradient
        if hasReLU && !isReLUMasked {
            gradient = try planner.convert(
                gradient, to: forward.output.layout, in: &planner.backwardSteps)
            planner.backwardSteps.append(
                .reluBackward(gradient: gradient, output: forward.output))
        }
        gradient = try planWeightGradient(planner, forward, gradient)
        guard wantsInputGradient else { return nil }
        return try planInputGradient(planner, forward, gradient)
    }

    private func planWeightGradient(
        _ planner: OneDNNPlanner, _ forward: OneDNNForward, _ outputGradient: OneDNNTensor
    ) throws(BackendError) -> OneDNNTensor {
        let bias = try OneDNNLayout(.float32, biasSlot.shape, .rowMajor)
        let options = try backwardOptions(planner, forward, outputGradient, weights: .float32)
        let operation = try choose(options) { (option) throws(BackendError) in
            try make(
                planner, convoy_dnnl_backward_weights, option, bias, forward: forward.operation)
        }
        let x = try planner.convert(
            forward.input, to: OneDNNLayout(of: operation, .source, element: planner.element)!,
            in: &planner.backwardSteps)
        let gradient = try planner.convert(
            outputGradient,
            to: OneDNNLayout(of: operation, .destinationGradient, element: planner.element)!,
            in: &planner.backwardSteps)
        let sum = try OneDNNWeightGradient(
            planner.context, operation,
            weights: OneDNNLayout(of: operation, .weightsGradient, element: .float32)!,
            bias: bias)
        for call in sum.calls {
            call.bind(.source, x.memory)
            call.bind(.destinationGradient, gradient.memory)
            try planner.bindScratchpad(call, operation)
        }
        planner.backwardSteps.append(.weightGradient(sum))
        try planner.store(sum, weightSlot, weightShape, biasSlot)
        return gradient
    }

    private func planInputGradient(
        _ planner: OneDNNPlanner, _ forward: OneDNNForward, _ outputGradient: OneDNNTensor
    ) throws(BackendError) -> OneDNNTensor {
        let options = try backwardOptions(
            planner, forward, outputGradient, weights: planner.element)
        let operation = try choose(options) { (option) throws(BackendError) in
            try make(planner, convoy_dnnl_backward_data, option, nil, forward: forward.operation)
        }
        let gradient = try planner.convert(
            outputGradient,
            to: OneDNNLayout(of: operation, .destinationGradient, element: planner.element)!,
            in: &planner.backwardSteps)
        let inputGradient = try OneDNNTensor(
            planner.context,
            OneDNNLayout(of: operation, .sourceGradient, element: planner.element)!)
        let call = try OneDNNCall(operation)
        call.bind(.destinationGradient, gradient.memory)
        call.bind(.weights, try planner.loadWeights(weightSlot, weightShape, operation).memory)
        call.bind(.sourceGradient, inputGradient.memory)
        try planner.bindScratchpad(call, operation)
        planner.backwardSteps.append(.call(call))
        return inputGradient
    }

    /// The layouts of one operation. In the backward directions they are those of the gradients.
    private struct Layouts {
        let source: OneDNNLayout
        let weights: OneDNNLayout
        let destination: OneDNNLayout
    }

    /// The order to ask for in the output.
    private var preferredOrder: OneDNNLayout.Order { window == nil ? .rowMajor : .any }
    /// The orders of inputs and weights to try. A dense layer has many weights and few activations,
    /// so its weights stay as they lie in the flat vector: another order of oneDNN's choice costs
    /// more to make than it gains.
    private var orders: [OneDNNLayout.Order] { window == nil ? [.rowMajor, .any] : [.any] }

    /// Returns the layouts to try, in order: activations as they lie first, then as the operation
    /// prefers.
    private func backwardOptions(
        _ planner: OneDNNPlanner, _ forward: OneDNNForward, _ outputGradient: OneDNNTensor,
        weights element: OneDNNElement
    ) throws(BackendError) -> [Layouts] {
        let anySource = try OneDNNLayout(planner.element, forward.input.layout.shape, .any)
        let anyGradient = try OneDNNLayout(planner.element, outputGradient.layout.shape, .any)
        var pairs = [(forward.input.layout, anyGradient), (anySource, anyGradient)]
        if outputGradient.layout.element == planner.element {
            pairs.insert((forward.input.layout, outputGradient.layout), at: 0)
        }
        var options: [Layouts] = []
        for order in orders {
            let weights = try OneDNNLayout(element, weightShape, order)
            for (source, destination) in pairs {
                options.append(
                    Layouts(source: source, weights: weights, destination: destination))
            }
        }
        return options
    }

    /// Returns the first option that oneDNN has a fast kernel for, otherwise the first that works
    /// at all.
    private func choose(
        _ options: [Layouts], _ make: (Layouts) throws(BackendError) -> OneDNNOperation
    ) throws(BackendError) -> OneDNNOperation {
        var slow: OneDNNOperation?
        var problem: BackendError?
        for option in options {
            do throws(BackendError) {
                let operation = try make(option)
                if !operation.isSlow { return operation }
                slow = slow ?? operation
            } catch {
                problem = error
            }
        }
        if let slow { return slow }
        throw problem!
    }

    private func make(
        _ planner: OneDNNPlanner, _ direction: convoy_dnnl_direction, _ layouts: Layouts,
        _ bias: OneDNNLayout?, forward: OneDNNOperation?
    ) throws(BackendError) -> OneDNNOperation {
        let (source, weights) = (layouts.source, layouts.weights)
        let destination = layouts.destination
        let relu: Int32 = hasReLU && direction == convoy_dnnl_forward_training ? 1 : 0
        var handle: OpaquePointer?
        let status: Int32
        if var window {
            status = convoy_dnnl_convolution_create(
                &handle, planner.context.handle, direction, source.handle, weights.handle,
                bias?.handle, destination.handle, &window, relu, forward?.handle)
        } else {
            status = convoy_dnnl_inner_product_create(
                &handle, planner.context.handle, direction, source.handle, weights.handle,
                bias?.handle, destination.handle, relu, forward?.handle)
        }
        try OneDNNLibrary.check(status, "planning layer \(layer.name) (\(layer.inputShape))")
        return OneDNNOperation(
            adopting: handle!, kind: window == nil ? .innerProduct : .convolution)
    }
}

/// The parts of the forward pass that the backward pass needs.
struct OneDNNForward {
    let operation: OneDNNOperation
    /// The input, in the layout in which the operation took it.
    let input: OneDNNTensor
    let output: OneDNNTensor
}
