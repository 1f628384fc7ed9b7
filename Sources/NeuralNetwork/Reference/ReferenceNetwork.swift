/// A network that computes one record at a time, forward and then backward, in plain loops.
///
/// It is generic over the scalar, so that central differences in Double can check the code that
/// runs in Float. Threading: one thread uses it.
///
/// Safety: `init` allocates the five buffers with the sizes that the stages' offsets were planned
/// with, and initialises them. Only this class writes to them, and `deinit` frees them.
public final class ReferenceNetwork<Scalar: ReferenceScalar> {
    /// The network that is computed.
    public let network: Network
    private let stages: [ReferenceStage<Scalar>]
    private let outputOffset: Int
    private let parameters: UnsafeMutablePointer<Scalar>
    /// The image, followed by the output of every stage.
    private let activations: UnsafeMutablePointer<Scalar>
    private let scratch: UnsafeMutablePointer<Scalar>
    /// The gradient of a stage's output, and that of its input. They are swapped after each stage.
    private var gradient: UnsafeMutablePointer<Scalar>
    private var nextGradient: UnsafeMutablePointer<Scalar>

    /// Creates the network with all parameters zero.
    ///
    /// - Parameters:
    ///   - network: the network to compute.
    ///   - seed: the run's seed; it keys dropout.
    public init(network: Network, seed: UInt64) {
        self.network = network
        let stages = ReferenceStage<Scalar>.plan(network, seed: seed)
        self.stages = stages
        outputOffset = stages.last?.outputOffset ?? 0
        func zeros(_ count: Int) -> UnsafeMutablePointer<Scalar> {
            let pointer = UnsafeMutablePointer<Scalar>.allocate(capacity: max(count, 1))
            pointer.initialize(repeating: 0, count: max(count, 1))
            return pointer
        }
        let widest = stages.reduce(network.inputElementCount) { max($0, $1.outputCount) }
        parameters = zeros(network.parameters.elementCount)
        activations = zeros(outputOffset + network.outputElementCount)
        scratch = zeros(stages.reduce(0) { $0 + $1.layer.scratchCount })
        gradient = zeros(widest)
        nextGradient = zeros(widest)
    }

    deinit {
        for buffer in [parameters, activations, scratch, gradient, nextGradient] {
            buffer.deallocate()
        }
    }

    /// Takes all parameters from the flat vector.
    func setParameters(_ values: UnsafePointer<Scalar>) {
        setParameters(values, 0..<network.parameters.elementCount)
    }

    /// Takes the elements of `range` from the flat vector.
    func setParameters(_ values: UnsafePointer<Scalar>, _ range: Range<Int>) {
        (parameters + range.lowerBound)
            .update(from: values + range.lowerBound, count: range.count)
    }

    /// Returns the network's output for one image [C, H, W]. It is valid until the next call.
    func forward(_ image: UnsafePointer<Scalar>, mode: ReferenceMode) -> UnsafePointer<Scalar> {
        activations.update(from: image, count: network.inputElementCount)
        for stage in stages {
            let input = UnsafePointer(activations + stage.inputOffset)
            let output = activations + stage.outputOffset
            let scratch = scratch + stage.scratchOffset
            switch stage.layer {
            case .conv2D(let layer):
                layer.forward(input, parameters: parameters, into: output, scratch: scratch)
            case .maxPool2D(let layer): layer.forward(input, into: output)
            case .dense(let layer): layer.forward(input, parameters: parameters, into: output)
            case .relu(let layer): layer.forward(input, into: output)
            case .dropout(let layer):
                layer.forward(input, into: output, mode: mode, scratch: scratch)
            }
        }
        return UnsafePointer(activations + outputOffset)
    }

    /// Propagates the gradient of the output of the last `forward` call back through the network,
    /// and adds the gradients of the parameters to `parameterGradient`.
    ///
    /// - Returns: the gradient of the image, valid until the next call; without meaning unless
    ///   `wantsInputGradient`.
    func backward(
        outputGradient: UnsafePointer<Scalar>, parameterGradient: UnsafeMutablePointer<Scalar>,
        wantsInputGradient: Bool
    ) -> UnsafePointer<Scalar> {
        gradient.update(from: outputGradient, count: network.outputElementCount)
        for (index, stage) in stages.enumerated().reversed() {
            let input = UnsafePointer(activations + stage.inputOffset)
            let wanted = wantsInputGradient || index > 0 ? nextGradient : nil
            let scratch = scratch + stage.scratchOffset
            switch stage.layer {
            case .conv2D(let layer):
                layer.backward(
                    outputGradient: gradient, parameters: parameters,
                    parameterGradient: parameterGradient, inputGradient: wanted, scratch: scratch)
            case .maxPool2D(let layer):
                layer.backward(input, outputGradient: gradient, inputGradient: nextGradient)
            case .dense(let layer):
                layer.backward(
                    input, outputGradient: gradient, parameters: parameters,
                    parameterGradient: parameterGradient, inputGradient: wanted)
            case .relu(let layer):
                layer.backward(input, outputGradient: gradient, inputGradient: nextGradient)
            case .dropout(let layer):
                layer.backward(
                    outputGradient: gradient, inputGradient: nextGradient, scratch: scratch)
            }
            swap(&gradient, &nextGradient)
        }
        return UnsafePointer(gradient)
    }
}

extension ReferenceNetwork where Scalar == Double {
    /// Returns one record's output in double precision, for checking gradients.
    ///
    /// - Parameters:
    ///   - parameters: the flat parameter vector.
    ///   - image: [C, H, W].
    ///   - mode: whether dropout drops elements.
    public func output(parameters: [Double], image: [Double], mode: ReferenceMode) -> [Double] {
        requireCounts(parameters, image)
        setParameters(parameters)
        return Array(
            UnsafeBufferPointer(
                start: forward(image, mode: mode), count: network.outputElementCount))
    }

    /// Returns one record's gradients in double precision.
    ///
    /// - Parameters:
    ///   - parameters: the flat parameter vector.
    ///   - image: [C, H, W].
    ///   - outputGradient: d(loss)/d(output), [outputs].
    ///   - mode: whether dropout drops elements.
    /// - Returns: the gradients of the image and of the flat parameter vector.
    public func gradients(
        parameters: [Double], image: [Double], outputGradient: [Double], mode: ReferenceMode
    ) -> (input: [Double], parameters: [Double]) {
        requireCounts(parameters, image)
        precondition(outputGradient.count == network.outputElementCount)
        setParameters(parameters)
        _ = forward(image, mode: mode)
        var parameterGradient = [Double](repeating: 0, count: parameters.count)
        let input = backward(
            outputGradient: outputGradient, parameterGradient: &parameterGradient,
            wantsInputGradient: true)
        return (Array(UnsafeBufferPointer(start: input, count: image.count)), parameterGradient)
    }

    private func requireCounts(_ parameters: [Double], _ image: [Double]) {
        precondition(
            parameters.count == network.parameters.elementCount
                && image.count == network.inputElementCount,
            "expected \(network.parameters.elementCount) parameters and an image of "
                + "\(network.inputElementCount), found \(parameters.count) and \(image.count)")
    }
}
