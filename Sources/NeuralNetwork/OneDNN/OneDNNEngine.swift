/// The fast backend: Intel's oneDNN, one thread, tiles of a fixed number of images.
///
/// Determinism: bits depend on the network, the configuration (tile size, precision, instruction
/// set), the parameters and the batch; never on the thread, the address of a buffer, or what the
/// engine computed before. A microbatch is cut into tiles in record order; the last is filled up
/// with zero images whose output gradient is zero, so they add exact zeros.
/// Threading: one thread at a time uses an engine, and the calling thread does all of the work:
/// every call holds OpenMP to one thread on the thread it is made on.
public final class OneDNNEngine: GradientEngine {
    public let network: Network
    public let configuration: EngineConfiguration
    /// The instruction set in force.
    public let instructionSet: String
    let plan: OneDNNPlan
    private var inputGradientPlan: OneDNNPlan?

    /// Plans the network: seconds at most, and all the memory the engine will use.
    ///
    /// Throws: ``BackendError`` for an instruction set that this host or process cannot have, for
    /// bf16 without the instructions, and for what oneDNN refuses.
    public init(network: Network, configuration: EngineConfiguration) throws(BackendError) {
        let instructionSet = try OneDNN.settle(configuration.instructionSet)
        try Backends.requireInstructions(
            .oneDNN, precision: configuration.precision, instructionSet: instructionSet)
        try OneDNN.useOneThread()
        self.network = network
        self.configuration = configuration
        self.instructionSet = instructionSet
        plan = try OneDNNPlan(
            network: network, tileSize: configuration.tileSize,
            element: configuration.precision == .bf16 ? .bfloat16 : .float32,
            wantsInputGradient: false)
        plan.loadParameters([Float](repeating: 0, count: network.parameters.elementCount))
    }

    public func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
        holdOneThread()
        plan.loadParameters(parameters, ofLayer: layer)
    }

    public func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
        _ observer: GradientObserver
    ) -> BatchStatistics? {
        holdOneThread()
        var statistics = BatchStatistics()
        if batch.count == 0 {
            gradient.update(repeating: 0, count: network.parameters.elementCount)
            return statistics
        }
        var start = 0
        while start < batch.count {
            guard observer.isWanted() else { return nil }
            let count = min(plan.tileSize, batch.count - start)
            let key = DropoutKey(
                seed: configuration.seed, epoch: epoch, records: batch.records + start, count: count
            )
            plan.forward(
                batch.images + start * network.inputElementCount, count: count, dropout: key)
            SoftmaxCrossEntropy.evaluate(
                logits: plan.outputs, labels: batch.labels + start, count: count,
                classCount: network.outputElementCount, gradient: plan.outputGradients,
                into: &statistics)
            plan.clearOutputGradients(from: count)
            let isFirst = start == 0
            start += plan.tileSize
            if start < batch.count {
                plan.backward(isFirstTile: isFirst, dropout: key)
                continue
            }
            let statistics = statistics
            plan.backward(isFirstTile: isFirst, dropout: key, storingInto: gradient) {
                observer.isFinal($0, statistics)
            }
        }
        return statistics
    }

    public func evaluate(
        _ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?
    ) -> BatchStatistics {
        holdOneThread()
        let classCount = network.outputElementCount
        var statistics = BatchStatistics()
        forEachTile(batch.count) { start, count in
            plan.forward(
                batch.images + start * network.inputElementCount, count: count, dropout: nil)
            SoftmaxCrossEntropy.evaluate(
                logits: plan.outputs, labels: batch.labels + start, count: count,
                classCount: classCount, gradient: nil, into: &statistics)
            (logits.map { $0 + start * classCount })?
                .update(from: plan.outputs, count: count * classCount)
        }
        return statistics
    }

    public func outputs(images: UnsafePointer<Float>, count: Int) -> [Float] {
        holdOneThread()
        var values: [Float] = []
        let outputCount = network.outputElementCount
        forEachTile(count) { start, count in
            plan.forward(images + start * network.inputElementCount, count: count, dropout: nil)
            values += UnsafeBufferPointer(start: plan.outputs, count: count * outputCount)
        }
        return values
    }

    public func gradients(
        images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
    ) -> (input: [Float], parameters: [Float]) {
        holdOneThread()
        let (inputCount, outputCount) = (network.inputElementCount, network.outputElementCount)
        precondition(
            outputGradient.count == count * outputCount,
            "expected \(count) output gradients of \(outputCount) elements, found "
                + "\(outputGradient.count) elements")
        let plan = planWithInputGradient()
        var input: [Float] = []
        var parameters = [Float](repeating: 0, count: network.parameters.elementCount)
        forEachTile(count) { start, count in
            plan.forward(images + start * inputCount, count: count, dropout: nil)
            for index in 0..<count * outputCount {
                plan.outputGradients[index] = outputGradient[start * outputCount + index]
            }
            plan.clearOutputGradients(from: count)
            plan.backward(isFirstTile: start == 0, dropout: nil)
            input += UnsafeBufferPointer(start: plan.inputGradients!, count: count * inputCount)
        }
        if count > 0 { plan.storeGradient(into: &parameters) }
        return (input, parameters)
    }

    /// Calls `body` with the first image and the number of images of each tile.
    @inline(__always)
    func forEachTile(_ count: Int, _ body: (Int, Int) -> Void) {
        var start = 0
        while start < count {
            body(start, min(plan.tileSize, count - start))
            start += plan.tileSize
        }
    }

    func holdOneThread() {
        do throws(BackendError) { try OneDNN.useOneThread() } catch {
            preconditionFailure("\(error)")
        }
    }

    /// A second plan, made when it is first asked for, with the parameters of the first.
    private func planWithInputGradient() -> OneDNNPlan {
        do throws(BackendError) {
            if inputGradientPlan == nil {
                inputGradientPlan = try OneDNNPlan(
                    network: network, tileSize: configuration.tileSize,
                    element: configuration.precision == .bf16 ? .bfloat16 : .float32,
                    wantsInputGradient: true)
            }
            let inputGradientPlan = inputGradientPlan!
            inputGradientPlan.loadParameters(try plan.copyParameters())
            return inputGradientPlan
        } catch {
            preconditionFailure("\(error)")
        }
    }
}
