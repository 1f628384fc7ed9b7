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
    public static var isFastHere: Bool {
        convoy_lanes_level() >= Int32(CONVOY_LEVEL_AVX2)
    }

    /// The number of weights of a layer from which on they are applied to several tiles of images
    /// at a time: half a megabyte, which most second-level caches have no room for beside the rest. It
    /// is a fixed number, since the order of work is to depend on the network alone.
    private static let wideWeightCount = 1 << 17

    /// The network that the engine computes.
    public let network: Network
    private let wideFrom: Int
    /// The run's seed. It keys the dropout masks.
    private let seed: UInt64
    private let precision: Precision
    private let loss: LossFunction
    private let testLoss: LossFunction
    let plan: NativePlan
    private var inputGradientPlan: NativePlan?

    /// Creates an engine. The first microbatch allocates what the number of its tiles decides. All
    /// parameters are zero until they are set.
    ///
    /// - Throws: ``BackendError`` for a tile size other than 8, for another instruction set, and for
    ///   a node that the backend does not compute.
    public convenience init(
        network: Network, configuration: EngineConfiguration
    ) throws(BackendError) {
        try self.init(
            network: network, configuration: configuration, wideFrom: Self.wideWeightCount)
    }

    /// Creates an engine with another bound for layers that are computed on several tiles at a time,
    /// for tests. It changes no bit of networks whose values have at most two readers; of others it
    /// may change the order in which the parts of a value's gradient are added.
    package init(
        network: Network, configuration: EngineConfiguration, wideFrom: Int
    ) throws(BackendError) {
        if let problem = Self.problem(configuration) {
            throw BackendError(backend: .native, problem: problem)
        }
        self.network = network
        seed = configuration.seed
        precision = configuration.precision
        loss = configuration.loss
        testLoss = loss.ofTestRecords
        self.wideFrom = wideFrom
        plan = try NativePlan(
            network: network, precision: precision, wantsInputGradient: false, wideFrom: wideFrom)
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
    /// observer before each tile, or group of tiles, of each stretch of segments, and tells it what is
    /// final during the backward passes of the last one.
    public func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
        _ observer: GradientObserver
    ) -> BatchStatistics? {
        if batch.count == 0 {
            gradient.update(repeating: 0, count: network.parameters.elementCount)
            return BatchStatistics()
        }
        let pass = trainingPass(batch, epoch: epoch, into: gradient, observer)
        return plan.computeGradient(batch.images, pass) ? pass.statistics : nil
    }

    /// Returns the pass of a training step.
    func trainingPass(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
        _ observer: GradientObserver = GradientObserver()
    ) -> NativeTrainingPass {
        let tiles = tiles(batch.count, into: gradient) { start, count in
            DropoutKey(seed: seed, epoch: epoch, records: batch.records + start, count: count)
        }
        return NativeTrainingPass(
            tiles: tiles, gradient: gradient, batch: batch, loss: loss, observer: observer)
    }

    private func tiles(
        _ count: Int, into gradient: UnsafeMutablePointer<Float>,
        dropout: (Int, Int) -> DropoutKey? = { _, _ in nil }
    ) -> [NativeTile] {
        stride(from: 0, to: count, by: Self.tileSize).map { start in
            let here = min(Self.tileSize, count - start)
            return NativeTile(
                dropout: dropout(start, here), usesBatchStatistics: true,
                count: here, slot: start / Self.tileSize, isFirst: start == 0,
                isLast: start + here == count, gradient: gradient)
        }
    }

    /// Computes the losses of the records in inference mode. `logits` receives [count, classes].
    public func evaluate(
        _ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?
    ) -> BatchStatistics {
        let classCount = network.outputElementCount
        var statistics = BatchStatistics()
        forEachTile(batch.count) { start, count in
            plan.infer(batch.images + start * network.inputElementCount, count: count)
            testLoss.evaluate(
                outputs: plan.outputs, batch: batch, records: start..<start + count,
                outputCount: classCount, gradient: nil, into: &statistics)
            (logits.map { $0 + start * classCount })?
                .update(from: plan.outputs, count: count * classCount)
        }
        return statistics
    }

    /// Returns the last layer's outputs, row-major [count, outputs], in inference mode.
    public func outputs(images: UnsafePointer<Float>, count: Int) -> [Float] {
        var values: [Float] = []
        let outputCount = network.outputElementCount
        forEachTile(count) { start, count in
            plan.infer(images + start * network.inputElementCount, count: count)
            values += UnsafeBufferPointer(start: plan.outputs, count: count * outputCount)
        }
        return values
    }

    /// Computes outputs and gradients from the gradient of the outputs, [count, outputs], with the
    /// statistics of these images, without a loss and without dropout. The first call allocates a
    /// second plan.
    public func gradients(
        images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
    ) -> (outputs: [Float], input: [Float], parameters: [Float]) {
        let outputCount = network.outputElementCount
        precondition(
            outputGradient.count == count * outputCount,
            "expected \(count) output gradients of \(outputCount) elements, found "
                + "\(outputGradient.count) elements")
        let parameterCount = network.parameters.elementCount
        guard count > 0 else { return ([], [], [Float](repeating: 0, count: parameterCount)) }
        let plan = inputGradientPlan ?? makeInputGradientPlan()
        plan.loadParameters(self.plan.copyParameters())
        // One element more, so that a network without parameters has an address too.
        var gradient = [Float](repeating: 0, count: parameterCount + 1)
        return gradient.withUnsafeMutableBufferPointer { gradient in
            guard let base = gradient.baseAddress else { return ([], [], []) }
            let pass = GivenGradientPass(
                tiles: tiles(count, into: base), gradient: base, outputGradient: outputGradient,
                outputCount: outputCount, inputCount: network.inputElementCount)
            _ = plan.computeGradient(images, pass)
            return (pass.outputs, pass.input, Array(gradient.prefix(parameterCount)))
        }
    }

    private func makeInputGradientPlan() -> NativePlan {
        do throws(BackendError) {
            let plan = try NativePlan(
                network: network, precision: precision, wantsInputGradient: true,
                wideFrom: wideFrom)
            inputGradientPlan = plan
            return plan
        } catch {
            // The plan of the same network without these gradients was made before.
            preconditionFailure("\(error)")
        }
    }

    /// Returns the bytes that an engine allocates for microbatches of this number of records. It
    /// plans the network without its memory.
    ///
    /// - Throws: ``BackendError`` for a node that the backend does not compute.
    static func byteCount(
        _ network: Network, precision: Precision, records: Int
    ) throws(BackendError) -> Int {
        try NativePlan(
            network: network, precision: precision, wantsInputGradient: false,
            wideFrom: wideWeightCount, hasMemory: false
        ).byteCount(records: records)
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

/// A pass with a given gradient of the outputs.
private final class GivenGradientPass: NativePass {
    let tiles: [NativeTile]
    let gradient: UnsafeMutablePointer<Float>
    private let outputGradient: [Float]
    private let outputCount: Int
    private let inputCount: Int
    private(set) var outputs: [Float] = []
    private(set) var input: [Float] = []

    init(
        tiles: [NativeTile], gradient: UnsafeMutablePointer<Float>, outputGradient: [Float],
        outputCount: Int, inputCount: Int
    ) {
        self.tiles = tiles
        self.gradient = gradient
        self.outputGradient = outputGradient
        self.outputCount = outputCount
        self.inputCount = inputCount
    }

    func computeLoss(_ tile: NativeTile, _ plan: NativePlan) {
        outputs += UnsafeBufferPointer(start: plan.outputs, count: tile.count * outputCount)
        let start = tile.slot * AlignedBuffer.lanes * outputCount
        for index in 0..<tile.count * outputCount {
            plan.outputGradients[index] = outputGradient[start + index]
        }
    }

    func didFinish(_ tile: NativeTile, _ plan: NativePlan) {
        input += plan.copyImageGradients(tile).prefix(tile.count * inputCount)
    }
}
