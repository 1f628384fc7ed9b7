/// The reference backend: plain Swift in single precision, one record at a time.
///
/// It is the oracle that the other backends are compared with, and it runs on hosts that no other
/// backend supports.
public final class ReferenceEngine: GradientEngine {
    /// The only instruction set of this backend, since its code is the same on every host.
    public static let instructionSet = "generic"

    /// The network that the engine computes.
    public let network: Network
    private let reference: ReferenceNetwork<Float>

    /// Creates an engine. All parameters are zero until they are set.
    ///
    /// - Throws: ``BackendError`` for a precision other than fp32, and for another instruction set.
    public init(network: Network, configuration: EngineConfiguration) throws(BackendError) {
        guard configuration.precision == .fp32 else {
            throw BackendError(
                backend: .reference,
                problem: "computes in fp32 only, asked for \(configuration.precision.rawValue)")
        }
        if let wanted = configuration.instructionSet, wanted != Self.instructionSet {
            throw BackendError(
                backend: .reference,
                problem: "has the instruction set \(Self.instructionSet) only, asked for \(wanted)")
        }
        self.network = network
        reference = ReferenceNetwork(network: network, seed: configuration.seed)
    }

    /// Copies one layer's parameters from the flat vector.
    public func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
        reference.setParameters(parameters, network.parameters.layers[layer])
    }

    /// Computes the gradient of the summed loss, one record after another; see ``GradientEngine``.
    /// It asks the observer before each record, and never tells it what is final.
    public func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
        _ observer: GradientObserver
    ) -> BatchStatistics? {
        gradient.update(repeating: 0, count: network.parameters.elementCount)
        let classCount = network.outputElementCount
        var statistics = BatchStatistics()
        return withUnsafeTemporaryAllocation(of: Float.self, capacity: classCount) { buffer in
            let outputGradient = buffer.baseAddress!
            for sample in 0..<batch.count {
                guard observer.isWanted() else { return nil }
                let logits = reference.forward(
                    batch.images + sample * network.inputElementCount,
                    mode: .training(epoch: epoch, record: batch.records[sample]))
                SoftmaxCrossEntropy.evaluate(
                    logits: logits, labels: batch.labels + sample, count: 1,
                    classCount: classCount, gradient: outputGradient, into: &statistics)
                _ = reference.backward(
                    outputGradient: outputGradient, parameterGradient: gradient,
                    wantsInputGradient: false)
            }
            return statistics
        }
    }

    /// Computes the losses of the records in inference mode. `logits` receives [count, classes].
    public func evaluate(
        _ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?
    ) -> BatchStatistics {
        let classCount = network.outputElementCount
        var statistics = BatchStatistics()
        for sample in 0..<batch.count {
            let output = reference.forward(
                batch.images + sample * network.inputElementCount, mode: .inference)
            SoftmaxCrossEntropy.evaluate(
                logits: output, labels: batch.labels + sample, count: 1, classCount: classCount,
                gradient: nil, into: &statistics)
            (logits.map { $0 + sample * classCount })?.update(from: output, count: classCount)
        }
        return statistics
    }

    /// Returns the last layer's outputs, row-major [count, outputs], without dropout.
    public func outputs(images: UnsafePointer<Float>, count: Int) -> [Float] {
        var values: [Float] = []
        for sample in 0..<count {
            let output = reference.forward(
                images + sample * network.inputElementCount, mode: .inference)
            values += UnsafeBufferPointer(start: output, count: network.outputElementCount)
        }
        return values
    }

    /// Computes the gradients of the images and the parameters from the gradient of the outputs,
    /// [count, outputs], without a loss and without dropout.
    public func gradients(
        images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
    ) -> (input: [Float], parameters: [Float]) {
        precondition(
            outputGradient.count == count * network.outputElementCount,
            "expected \(count) output gradients of \(network.outputElementCount) elements, "
                + "found \(outputGradient.count) elements")
        var inputGradient: [Float] = []
        var parameterGradient = [Float](repeating: 0, count: network.parameters.elementCount)
        outputGradient.withUnsafeBufferPointer { outputs in
            for sample in 0..<count {
                _ = reference.forward(
                    images + sample * network.inputElementCount, mode: .inference)
                let input = reference.backward(
                    outputGradient: outputs.baseAddress! + sample * network.outputElementCount,
                    parameterGradient: &parameterGradient, wantsInputGradient: true)
                inputGradient += UnsafeBufferPointer(start: input, count: network.inputElementCount)
            }
        }
        return (inputGradient, parameterGradient)
    }
}
