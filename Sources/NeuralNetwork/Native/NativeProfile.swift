/// The parts of a ``NativePlan`` and their times.
///
/// In bf16 a profile does not round the weights when it loads them, so its gradient differs from
/// the engine's.
final class NativeProfile: EngineProfile {
    let parts: [EnginePart]
    private let engine: NativeEngine
    /// The index of each segment's first part, forward and backward.
    private let firstForward: [Int]
    private let firstBackward: [Int]
    private var plan: NativePlan { engine.plan }

    init(_ engine: NativeEngine) {
        self.engine = engine
        let plan = engine.plan
        let network = plan.network
        var parts = zip(plan.loads, network.parameters.layers).map { load, range in
            Self.part(
                .weights, load.name, "pack", byteCount: 2 * range.count * 4, isPerTile: false)
        }
        let imageByteCount = network.inputElementCount * AlignedBuffer.laneByteCount
        var firstForward = [parts.count]
        parts.append(Self.part(.forward, "images", "into lanes", byteCount: 2 * imageByteCount))
        for segment in plan.forwardOperations {
            parts += segment.map { Self.part(.forward, $0.node.name, $0.operation) }
            firstForward.append(parts.count)
        }
        parts.append(
            Self.part(
                .loss, "softmax", "loss",
                byteCount: 2 * network.outputElementCount * AlignedBuffer.laneByteCount))
        var firstBackward = [Int](repeating: 0, count: plan.backwardOperations.count)
        for (index, segment) in plan.backwardOperations.enumerated().reversed() {
            firstBackward[index] = parts.count
            parts += segment.map { Self.part(.backward, $0.node.name, $0.operation) }
        }
        self.parts = parts
        self.firstForward = firstForward
        self.firstBackward = firstBackward
    }

    func run(
        parameters: UnsafePointer<Float>, batch: MicrobatchView, epoch: Int,
        into gradient: UnsafeMutablePointer<Float>, clock: @escaping () -> Int64,
        times: inout [Int64]
    ) -> BatchStatistics {
        let training = engine.trainingPass(batch, epoch: epoch, into: gradient)
        let pass = MeasuredPass(
            training, stopwatch: Stopwatch(clock: clock), times: times,
            firstForward: firstForward, firstBackward: firstBackward)
        for load in plan.loads {
            load.run(parameters)
            pass.didRun()
        }
        _ = plan.computeGradient(batch.images, pass)
        times = pass.times
        return training.statistics
    }

    func runConvolutions(tileCount: Int, clock: @escaping () -> Int64, times: inout [Int64]) {
        plan.reserve(NativeMemory.groupSize)
        var gradient = [Float](repeating: 0, count: plan.network.parameters.elementCount)
        gradient.withUnsafeMutableBufferPointer { gradient in
            var stopwatch = Stopwatch(clock: clock)
            let tiles = (0..<tileCount).map { index in
                NativeTile(
                    slot: index % NativeMemory.groupSize, isFirst: index == 0,
                    isLast: index == tileCount - 1, gradient: gradient.baseAddress)
            }
            func run(
                _ operations: [NativePlan.Named], first: Int, _ tiles: ArraySlice<NativeTile>
            ) {
                for (index, entry) in operations.enumerated() where entry.operation.isConvolution {
                    stopwatch.index = first + index
                    entry.operation.run(tiles)
                    stopwatch.lap(&times)
                }
            }
            for start in stride(from: 0, to: tileCount, by: NativeMemory.groupSize) {
                let group = tiles[start..<min(start + NativeMemory.groupSize, tileCount)]
                for (segment, operations) in plan.forwardOperations.enumerated() {
                    let first = firstForward[segment] + (segment == 0 ? 1 : 0)
                    var rest = group
                    while !rest.isEmpty {
                        run(operations, first: first, plan.takePart(of: &rest, segment))
                    }
                }
                for (segment, operations) in plan.backwardOperations.enumerated().reversed() {
                    var rest = group
                    while !rest.isEmpty {
                        run(
                            operations, first: firstBackward[segment],
                            plan.takePart(of: &rest, segment))
                    }
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

/// A training step whose operations are timed. The time of a barrier counts for the operation after
/// it.
private final class MeasuredPass: NativePass {
    private let training: NativeTrainingPass
    private var stopwatch: Stopwatch
    private(set) var times: [Int64]
    private let firstForward: [Int]
    private let firstBackward: [Int]

    init(
        _ training: NativeTrainingPass, stopwatch: Stopwatch, times: [Int64], firstForward: [Int],
        firstBackward: [Int]
    ) {
        self.training = training
        self.stopwatch = stopwatch
        self.times = times
        self.firstForward = firstForward
        self.firstBackward = firstBackward
    }

    var tiles: [NativeTile] { training.tiles }
    var gradient: UnsafeMutablePointer<Float> { training.gradient }

    func willRun(_ segment: Int, isForward: Bool) {
        stopwatch.index = isForward ? firstForward[segment] : firstBackward[segment]
    }

    func didRun() { stopwatch.lap(&times) }

    func computeLoss(_ tile: NativeTile, _ plan: NativePlan) { training.computeLoss(tile, plan) }
}
