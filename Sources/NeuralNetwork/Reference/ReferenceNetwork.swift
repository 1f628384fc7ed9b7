/// Whether dropout drops elements, for which records, and whose statistics normalise.
public enum ReferenceMode: Sendable, Hashable {
    /// Dropout drops nothing, and normalisations use the running statistics.
    case inference
    /// Dropout drops nothing, and normalisations use the statistics of the batch.
    case batchStatistics
    /// Normalisations use the statistics of the batch. Dropout drops elements by the masks of this
    /// epoch; the first record has this global number, the others have the numbers after it.
    case training(epoch: Int, record: UInt64)
}

/// A network that computes a microbatch node by node, forward and then backward, in plain loops.
///
/// It is generic over the scalar, so that central differences in Double can check the code that
/// runs in Float. Threading: one thread uses it.
public final class ReferenceNetwork<Scalar: ReferenceScalar> {
    /// The network that is computed.
    public let network: Network
    private let seed: UInt64
    private let operations: [any ReferenceOperation<Scalar>]
    private var parameters: [Scalar]
    /// The number of records that there is memory for.
    private var capacity = 0
    /// The network's input and the output of every node, each [capacity, elements].
    private var values: [[Scalar]]
    /// The gradient of each value.
    private var gradients: [[Scalar]]
    /// The gradient of each input of each node.
    private var parts: [[[Scalar]]]

    /// Creates the network with all parameters zero.
    ///
    /// - Parameters:
    ///   - network: the network to compute.
    ///   - seed: the run's seed; it keys dropout.
    public init(network: Network, seed: UInt64) {
        self.network = network
        self.seed = seed
        operations = network.nodes.map { $0.layer.reference($0, network.parameters) }
        parameters = [Scalar](repeating: 0, count: network.parameters.elementCount)
        values = []
        gradients = []
        parts = []
    }

    /// Takes all parameters from the flat vector.
    func setParameters(_ values: UnsafePointer<Scalar>) {
        setParameters(values, 0..<network.parameters.elementCount)
    }

    /// Takes the elements of `range` from the flat vector.
    func setParameters(_ values: UnsafePointer<Scalar>, _ range: Range<Int>) {
        for element in range { parameters[element] = values[element] }
    }

    private func reserve(_ count: Int) {
        guard count > capacity else { return }
        capacity = count
        func zeros(_ elements: Int) -> [Scalar] {
            [Scalar](repeating: 0, count: elements * count)
        }
        let sizes = Self.sizes(network)
        values = sizes.values.map(zeros)
        gradients = sizes.values.map(zeros)
        parts = sizes.parts.map { $0.map(zeros) }
    }

    /// Returns the numbers of elements of an image's values, and of the gradients of each node's
    /// inputs.
    private static func sizes(_ network: Network) -> (values: [Int], parts: [[Int]]) {
        let values = [network.inputElementCount] + network.nodes.map(\.outputElementCount)
        return (values, network.nodes.map { $0.inputs.map { values[$0] } })
    }

    /// Returns the bytes that a network allocates for this number of records.
    static func byteCount(_ network: Network, records: Int) -> Int {
        let sizes = sizes(network)
        let elements = 2 * sizes.values.reduce(0, +) + sizes.parts.joined().reduce(0, +)
        return (network.parameters.elementCount + records * elements) * MemoryLayout<Scalar>.size
    }

    private func key(_ mode: ReferenceMode, _ count: Int) -> ReferenceDropoutKey? {
        guard case .training(let epoch, let record) = mode else { return nil }
        return ReferenceDropoutKey(
            seed: seed, epoch: epoch, records: (0..<UInt64(count)).map { record &+ $0 })
    }

    /// Returns the network's outputs for images [count, C, H, W].
    func forward(_ images: UnsafePointer<Scalar>, count: Int, mode: ReferenceMode) -> [Scalar] {
        forward(images, count: count, isTraining: mode != .inference, key(mode, count))
    }

    /// Returns the network's outputs for images [count, C, H, W].
    ///
    /// - Parameters:
    ///   - isTraining: whether normalisations use the statistics of these images.
    ///   - dropout: what the dropout masks are keyed by; nil where nothing is dropped.
    ///   - isWanted: is asked before each node. Without an output to want, none is returned.
    func forward(
        _ images: UnsafePointer<Scalar>, count: Int, isTraining: Bool,
        _ dropout: ReferenceDropoutKey?, isWanted: () -> Bool = { true }
    ) -> [Scalar] {
        reserve(count)
        for element in 0..<count * network.inputElementCount { values[0][element] = images[element] }
        for node in network.nodes {
            guard isWanted() else { return [] }
            var output: [Scalar] = []
            swap(&output, &values[node.output])
            withPass(node, count, isTraining, dropout, &output) { pass in
                operations[node.index].forward(pass)
            }
            swap(&output, &values[node.output])
        }
        return Array(values[network.nodes.count].prefix(count * network.outputElementCount))
    }

    /// Calls `body` with a pass that has the node's inputs, output and parameters.
    private func withPass(
        _ node: Node, _ count: Int, _ isTraining: Bool, _ dropout: ReferenceDropoutKey?,
        _ output: inout [Scalar], _ body: (ReferencePass<Scalar>) -> Void
    ) {
        func withInputs(
            _ index: Int, _ pointers: [UnsafePointer<Scalar>],
            _ body: ([UnsafePointer<Scalar>]) -> Void
        ) {
            if index == node.inputs.count { return body(pointers) }
            values[node.inputs[index]].withUnsafeBufferPointer { input in
                withInputs(index + 1, pointers + [input.baseAddress!], body)
            }
        }
        withInputs(0, []) { inputs in
            parameters.withUnsafeBufferPointer { parameters in
                output.withUnsafeMutableBufferPointer { output in
                    // A network without parameters never reads them.
                    let none = UnsafePointer(output.baseAddress!)
                    body(
                        ReferencePass(
                            count: count, inputs: inputs, output: output.baseAddress!,
                            parameters: parameters.baseAddress ?? none, isTraining: isTraining,
                            dropout: dropout))
                }
            }
        }
    }

    /// Propagates the gradient of the outputs of the last `forward` call back through the network,
    /// and adds the gradients of the parameters to `parameterGradient`.
    ///
    /// - Parameters:
    ///   - wantsImageGradient: whether the gradient of the images is computed. Without it, nodes
    ///     are left out that nothing trained comes before.
    ///   - isWanted: is asked before each node.
    /// - Returns: the gradient of the images, [count, C, H, W]; nothing where it was not wanted to
    ///   the end.
    func backward(
        outputGradient: UnsafePointer<Scalar>, parameterGradient: UnsafeMutablePointer<Scalar>,
        count: Int, isTraining: Bool, _ dropout: ReferenceDropoutKey?,
        wantsImageGradient: Bool = true, isWanted: () -> Bool = { true }
    ) -> [Scalar] {
        var hasGradient = [Bool](repeating: false, count: values.count)
        let isNeeded = network.gradientsNeeded(ofImages: wantsImageGradient)
        let last = network.nodes.count
        for element in 0..<count * network.outputElementCount {
            gradients[last][element] = outputGradient[element]
        }
        hasGradient[last] = true
        for node in network.nodes.reversed() where hasGradient[node.output] && isNeeded[node.output] {
            guard isWanted() else { return [] }
            var output: [Scalar] = []
            swap(&output, &values[node.output])
            withPass(node, count, isTraining, dropout, &output) { pass in
                var pass = pass
                pass.parameterGradient = parameterGradient
                gradients[node.output].withUnsafeBufferPointer { gradient in
                    pass.outputGradient = gradient.baseAddress
                    backward(node, pass, 0)
                }
            }
            swap(&output, &values[node.output])
            for (value, part) in zip(node.inputs, parts[node.index]) {
                if hasGradient[value] {
                    for element in part.indices { gradients[value][element] += part[element] }
                } else {
                    for element in part.indices { gradients[value][element] = part[element] }
                    hasGradient[value] = true
                }
            }
        }
        return Array(gradients[0].prefix(count * network.inputElementCount))
    }

    /// Runs a node's backward pass once the memory for the gradient of each input is known.
    private func backward(_ node: Node, _ pass: ReferencePass<Scalar>, _ input: Int) {
        guard input < node.inputs.count else { return operations[node.index].backward(pass) }
        var part: [Scalar] = []
        swap(&part, &parts[node.index][input])
        part.withUnsafeMutableBufferPointer { buffer in
            var next = pass
            next.inputGradients.append(buffer.baseAddress!)
            backward(node, next, input + 1)
        }
        swap(&part, &parts[node.index][input])
    }
}

extension ReferenceNetwork where Scalar == Double {
    /// Returns the outputs in double precision, for checking gradients.
    ///
    /// - Parameters:
    ///   - parameters: the flat parameter vector.
    ///   - image: one image or several, [count, C, H, W].
    ///   - mode: whether dropout drops elements, and whose statistics normalise.
    public func output(parameters: [Double], image: [Double], mode: ReferenceMode) -> [Double] {
        let count = requireCounts(parameters, image)
        setParameters(parameters)
        return forward(image, count: count, mode: mode)
    }

    /// Returns the gradients in double precision.
    ///
    /// - Parameters:
    ///   - parameters: the flat parameter vector.
    ///   - image: one image or several, [count, C, H, W].
    ///   - outputGradient: d(loss)/d(output), [count, outputs].
    ///   - mode: whether dropout drops elements, and whose statistics normalise.
    /// - Returns: the gradients of the images and of the flat parameter vector.
    public func gradients(
        parameters: [Double], image: [Double], outputGradient: [Double], mode: ReferenceMode
    ) -> (input: [Double], parameters: [Double]) {
        let count = requireCounts(parameters, image)
        precondition(outputGradient.count == count * network.outputElementCount)
        setParameters(parameters)
        _ = forward(image, count: count, mode: mode)
        var parameterGradient = [Double](repeating: 0, count: parameters.count)
        let input = backward(
            outputGradient: outputGradient, parameterGradient: &parameterGradient, count: count,
            isTraining: mode != .inference, key(mode, count))
        return (input, parameterGradient)
    }

    /// Returns the number of images.
    private func requireCounts(_ parameters: [Double], _ image: [Double]) -> Int {
        precondition(
            parameters.count == network.parameters.elementCount && !image.isEmpty
                && image.count % network.inputElementCount == 0,
            "expected \(network.parameters.elementCount) parameters and images of "
                + "\(network.inputElementCount), found \(parameters.count) and \(image.count)")
        return image.count / network.inputElementCount
    }
}
