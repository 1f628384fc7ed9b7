/// A kind of layer that the native backend computes.
protocol NativeLayer: Layer {
    /// Adds the stage that computes a node, and with it nodes after it where one stage computes them
    /// together.
    func plan(_ node: Node, in planner: NativePlanner)
}

extension Conv2D: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        var hasReLU = activation == .relu
        var last = node
        if !hasReLU, let relu = planner.soleReader(of: node), relu.layer is ReLU {
            hasReLU = true
            last = relu
        }
        if groups > 1 {
            planner.append(node, as: last) { input, output, wantsInputGradient in
                NativeGroupedConvolution(
                    node, self, hasReLU: hasReLU, input: input[0], output: output,
                    network: planner.network, wantsInputGradient: wantsInputGradient,
                    memory: planner.memory)
            }
            return
        }
        var pool: Node?
        if let next = planner.soleReader(of: last), next.layer is MaxPool2D {
            pool = next
            last = next
        }
        planner.append(node, as: last) { input, output, wantsInputGradient in
            NativeConvolution(
                node, self, hasReLU: hasReLU, pool: pool, input: input[0], output: output,
                network: planner.network, wantsInputGradient: wantsInputGradient,
                memory: planner.memory)
        }
    }
}

extension Conv1D: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) { ofImages.plan(node, in: planner) }
}

extension Dense: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        var hasReLU = activation == .relu
        var last = node
        if !hasReLU, let relu = planner.soleReader(of: node), relu.layer is ReLU {
            hasReLU = true
            last = relu
        }
        planner.append(node, as: last) { input, output, _ in
            NativeDense(
                node, hasReLU: hasReLU, input: input[0], output: output, network: planner.network,
                memory: planner.memory)
        }
    }
}

extension MaxPool2D: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.append(node) { input, output, _ in
            NativePoolStage(node, input: input[0], output: output, memory: planner.memory)
        }
    }
}

extension AveragePool2D: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.append(node) { input, output, _ in
            NativeAveragePool(node, input: input[0], output: output)
        }
    }
}

extension GlobalAveragePool: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.append(node) { input, output, _ in
            NativeAveragePool(node, input: input[0], output: output)
        }
    }
}

extension Flatten: NativeLayer {
    /// [C, H, W, 8] and [C · H · W, 8] are the same memory, so nothing is computed.
    func plan(_ node: Node, in planner: NativePlanner) {}
}

extension Dropout: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.append(node, inPlace: true) { input, output, _ in
            NativeDropout(
                node, rate: rate, input: input[0], output: output, memory: planner.memory)
        }
    }
}

extension BatchNorm: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.appendBatchNorm(node, NativeMoments(node, self, in: planner))
    }
}

extension GroupNorm: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.append(node) { input, output, _ in
            NativeGroupNorm(
                node, channels: node.inputShape[0], groups: groups, epsilon: epsilon,
                input: input[0], output: output, network: planner.network, memory: planner.memory)
        }
    }
}

extension LayerNorm: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.append(node) { input, output, _ in
            NativeGroupNorm(
                node, channels: node.inputElementCount, groups: 1, epsilon: epsilon,
                input: input[0], output: output, network: planner.network, memory: planner.memory)
        }
    }
}

extension ElementwiseLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.append(node, inPlace: kernel == nil) { input, output, _ in
            NativeActivation(node, self, input: input[0], output: output)
        }
    }
}

extension ReLU: NativeLayer {}
extension ReLU6: NativeLayer {}
extension LeakyReLU: NativeLayer {}
extension HardSigmoid: NativeLayer {}
extension HardSwish: NativeLayer {}
extension Sigmoid: NativeLayer {}
extension Tanh: NativeLayer {}
extension SiLU: NativeLayer {}
extension GELU: NativeLayer {}

extension Add: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.append(node) { inputs, output, _ in
            NativeAdd(node, inputs: inputs, output: output)
        }
    }
}

extension Multiply: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.append(node) { inputs, output, _ in
            NativeMultiply(node, inputs: inputs, output: output)
        }
    }
}

extension Concat: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.append(node) { inputs, output, _ in
            var places = [0]
            for input in inputs { places.append(places[places.count - 1] + input.elementCount) }
            return NativeConcat(
                node, inputs: inputs, output: output, places: Array(places.dropLast()))
        }
    }
}

extension PadChannels: NativeLayer {
    func plan(_ node: Node, in planner: NativePlanner) {
        planner.append(node) { inputs, output, _ in
            let plane = node.inputElementCount / node.inputShape[0]
            return NativeConcat(node, inputs: inputs, output: output, places: [before * plane])
        }
    }
}
