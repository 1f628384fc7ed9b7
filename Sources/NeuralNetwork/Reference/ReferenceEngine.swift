/// The reference backend: plain Swift in single precision, one node after another.
///
/// It is the oracle that the other backends are compared with, and it runs on hosts that no other
/// backend supports.
public final class ReferenceEngine: GradientEngine {
    /// The only instruction set of this backend, since its code is the same on every host.
    public static let instructionSet = "generic"

    /// The network that the engine computes.
    public let network: Network
    private let reference: ReferenceNetwork<Float>
    private let seed: UInt64
    private let loss: LossFunction
    private let testLoss: LossFunction

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
        seed = configuration.seed
        loss = configuration.loss
        testLoss = loss.ofTestRecords
        reference = ReferenceNetwork(network: network, seed: configuration.seed)
    }

    /// Copies one layer's parameters from the flat vector.
    public func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
        reference.setParameters(parameters, network.parameters.layers[layer])
    }

    /// Computes the gradient of the summed loss, node by node; see ``GradientEngine``. It asks the
    /// observer before each node, and never tells it what is final.
    public func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
        _ observer: GradientObserver
    ) -> BatchStatistics? {
        gradient.update(repeating: 0, count: network.parameters.elementCount)
        var statistics = BatchStatistics()
        guard batch.count > 0 else { return statistics }
        let key = ReferenceDropoutKey(
            seed: seed, epoch: epoch,
            records: Array(UnsafeBufferPointer(start: batch.records, count: batch.count)))
        let logits = reference.forward(
            batch.images, count: batch.count, isTraining: true, key, isWanted: observer.isWanted)
        if logits.isEmpty { return nil }
        var outputGradient = [Float](repeating: 0, count: logits.count)
        loss.evaluate(
            outputs: logits, batch: batch, records: 0..<batch.count,
            outputCount: network.outputElementCount, gradient: &outputGradient, into: &statistics)
        let imageGradient = reference.backward(
            outputGradient: outputGradient, parameterGradient: gradient, count: batch.count,
            isTraining: true, key, wantsImageGradient: false, isWanted: observer.isWanted)
        return imageGradient.isEmpty ? nil : statistics
    }

    /// Computes the losses of the records in inference mode. `logits` receives [count, classes].
    public func evaluate(
        _ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?
    ) -> BatchStatistics {
        let classCount = network.outputElementCount
        var statistics = BatchStatistics()
        for sample in 0..<batch.count {
            let output = reference.forward(
                batch.images + sample * network.inputElementCount, count: 1, mode: .inference)
            testLoss.evaluate(
                outputs: output, batch: batch, records: sample..<sample + 1,
                outputCount: classCount, gradient: nil, into: &statistics)
            (logits.map { $0 + sample * classCount })?.update(from: output, count: classCount)
        }
        return statistics
    }

    /// Returns the last layer's outputs, row-major [count, outputs], in inference mode.
    public func outputs(images: UnsafePointer<Float>, count: Int) -> [Float] {
        guard count > 0 else { return [] }
        return reference.forward(images, count: count, mode: .inference)
    }

    /// Computes outputs and gradients from the gradient of the outputs, [count, outputs], with the
    /// statistics of these images, without a loss and without dropout.
    public func gradients(
        images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
    ) -> (outputs: [Float], input: [Float], parameters: [Float]) {
        precondition(
            outputGradient.count == count * network.outputElementCount,
            "expected \(count) output gradients of \(network.outputElementCount) elements, "
                + "found \(outputGradient.count) elements")
        let outputs = reference.forward(images, count: count, mode: .batchStatistics)
        var parameterGradient = [Float](repeating: 0, count: network.parameters.elementCount)
        let input = reference.backward(
            outputGradient: outputGradient, parameterGradient: &parameterGradient, count: count,
            isTraining: true, nil)
        return (outputs, input, parameterGradient)
    }
}
