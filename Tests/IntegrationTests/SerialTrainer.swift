import Backends
import Buffers
import Checksums
import ClusterProtocol
import ClusterRuntime
import NeuralNetwork
import Partitions
import RunFiles

/// The oracle: the training of a run in one thread, with plain loops.
struct SerialTrainer {
    let configuration: RunConfiguration
    let dataSet: DataSet
    /// The network at the start of the run.
    let network: Network
    let plan: BatchPlan
    let engine: any GradientEngine
    /// The engine from the epoch of `unfreeze` on.
    private let unfrozenEngine: any GradientEngine
    /// The changes of the learning rate's factor, as the journal of a run has them.
    var rates: [RateChange] = []
    private let batch: Microbatch

    init(_ configuration: RunConfiguration) throws {
        let training = configuration.training
        self.configuration = configuration
        dataSet = try DataSet.open(
            DataSpecification(configuration.data.source),
            partitionCount: configuration.data.partitions
        ).transformed(by: configuration.data.transformations)
        let description = dataSet.description
        network = try configuration.network(
            for: description.summary(partitionRecordCounts: dataSet.partitionRecordCounts))
        plan = try BatchPlan(
            partitionRecordCounts: dataSet.partitionRecordCounts, batchSize: training.batchSize,
            virtualWorkerCount: training.virtualWorkers, seed: training.seed)
        let backend = try Backends.resolve(
            training.backend, precision: training.precision, tileSize: training.tileSize,
            for: network)
        let engineConfiguration = EngineConfiguration(
            seed: training.seed, tileSize: training.tileSize, precision: training.precision,
            instructionSet: backend != .oneDNN ? nil : Backends.hostInstructionSet(backend),
            loss: try training.loss.resolved(
                classHistogram: description.classHistogram,
                outputCount: network.outputElementCount))
        engine = try Backends.makeEngine(
            backend, network: network, configuration: engineConfiguration)
        unfrozenEngine = try Backends.makeEngine(
            backend, network: network.unfrozen, configuration: engineConfiguration)
        batch = Microbatch(
            capacity: plan.microbatchSize, shape: description.shape,
            targetCount: description.targetCount)
    }

    /// Returns the SHA-256 of the weights after a number of steps.
    func weights(afterSteps steps: Int) throws -> String {
        try train(steps: steps).weights.withUnsafeBytes { SHA256.hexadecimal(of: $0) }
    }

    /// Returns the weights after a number of steps, and their average by `training.ema`.
    func train(steps: Int) throws -> (weights: [Float], average: [Float]) {
        let optimizer = configuration.optimizer
        var weights = network.initialParameters(seed: configuration.training.seed)
        var state = optimizer.stateNames.map { _ in FloatBuffer(count: weights.count) }
        var network = network
        var engine = engine
        var average = weights
        for step in 0..<steps {
            if let unfreeze = configuration.unfreeze,
                step == (unfreeze.epoch - 1) * plan.stepsPerEpoch
            {
                weights = inSlotOrder(weights, network)
                average = inSlotOrder(average, network)
                state = state.map { vector in
                    let all = UnsafeBufferPointer(start: vector.pointer, count: vector.count)
                    let ordered = FloatBuffer(count: all.count)
                    inSlotOrder(Array(all), network).withUnsafeBytes { ordered.copy($0) }
                    return ordered
                }
                network = network.unfrozen
                engine = unfrozenEngine
            }
            let active = network.parameters.activeCount
            engine.setParameters(
                weights[..<active].map(onTheWire) + weights[active...])
            let (whole, sampleCount, weightSum) = try sum(step, engine, first: 0, width: 1 << 16)
            let sum = clipped(whole, weightSum, network)
            var next = weights
            for slot in network.parameters.slots where slot.role != .frozen {
                let start = slot.offset
                next.withUnsafeMutableBufferPointer { next in
                    sum.withUnsafeBufferPointer { sum in
                        weights.withUnsafeBufferPointer { weights in
                            self.optimizer(step, slot).update(
                                step: step + 1, weights: weights.baseAddress! + start,
                                into: next.baseAddress! + start,
                                gradientSum: sum.baseAddress! + start, sampleCount: sampleCount,
                                weightSum: weightSum, state: state.map { $0.pointer + start },
                                count: slot.elementCount)
                        }
                    }
                }
            }
            // A statistic is no weight: it moves towards its mean over the records.
            for slot in network.parameters.slots where slot.role == .statistic {
                let (kept, new) = (Float(1 - slot.momentum), Float(slot.momentum))
                for element in slot.range {
                    next[element] =
                        kept * weights[element] + new * (sum[element] / Float(sampleCount))
                }
            }
            weights = next
            take(weights, network, into: &average)
        }
        return (inSlotOrder(weights, network), inSlotOrder(average, network))
    }

    private func inSlotOrder(_ vector: [Float], _ network: Network) -> [Float] {
        network.parameters.slots.flatMap { vector[$0.range] }
    }

    /// Moves the average towards the weights; a statistic is an average already.
    private func take(_ weights: [Float], _ network: Network, into average: inout [Float]) {
        guard let decay = configuration.training.averageDecay else { return }
        for slot in network.parameters.slots where slot.role != .frozen {
            for element in slot.range {
                let moved =
                    decay * Double(average[element]) + (1 - decay) * Double(weights[element])
                average[element] = slot.role == .statistic ? weights[element] : Float(moved)
            }
        }
    }

    /// Returns a gradient sum whose mean has at most the norm of `training.clip-norm`. Squares are
    /// added in blocks of 1,024 elements, each in eight sums, and the blocks in pairs.
    private func clipped(
        _ sum: [Float], _ weightSum: Double, _ network: Network
    ) -> [Float] {
        guard let limit = configuration.training.clipNorm else { return sum }
        var isTrained = [Bool](repeating: false, count: sum.count)
        for slot in network.parameters.slots where slot.role == .trained {
            for element in slot.range { isTrained[element] = true }
        }
        var level = stride(from: 0, to: sum.count, by: 1024).map { start -> Double in
            var parts = [Double](repeating: 0, count: 8)
            for element in start..<min(start + 1024, sum.count) where isTrained[element] {
                parts[element % 8] += Double(sum[element]) * Double(sum[element])
            }
            let pairs = [parts[0] + parts[1], parts[2] + parts[3], parts[4] + parts[5], parts[6] + parts[7]]
            return (pairs[0] + pairs[1]) + (pairs[2] + pairs[3])
        }
        while level.count > 1 {
            level = stride(from: 0, to: level.count, by: 2).map {
                $0 + 1 < level.count ? level[$0] + level[$0 + 1] : level[$0]
            }
        }
        let norm = level[0].squareRoot() / (weightSum > 0 ? weightSum : 1)
        let factor = Float(min(1, limit / (norm + 1e-6)))
        return zip(sum, isTrained).map { $1 ? $0 * factor : $0 }
    }

    /// Returns the optimizer of one tensor in one step, with the rate and the decay that it has
    /// there.
    private func optimizer(_ step: Int, _ slot: ParameterSlot) -> OptimizerSpecification {
        let training = configuration.training
        var optimizer = configuration.optimizer
        let total = training.steps ?? training.epochs * plan.stepsPerEpoch
        let reduced = rates.last { $0.from.value <= step }?.factor ?? 1
        let factor =
            training.schedule.factor(
                update: step, total: total, stepsPerEpoch: plan.stepsPerEpoch)
        let groups = configuration.groups.filter { $0.match.matches(slot.name) }
        let wasFrozen = configuration.freeze.contains { NamePattern($0).matches(slot.name) }
        let thawed = wasFrozen ? configuration.unfreeze?.rate ?? 1 : 1
        let rate = groups.compactMap(\.rate).last ?? thawed
        if factor != 1 || rate != 1 || reduced != 1 {
            optimizer["learning-rate"] = optimizer["learning-rate"].map { $0 * (factor * (reduced * rate)) }
        }
        if let decay = groups.compactMap(\.decay).last {
            optimizer["weight-decay"] = optimizer["weight-decay"].map { $0 * decay }
        }
        if !training.decays1D, slot.kind != .weight { optimizer["weight-decay"] = 0 }
        return optimizer
    }

    /// Returns the gradient sum of `width` virtual workers (a power of two) from `first` on: the
    /// left half plus the right half, where there is one.
    private func sum(
        _ step: Int, _ engine: any GradientEngine, first: Int, width: Int
    ) throws -> ([Float], Int, Double) {
        if width == 1 {
            let (leaf, sampleCount, weightSum) = try gradient(step, engine, virtualWorker: first)
            return (leaf.map(onTheWire), sampleCount, weightSum)
        }
        let left = try sum(step, engine, first: first, width: width / 2)
        guard first + width / 2 < plan.virtualWorkerCount else { return left }
        let right = try sum(step, engine, first: first + width / 2, width: width / 2)
        return (
            zip(left.0, right.0).map { onTheWire($0 + $1) }, left.1 + right.1, left.2 + right.2
        )
    }

    /// Returns a number as it arrives. With bf16 that is the nearer of the two 16-bit numbers
    /// around it, or the even one of two that are as near. Numbers here never round to infinity.
    private func onTheWire(_ value: Float) -> Float {
        guard configuration.training.wirePrecision == .bf16 else { return value }
        let lower = Float(bitPattern: value.bitPattern & 0xFFFF_0000)
        let upper = Float(bitPattern: lower.bitPattern + 0x1_0000)
        let (down, up) = (abs(Double(value) - Double(lower)), abs(Double(upper) - Double(value)))
        if down != up { return down < up ? lower : upper }
        return lower.bitPattern & 0x1_0000 == 0 ? lower : upper
    }

    private func gradient(
        _ step: Int, _ engine: any GradientEngine, virtualWorker: Int
    ) throws -> ([Float], Int, Double) {
        let epoch = plan.epoch(ofStep: step)
        let order = plan.order(epoch: epoch, virtualWorker: virtualWorker)
        let range = plan.microbatchRange(step: step, virtualWorker: virtualWorker)
        try batch.load(
            from: dataSet, .training, records: order[range],
            augmentation: AugmentationKey(seed: plan.seed, epoch: epoch))
        var gradient = [Float](repeating: 0, count: network.parameters.elementCount)
        let statistics = engine.computeGradient(
            MicrobatchView(
                images: batch.images, labels: batch.labels,
                mixture: batch.isMixed
                    ? MixedLabels(labels: batch.secondLabels, weights: batch.labelWeights) : nil,
                targets: batch.targets.map { UnsafePointer($0) }, records: batch.records,
                count: batch.count), epoch: epoch, into: &gradient)
        return (gradient, statistics.sampleCount, statistics.weightSum)
    }
}
