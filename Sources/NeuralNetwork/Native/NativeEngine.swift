import CKernels

/// Our own kernels: eight images side by side, one in each lane of a vector.
///
/// Determinism: bits depend on the network, the seed, the parameters and the batch alone. Every
/// output is made by additions and fused multiply-adds in a fixed order, so all processors give the
/// same bits, whatever their instruction set. In bf16 numbers are rounded where one layer gives them
/// to another, and computed with as in fp32: that takes no instructions of its own, and saves no time.
/// A microbatch is cut into tiles of eight in record order; the last is filled up with zero images
/// whose output gradient is zero, so they add exact zeros.
/// Threading: one thread at a time uses an engine, and the calling thread does all of the work.
public final class NativeEngine: GradientEngine {
    /// It computes the same everywhere.
    public static let instructionSet = "generic"
    /// The only size of tiles.
    public static var tileSize: Int { AlignedBuffer.lanes }
    /// False where every fused multiply-add is a call of a function.
    public static var isFastHere: Bool { convoy_lanes_are_fast() == 1 }

    public let network: Network
    let seed: UInt64
    private let precision: Precision
    let plan: NativePlan
    private var inputGradientPlan: NativePlan?

    /// Throws: ``BackendError`` for another tile size or instruction set.
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

    /// Why it cannot compute this; nil when it can.
    static func problem(_ configuration: EngineConfiguration) -> String? {
        if configuration.tileSize != tileSize {
            return "computes tiles of \(tileSize) images only, asked for \(configuration.tileSize)"
        }
        if let wanted = configuration.instructionSet, wanted != instructionSet {
            return "has the instruction set \(instructionSet) only, asked for \(wanted)"
        }
        return nil
    }

    public func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
        plan.loadParameters(parameters, ofLayer: layer)
    }

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

    /// A tile of a training step.
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

    public func outputs(images: UnsafePointer<Float>, count: Int) -> [Float] {
        var values: [Float] = []
        let outputCount = network.outputElementCount
        forEachTile(count) { start, count in
            plan.forward(images + start * network.inputElementCount, count: count, NativeTile())
            values += UnsafeBufferPointer(start: plan.outputs, count: count * outputCount)
        }
        return values
    }

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
