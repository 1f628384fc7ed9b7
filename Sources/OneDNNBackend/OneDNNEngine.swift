import NeuralNetwork

/// The backend of Intel's oneDNN: one thread, and tiles of a fixed number of images.
///
/// Determinism: the bits depend on the network, the configuration (seed, tile size, precision,
/// instruction set), the parameters and the batch. They do not depend on the thread, on the address
/// of a buffer, or on earlier computations of the engine. A microbatch is cut into tiles in record
/// order. The last tile is filled up with zero images whose output gradient is zero, so that they
/// add exact zeros.
/// Threading: one thread at a time uses an engine, and the calling thread does all of the work.
/// Every call holds OpenMP to one thread on the thread that makes the call.
public final class OneDNNEngine: GradientEngine {
    /// The network that the engine computes.
    public let network: Network
    /// The configuration that the engine was created with.
    public let configuration: EngineConfiguration
    /// The instruction set in force, by oneDNN's name.
    public let instructionSet: String
    let plan: OneDNNPlan
    private var inputGradientPlan: OneDNNPlan?

    /// Creates an engine and plans the network. This takes seconds at most, and allocates all the
    /// memory that training and evaluation use. All parameters are zero until they are set.
    ///
    /// - Throws: ``BackendError`` for an instruction set that this host or process cannot have, for
    ///   bf16 without its instructions, and for a network that oneDNN refuses.
    public init(network: Network, configuration: EngineConfiguration) throws(BackendError) {
        let instructionSet = try OneDNNLibrary.settle(configuration.instructionSet)
        try OneDNNBackend().requireInstructions(
            configuration.precision, instructionSet: instructionSet)
        try OneDNNLibrary.useOneThread()
        self.network = network
        self.configuration = configuration
        self.instructionSet = instructionSet
        plan = try OneDNNPlan(
            network: network, tileSize: configuration.tileSize,
            element: configuration.precision == .bf16 ? .bfloat16 : .float32,
            wantsInputGradient: false)
        plan.loadParameters([Float](repeating: 0, count: network.parameters.elementCount))
    }

    /// Takes one layer's parameters from the flat vector.
    public func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
        holdOneThread()
        plan.loadParameters(parameters, ofLayer: layer)
    }

    /// Computes the gradient of the summed loss, tile by tile; see ``GradientEngine``. It asks the
    /// observer before each tile, and tells it what is final during the backward pass of the last
    /// one.
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
            configuration.loss.evaluate(
                outputs: plan.outputs, batch: batch, records: start..<start + count,
                outputCount: network.outputElementCount, gradient: plan.outputGradients,
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

    /// Computes the losses of the records in inference mode. `logits` receives [count, classes].
    public func evaluate(
        _ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?
    ) -> BatchStatistics {
        holdOneThread()
        let classCount = network.outputElementCount
        let testLoss = configuration.loss.ofTestRecords
        var statistics = BatchStatistics()
        forEachTile(batch.count) { start, count in
            plan.forward(
                batch.images + start * network.inputElementCount, count: count, dropout: nil)
            testLoss.evaluate(
                outputs: plan.outputs, batch: batch, records: start..<start + count,
                outputCount: classCount, gradient: nil, into: &statistics)
            (logits.map { $0 + start * classCount })?
                .update(from: plan.outputs, count: count * classCount)
        }
        return statistics
    }

    /// Returns the last layer's outputs, row-major [count, outputs], without dropout.
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

    /// Computes outputs and gradients from the gradient of the outputs, [count, outputs], without a
    /// loss and without dropout. The first call makes a second plan.
    public func gradients(
        images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
    ) -> (outputs: [Float], input: [Float], parameters: [Float]) {
        holdOneThread()
        let (inputCount, outputCount) = (network.inputElementCount, network.outputElementCount)
        precondition(
            outputGradient.count == count * outputCount,
            "expected \(count) output gradients of \(outputCount) elements, found "
                + "\(outputGradient.count) elements")
        let plan = planWithInputGradient()
        var outputs: [Float] = []
        var input: [Float] = []
        var parameters = [Float](repeating: 0, count: network.parameters.elementCount)
        forEachTile(count) { start, count in
            plan.forward(images + start * inputCount, count: count, dropout: nil)
            outputs += UnsafeBufferPointer(start: plan.outputs, count: count * outputCount)
            for index in 0..<count * outputCount {
                plan.outputGradients[index] = outputGradient[start * outputCount + index]
            }
            plan.clearOutputGradients(from: count)
            plan.backward(isFirstTile: start == 0, dropout: nil)
            input += UnsafeBufferPointer(start: plan.inputGradients!, count: count * inputCount)
        }
        if count > 0 { plan.storeGradient(into: &parameters) }
        return (outputs, input, parameters)
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

    /// Holds oneDNN to one thread on the calling thread; a failure stops the process.
    func holdOneThread() {
        do throws(BackendError) { try OneDNNLibrary.useOneThread() } catch {
            preconditionFailure("\(error)")
        }
    }

    /// Returns a second plan with the parameters of the first. It is made on the first call.
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
