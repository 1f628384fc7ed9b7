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
    let network: Network
    let plan: BatchPlan
    let engine: any GradientEngine
    private let batch: Microbatch

    init(_ configuration: RunConfiguration) throws {
        let training = configuration.training
        self.configuration = configuration
        dataSet = try DataSet.open(
            DataSpecification(configuration.data.source),
            partitionCount: configuration.data.partitions)
        let description = dataSet.description
        network = try configuration.network(
            for: description.summary(partitionRecordCounts: dataSet.partitionRecordCounts))
        plan = try BatchPlan(
            partitionRecordCounts: dataSet.partitionRecordCounts, batchSize: training.batchSize,
            virtualWorkerCount: training.virtualWorkers, seed: training.seed)
        let backend = try Backends.resolve(
            training.backend, precision: training.precision, tileSize: training.tileSize,
            for: network)
        engine = try Backends.makeEngine(
            backend, network: network,
            configuration: EngineConfiguration(
                seed: training.seed, tileSize: training.tileSize, precision: training.precision,
                instructionSet: backend != .oneDNN
                    ? nil : Backends.hostInstructionSet(backend),
                loss: training.loss.resolved(
                    classHistogram: description.classHistogram,
                    outputCount: network.outputElementCount)))
        batch = Microbatch(
            capacity: plan.microbatchSize, shape: description.shape,
            targetCount: description.targetCount)
    }

    /// Returns the SHA-256 of the weights after a number of steps.
    func weights(afterSteps steps: Int) throws -> String {
        let optimizer = configuration.optimizer
        var weights = network.initialParameters(seed: configuration.training.seed)
        let state = optimizer.stateNames.map { _ in FloatBuffer(count: weights.count) }
        for step in 0..<steps {
            engine.setParameters(weights.map(onTheWire))
            let (sum, sampleCount, weightSum) = try sum(step, first: 0, width: 1 << 16)
            var next = weights
            for slot in network.parameters.slots {
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
        }
        let digest = weights.withUnsafeBytes { SHA256.hash(data: $0) }
        return digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// Returns the optimizer of one tensor in one step, with the rate and the decay that it has
    /// there.
    private func optimizer(_ step: Int, _ slot: ParameterSlot) -> OptimizerSpecification {
        let training = configuration.training
        var optimizer = configuration.optimizer
        let total = training.steps ?? training.epochs * plan.stepsPerEpoch
        let factor = training.schedule.factor(
            update: step, total: total, stepsPerEpoch: plan.stepsPerEpoch)
        if factor != 1 {
            optimizer["learning-rate"] = optimizer["learning-rate"].map { $0 * factor }
        }
        if !training.decays1D, slot.kind != .weight { optimizer["weight-decay"] = 0 }
        return optimizer
    }

    /// Returns the gradient sum of `width` virtual workers (a power of two) from `first` on: the
    /// left half plus the right half, where there is one.
    private func sum(_ step: Int, first: Int, width: Int) throws -> ([Float], Int, Double) {
        if width == 1 {
            let (leaf, sampleCount, weightSum) = try gradient(step, virtualWorker: first)
            return (leaf.map(onTheWire), sampleCount, weightSum)
        }
        let left = try sum(step, first: first, width: width / 2)
        guard first + width / 2 < plan.virtualWorkerCount else { return left }
        let right = try sum(step, first: first + width / 2, width: width / 2)
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

    private func gradient(_ step: Int, virtualWorker: Int) throws -> ([Float], Int, Double) {
        let epoch = plan.epoch(ofStep: step)
        let order = plan.order(epoch: epoch, virtualWorker: virtualWorker)
        let range = plan.microbatchRange(step: step, virtualWorker: virtualWorker)
        try batch.load(from: dataSet, .training, records: order[range])
        var gradient = [Float](repeating: 0, count: network.parameters.elementCount)
        let statistics = engine.computeGradient(
            MicrobatchView(
                images: batch.images, labels: batch.labels,
                targets: batch.targets.map { UnsafePointer($0) }, records: batch.records,
                count: batch.count), epoch: epoch, into: &gradient)
        return (gradient, statistics.sampleCount, statistics.weightSum)
    }
}
