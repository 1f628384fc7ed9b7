/// A network that computes one sample at a time, forward and then backward, in plain loops.
///
/// Generic over the scalar so that central differences in Double can check the very code that runs
/// in Float. Threading: used by one thread.
///
/// Safety: the five buffers are allocated by `init` with the sizes that the stages' offsets were
/// planned with, initialised there, touched by this class alone and freed by `deinit`.
public final class ReferenceNetwork<Scalar: ReferenceScalar> {
    public let network: Network
    private let stages: [ReferenceStage<Scalar>]
    private let outputOffset: Int
    private let parameters: UnsafeMutablePointer<Scalar>
    /// The image, then every stage's output.
    private let activations: UnsafeMutablePointer<Scalar>
    private let scratch: UnsafeMutablePointer<Scalar>
    /// The gradients of a stage's output and of its input, exchanged from stage to stage.
    private var gradient: UnsafeMutablePointer<Scalar>
    private var nextGradient: UnsafeMutablePointer<Scalar>

    /// - Parameter seed: the run's seed; dropout is keyed by it.
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

    func setParameters(_ values: UnsafePointer<Scalar>) {
        setParameters(values, 0..<network.parameters.elementCount)
    }

    /// Takes these elements of the flat vector.
    func setParameters(_ values: UnsafePointer<Scalar>, _ range: Range<Int>) {
        (parameters + range.lowerBound)
            .update(from: values + range.lowerBound, count: range.count)
    }

    /// The network's output for one image; valid until the next call.
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

    /// Takes the gradient of the last `forward` call's output; adds to the parameters' gradient and
    /// returns the image's (meaningless when not wanted), valid until the next call.
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
    /// One sample's output in double precision, for checking gradients.
    public func output(parameters: [Double], image: [Double], mode: ReferenceMode) -> [Double] {
        requireCounts(parameters, image)
        setParameters(parameters)
        return Array(
            UnsafeBufferPointer(
                start: forward(image, mode: mode), count: network.outputElementCount))
    }

    /// One sample's gradients in double precision, given d(loss)/d(output).
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
