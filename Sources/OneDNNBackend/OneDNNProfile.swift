import NeuralNetwork

/// The parts of a ``OneDNNPlan`` and their times.
final class OneDNNProfile: EngineProfile {
    let parts: [EnginePart]
    private let engine: OneDNNEngine
    private var plan: OneDNNPlan { engine.plan }

    init(_ engine: OneDNNEngine) {
        self.engine = engine
        let plan = engine.plan
        let imageByteCount = plan.tileSize * plan.network.inputElementCount * 4
        let logitByteCount = plan.tileSize * plan.network.outputElementCount * 4
        var parts = plan.loads.map { Self.part($0, .weights) }
        parts.append(Self.part(.forward, "images", "tile", byteCount: 2 * imageByteCount))
        for (step, name) in zip(plan.forwardSteps, plan.forwardLayerNames) {
            parts.append(Self.part(step, .forward, name))
        }
        parts.append(Self.part(.loss, "softmax", "loss", byteCount: 2 * logitByteCount))
        for (step, name) in zip(plan.backwardSteps, plan.backwardLayerNames) {
            parts.append(Self.part(step, .backward, name))
            if case .weightGradient(let gradient) = step {
                let byteCount = gradient.weights.layout.byteCount + gradient.bias.layout.byteCount
                parts.append(Self.part(.sum, name, "add", byteCount: 3 * byteCount))
            }
        }
        parts += plan.stores.map { Self.part($0, .gradient) }
        self.parts = parts
    }

    func run(
        parameters: UnsafePointer<Float>, batch: MicrobatchView, epoch: Int,
        into gradient: UnsafeMutablePointer<Float>, clock: @escaping () -> Int64,
        times: inout [Int64]
    ) -> BatchStatistics {
        engine.holdOneThread()
        var stopwatch = Stopwatch(clock: clock)
        var statistics = BatchStatistics()
        for load in plan.loads {
            load.load(parameters, plan.context)
            stopwatch.lap(&times)
        }
        let firstTilePart = stopwatch.index
        engine.forEachTile(batch.count) { start, count in
            stopwatch.index = firstTilePart
            runTile(batch, start, count, epoch, &statistics, &stopwatch, &times)
        }
        for store in plan.stores {
            store.store(into: gradient, plan.context)
            stopwatch.lap(&times)
        }
        return statistics
    }

    private func runTile(
        _ batch: MicrobatchView, _ start: Int, _ count: Int, _ epoch: Int,
        _ statistics: inout BatchStatistics, _ stopwatch: inout Stopwatch, _ times: inout [Int64]
    ) {
        let network = plan.network
        let dropout = DropoutKey(
            seed: engine.configuration.seed, epoch: epoch, records: batch.records + start,
            count: count)
        plan.load(batch.images + start * network.inputElementCount, count: count)
        stopwatch.lap(&times)
        for step in plan.forwardSteps {
            step.run(plan.context, isFirstTile: true, dropout: dropout)
            stopwatch.lap(&times)
        }
        engine.configuration.loss.evaluate(
            outputs: plan.outputs, batch: batch, records: start..<start + count,
            outputCount: network.outputElementCount, gradient: plan.outputGradients,
            into: &statistics)
        plan.clearOutputGradients(from: count)
        stopwatch.lap(&times)
        for step in plan.backwardSteps {
            guard case .weightGradient(let gradient) = step else {
                step.run(plan.context, isFirstTile: start == 0, dropout: dropout)
                stopwatch.lap(&times)
                continue
            }
            gradient.compute(plan.context, isFirstTile: start == 0)
            stopwatch.lap(&times)
            if start > 0 { gradient.accumulate() }
            stopwatch.lap(&times)
        }
    }

    func runConvolutions(tileCount: Int, clock: @escaping () -> Int64, times: inout [Int64]) {
        engine.holdOneThread()
        plan.useOwnImages()
        let firstForward = plan.loads.count + 1
        let firstBackward = firstForward + plan.forwardSteps.count + 1
        var stopwatch = Stopwatch(clock: clock)
        for _ in 0..<tileCount {
            for (index, step) in plan.forwardSteps.enumerated() where step.isConvolution {
                step.run(plan.context, isFirstTile: true, dropout: nil)
                stopwatch.index = firstForward + index
                stopwatch.lap(&times)
            }
            var index = firstBackward
            for step in plan.backwardSteps {
                if step.isConvolution {
                    step.run(plan.context, isFirstTile: true, dropout: nil)
                    stopwatch.index = index
                    stopwatch.lap(&times)
                }
                if case .weightGradient = step { index += 1 }
                index += 1
            }
        }
    }

    private static func part(
        _ phase: EnginePart.Phase, _ name: String, _ operation: String, byteCount: Int
    ) -> EnginePart {
        EnginePart(
            phase: phase, name: name, operation: operation, kernel: "own", byteCount: byteCount,
            isPerTile: true, isConvolution: false)
    }

    private static func part(
        _ step: OneDNNStep, _ phase: EnginePart.Phase, _ name: String
    ) -> EnginePart {
        EnginePart(
            phase: phase, name: name, operation: step.operation, kernel: step.kernel,
            byteCount: step.byteCount, isPerTile: true, isConvolution: step.isConvolution)
    }

    private static func part(
        _ move: OneDNNParameterMove, _ phase: EnginePart.Phase
    ) -> EnginePart {
        var (operation, kernel) = ("copy", "own")
        if case .reorder(_, let call) = move.kind {
            (operation, kernel) = (call.kind.rawValue, call.implementation)
        }
        return EnginePart(
            phase: phase, name: move.slot.name, operation: operation, kernel: kernel,
            byteCount: move.byteCount, isPerTile: false, isConvolution: false)
    }
}

extension OneDNNEngine: ProfiledEngine {
    /// Creates a profile that uses this engine's buffers.
    public func makeProfile() -> any EngineProfile { OneDNNProfile(self) }
}
