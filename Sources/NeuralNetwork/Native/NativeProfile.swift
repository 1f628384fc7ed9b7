/// The parts of a ``NativePlan`` and their times.
///
/// In bf16 a profile does not round the weights when it loads them, so its gradient differs from
/// the engine's.
final class NativeProfile: EngineProfile {
    let parts: [EnginePart]
    private let engine: NativeEngine
    private var plan: NativePlan { engine.plan }

    init(_ engine: NativeEngine) {
        self.engine = engine
        let plan = engine.plan
        let network = plan.network
        var parts = plan.loads.map {
            Self.part(
                .weights, $0.name, "pack", byteCount: 2 * network.parameters.elementCount * 4,
                isPerTile: false)
        }
        let imageByteCount = network.inputElementCount * AlignedBuffer.laneByteCount
        parts.append(Self.part(.forward, "images", "into lanes", byteCount: 2 * imageByteCount))
        parts += plan.forwardOperations.map { Self.part(.forward, $0.layer, $0.operation) }
        parts.append(
            Self.part(
                .loss, "softmax", "loss",
                byteCount: 2 * network.outputElementCount * AlignedBuffer.laneByteCount))
        parts += plan.backwardOperations.map { Self.part(.backward, $0.layer, $0.operation) }
        self.parts = parts
    }

    func run(
        parameters: UnsafePointer<Float>, batch: MicrobatchView, epoch: Int,
        into gradient: UnsafeMutablePointer<Float>, clock: @escaping () -> Int64,
        times: inout [Int64]
    ) -> BatchStatistics {
        var stopwatch = Stopwatch(clock: clock)
        var statistics = BatchStatistics()
        for load in plan.loads {
            load.run(parameters)
            stopwatch.lap(&times)
        }
        let firstTilePart = stopwatch.index
        engine.forEachTile(batch.count) { start, count in
            stopwatch.index = firstTilePart
            let tile = engine.tile(batch, start, count, epoch, into: gradient)
            plan.takeImages(batch.images + start * plan.network.inputElementCount, count: count)
            stopwatch.lap(&times)
            for (_, operation) in plan.forwardOperations {
                operation.run(tile)
                stopwatch.lap(&times)
            }
            plan.giveOutputs()
            SoftmaxCrossEntropy.evaluate(
                logits: plan.outputs, labels: batch.labels + start, count: count,
                classCount: plan.network.outputElementCount, gradient: plan.outputGradients,
                into: &statistics)
            plan.takeOutputGradients(count: count)
            stopwatch.lap(&times)
            for (_, operation) in plan.backwardOperations {
                operation.run(tile)
                stopwatch.lap(&times)
            }
        }
        return statistics
    }

    func runConvolutions(tileCount: Int, clock: @escaping () -> Int64, times: inout [Int64]) {
        var gradient = [Float](repeating: 0, count: plan.network.parameters.elementCount)
        let operations = plan.forwardOperations + plan.backwardOperations
        let firstForward = plan.loads.count + 1
        let lossPart = firstForward + plan.forwardOperations.count
        gradient.withUnsafeMutableBufferPointer { gradient in
            var stopwatch = Stopwatch(clock: clock)
            for tileIndex in 0..<tileCount {
                let tile = NativeTile(
                    isTraining: true, isFirst: tileIndex == 0, isLast: tileIndex == tileCount - 1,
                    gradient: gradient.baseAddress)
                for (index, entry) in operations.enumerated() where entry.operation.isConvolution {
                    entry.operation.run(tile)
                    let part = firstForward + index
                    stopwatch.index = part < lossPart ? part : part + 1
                    stopwatch.lap(&times)
                }
            }
        }
    }

    private static func part(
        _ phase: EnginePart.Phase, _ layer: String, _ operation: NativeOperation
    ) -> EnginePart {
        EnginePart(
            phase: phase, name: layer, operation: operation.name, kernel: "own",
            byteCount: operation.byteCount, isPerTile: true, isConvolution: operation.isConvolution)
    }

    private static func part(
        _ phase: EnginePart.Phase, _ name: String, _ operation: String, byteCount: Int,
        isPerTile: Bool = true
    ) -> EnginePart {
        EnginePart(
            phase: phase, name: name, operation: operation, kernel: "own", byteCount: byteCount,
            isPerTile: isPerTile, isConvolution: false)
    }
}

extension NativeEngine: ProfiledEngine {
    /// Creates a profile that uses this engine's buffers.
    public func makeProfile() -> any EngineProfile { NativeProfile(self) }
}
