import CKernels

/// The backend of Convoy's own kernels: eight images side by side, one in each lane of a vector.
///
/// Determinism: the bits depend only on the network, the seed, the precision, the parameters and
/// the batch. Every output is made by additions and fused multiply-adds in a fixed order, so all
/// processors give the same bits, whatever their instruction set. In bf16 numbers are rounded where
/// one layer passes them to another, and are computed with as in fp32. That needs no special
/// instructions and saves no time.
/// A microbatch is cut into tiles of eight in record order. The last tile is filled up with zero
/// images whose output gradient is zero, so that they add exact zeros.
/// Threading: one thread at a time uses an engine, and the calling thread does all of the work.
public final class NativeEngine: GradientEngine {
    /// The only instruction set of this backend, since it computes the same on every host.
    public static let instructionSet = "generic"
    /// The only supported number of images in a tile: 8.
    public static var tileSize: Int { AlignedBuffer.lanes }
    /// Whether the kernels are fast on this processor: on x86-64 they need AVX2 and FMA, and
    /// without them each fused multiply-add is a function call. True on all other processors.
    public static var isFastHere: Bool { convoy_lanes_are_fast() == 1 }

    /// The network that the engine computes.
    public let network: Network
    /// The run's seed. It keys the dropout masks.
    let seed: UInt64
    private let precision: Precision
    let plan: NativePlan
    private var inputGradientPlan: NativePlan?

    /// Creates an engine and allocates all the memory that training and evaluation use. All
    /// parameters are zero until they are set.
    ///
    /// - Throws: ``BackendError`` for a tile size other than 8, and for another instruction set.
    public init(network: Network, configuration: EngineConfiguration) throws(BackendError) {
        if let problem = Self.problem(configuration) {
            throw BackendError(backend: .native, problem: problem)
        }
        self.network = network
        seed = configuration.seed
        precision = configuration.precision
        plan = NativePlan(
            network: network, precision: precision, wantsInputGradient: false)
    }

    /// Returns the reason why the backend does not support a configuration; nil when it does.
    static func problem(_ configuration: EngineConfiguration) -> String? {
        if configuration.tileSize != tileSize {
            return "computes tiles of \(tileSize) images only, asked for \(configuration.tileSize)"
        }
        if let wanted = configuration.instructionSet, wanted != instructionSet {
            return "has the instruction set \(instructionSet) only, asked for \(wanted)"
        }
        return nil
    }

    /// Takes one layer's parameters from the flat vector.
    public func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
        plan.loadParameters(parameters, ofLayer: layer)
    }

    /// Computes the gradient of the summed loss, tile by tile; see ``GradientEngine``. It asks the
    /// observer before each tile, and tells it what is final during the backward pass of the last
    /// one.
    public func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
        _ observer: GradientObserver
    ) -> BatchStatistics? {
        var statistics = BatchStatistics()
        if batch.count == 0 {
            gradient.update(repeating: 0, count: network.parameters.elementCount)
            return statistics
        }
        var start = 0
        while start < batch.count {
            guard observer.isWanted() else { return nil }
            let count = min(Self.tileSize, batch.count - start)
            let tile = self.tile(batch, start, count, epoch, into: gradient)
            plan.forward(batch.images + start * network.inputElementCount, count: count, tile)
            SoftmaxCrossEntropy.evaluate(
                logits: plan.outputs, labels: batch.labels + start, count: count,
                classCount: network.outputElementCount, gradient: plan.outputGradients,
                into: &statistics)
            let statistics = statistics
            plan.backward(count: count, tile) { observer.isFinal($0, statistics) }
            start += Self.tileSize
        }
        return statistics
    }

    /// Returns the tile of a training step that begins at record `start`.
    func tile(
        _ batch: MicrobatchView, _ start: Int, _ count: Int, _ epoch: Int,
        into gradient: UnsafeMutablePointer<Float>
    ) -> NativeTile {
        NativeTile(
            dropout: DropoutKey(
                seed: seed, epoch: epoch, records: batch.records + start, count: count),
            isTraining: true, isFirst: start == 0, isLast: start + count == batch.count,
            gradient: gradient)
    }

    /// Computes the losses of the records in inference mode. `logits` receives [count, classes].
    public func evaluate(
        _ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?
    ) -> BatchStatistics {
        let classCount = network.outputElementCount
        var statistics = BatchStatistics()
        forEachTile(batch.count) { start, count in
            plan.forward(
                batch.images + start * network.inputElementCount, count: count, NativeTile())
            SoftmaxCrossEntropy.evaluate(
                logits: plan.outputs, labels: batch.labels + start, count: count,
                classCount: classCount, gradient: nil, into: &statistics)
            (logits.map { $0 + start * classCount })?
                .update(from: plan.outputs, count: count * classCount)
        }
        return statistics
    }

    /// Returns the last layer's outputs, row-major [count, outputs], without dropout.
    public func outputs(images: UnsafePointer<Float>, count: Int) -> [Float] {
        var values: [Float] = []
        let outputCount = network.outputElementCount
        forEachTile(count) { start, count in
            plan.forward(images + start * network.inputElementCount, count: count, NativeTile())
            values += UnsafeBufferPointer(start: plan.outputs, count: count * outputCount)
        }
        return values
    }

    /// Computes the gradients of the images and the parameters from the gradient of the outputs,
    /// [count, outputs], without a loss and without dropout. The first call allocates a second
    /// plan.
    public func gradients(
        images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
    ) -> (input: [Float], parameters: [Float]) {
        let (inputCount, outputCount) = (network.inputElementCount, network.outputElementCount)
        precondition(
            outputGradient.count == count * outputCount,
            "expected \(count) output gradients of \(outputCount) elements, found "
                + "\(outputGradient.count) elements")
        let plan =
            inputGradientPlan
            ?? NativePlan(network: network, precision: precision, wantsInputGradient: true)
        inputGradientPlan = plan
        plan.loadParameters(self.plan.copyParameters())
        var input: [Float] = []
        var gradient = [Float](repeating: 0, count: network.parameters.elementCount)
        gradient.withUnsafeMutableBufferPointer { gradient in
            forEachTile(count) { start, here in
                let tile = NativeTile(
                    isTraining: true, isFirst: start == 0, isLast: start + here == count,
                    gradient: gradient.baseAddress)
                plan.forward(images + start * inputCount, count: here, tile)
                for index in 0..<here * outputCount {
                    plan.outputGradients[index] = outputGradient[start * outputCount + index]
                }
                plan.backward(count: here, tile)
                input += plan.copyInputGradients().prefix(here * inputCount)
            }
        }
        return (input, gradient)
    }

    /// Calls `body` with the first image and the number of images of each tile.
    @inline(__always)
    func forEachTile(_ count: Int, _ body: (Int, Int) -> Void) {
        var start = 0
        while start < count {
            body(start, min(Self.tileSize, count - start))
            start += Self.tileSize
        }
    }
}
