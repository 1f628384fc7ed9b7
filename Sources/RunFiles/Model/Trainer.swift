import Backends
import Buffers
import ClusterProtocol
import NeuralNetwork
import Partitions
import Synchronization
import Threads

/// Trains a model in this process. After each step the weights have the same bits as in any cluster
/// with the same settings, for any number of threads.
///
/// ```swift
/// var settings = RunConfiguration()
/// settings.training.epochs = 1
/// let trainer = try Trainer(settings)
/// try trainer.train { print("step \($0.step): loss \($0.loss)") }
/// try trainer.model().save(to: "fashion.safetensors")
/// ```
///
/// A trainer writes no files, uses no other process and does not recover from a crash. The command
/// `convoy train` does all of that. Threading: used by one thread.
public final class Trainer {
    /// The result of one step. Loss and accuracy are computed in training mode.
    public struct Progress: Sendable, Hashable {
        /// The number of updates so far, from 1.
        public var step: Int
        /// The number of the epoch, from 1.
        public var epoch: Int
        /// The mean loss over the step's records, weighted as the loss is.
        public var loss: Double
        /// The share of the step's records that are right, 0 to 1; NaN with a loss that knows no
        /// right and wrong.
        public var accuracy: Double
    }

    /// The settings of the training.
    public let configuration: RunConfiguration
    /// The data set that it trains on, as it is stored: `Model.evaluate` and `Model.predict` apply the
    /// configuration's transformations.
    public let data: DataSet
    /// The number of steps that the configuration asks for.
    public var totalSteps: Int { material.totalSteps }
    /// The number of updates so far.
    public private(set) var step = 0

    /// The data set with the configuration's transformations applied.
    private let transformed: DataSet
    private var material: RunMaterial
    private var rule: UpdateRule
    private var threads: [Worker]
    private var weights: FloatBuffer
    private var next: FloatBuffer
    private var state: [FloatBuffer]
    private let leaves: [FloatBuffer]
    /// The sums of squares of the gradient's blocks; empty without clipping.
    private var squares: [Double]
    /// The weights that the engines compute with, rounded as they would be for the wire.
    private let published: FloatBuffer

    /// The objects that one compute thread owns.
    private final class Worker {
        let engine: any GradientEngine
        let batch: Microbatch
        /// Whether the engine has the frozen weights, which never change.
        private var hasFrozen = false

        init(engine: any GradientEngine, batch: Microbatch) {
            self.engine = engine
            self.batch = batch
        }

        /// Gives the engine the weights of a step.
        func load(_ weights: UnsafePointer<Float>) {
            let layout = engine.network.parameters
            for layer in hasFrozen ? layout.activeLayers : layout.layers.indices {
                engine.setParameters(weights, ofLayer: layer)
            }
            hasFrozen = true
        }
    }

    /// Opens the data set and draws the initial weights, or reads those of `init`.
    ///
    /// - Parameters:
    ///   - configuration: the settings of the run.
    ///   - threadCount: the number of compute threads, at least 1. No more threads than virtual
    ///     workers are used.
    /// - Throws: `.configuration`, `.data` or `.model` for settings, data or a model that cannot be
    ///   used; `.storage` or `.checkpoint` for initial weights that cannot be read or do not fit.
    public init(_ configuration: RunConfiguration, threadCount: Int = 1) throws(RunError) {
        precondition(threadCount >= 1, "expected at least one thread, found \(threadCount)")
        try configuration.requireNoEvaluations()
        self.configuration = configuration
        do throws(DataError) {
            data = try DataSet.open(
                configuration.data.specification(),
                partitionCount: configuration.data.partitions)
            transformed = try data.transformed(by: configuration.data.transformations)
        } catch {
            throw RunError(error)
        }
        try configuration.requireInstructions()
        material = try RunMaterial(
            configuration,
            data: transformed.description.summary(
                partitionRecordCounts: transformed.partitionRecordCounts))
        if material.unfreezeStep != nil { _ = try material.unfrozen() }
        let network = material.network
        let first = try InitialWeights(configuration, network).weights
        weights = first
        next = FloatBuffer(count: first.count)
        published = FloatBuffer(count: first.count)
        // What is frozen does not travel, so it is not rounded.
        let frozen = network.parameters.frozen
        for vector in [next, published] {
            vector.copy(first.bytes(frozen), to: frozen.lowerBound)
        }
        rule = material.updateRule
        state = rule.stateNames.map { name in
            let vector = FloatBuffer(count: first.count)
            if name == WeightAverage.name { vector.copy(first.bytes) }
            return vector
        }
        squares = Array(repeating: 0, count: rule.clipping?.blockCount ?? 0)
        leaves = (0..<material.tree.leafCount).map { _ in FloatBuffer(count: first.count) }
        threads = try Self.workers(
            min(threadCount, material.tree.leafCount), material, transformed.description)
    }

    private static func workers(
        _ count: Int, _ material: RunMaterial, _ description: DataSetDescription
    ) throws(RunError) -> [Worker] {
        var threads: [Worker] = []
        for _ in 0..<count {
            do throws(BackendError) {
                let isa =
                    material.backend == .oneDNN
                    ? material.configuration.training.instructionSet
                        ?? Backends.hostInstructionSet(material.backend) : nil
                threads.append(
                    Worker(
                        engine: try Backends.makeEngine(
                            material.backend, network: material.network,
                            configuration: material.engineConfiguration(instructionSet: isa)),
                        batch: Microbatch(
                            capacity: material.batchPlan.microbatchSize,
                            shape: description.shape,
                            targetCount: description.targetCount)))
            } catch {
                throw .configuration("\(error)")
            }
        }
        return threads
    }

    /// Goes on with what was frozen until now: all vectors are put in slot order.
    private func unfreeze() throws(RunError) {
        guard let order = material.network.parameters.order else { return }
        func inSlotOrder(_ vector: FloatBuffer) -> FloatBuffer {
            let result = FloatBuffer(count: vector.count)
            var end = 0
            for range in order {
                result.copy(vector.bytes(range), to: end)
                end += range.count
            }
            return result
        }
        weights = inSlotOrder(weights)
        state = state.map(inSlotOrder)
        material = try material.unfrozen()
        rule = material.updateRule
        threads = try Self.workers(threads.count, material, data.description)
        squares = Array(repeating: 0, count: rule.clipping?.blockCount ?? 0)
    }

    /// Returns a model with the present weights.
    public func model() throws(RunError) -> Model { try model(weights) }

    private func model(_ vector: FloatBuffer) throws(RunError) -> Model {
        let all = UnsafeBufferPointer(start: vector.pointer, count: vector.count)
        // The model's own network has its tensors in slot order.
        let places = material.network.parameters.order ?? [0..<vector.count]
        let flat = places.flatMap { UnsafeBufferPointer(rebasing: all[$0]) }
        return try Model(
            material.network.unfrozen, weights: flat,
            input: ModelInput(configuration, material.data),
            loss: configuration.training.loss)
    }

    /// Returns a model with the average of the weights; nil unless `training.ema` asks for one.
    public func averagedModel() throws(RunError) -> Model? {
        guard configuration.training.averageDecay != nil, let average = state.last else {
            return nil
        }
        return try model(average)
    }

    /// Trains for a number of steps, or to the end that the configuration asks for.
    ///
    /// - Parameters:
    ///   - steps: the number of steps; nil for all that are left.
    ///   - progress: called after each step.
    /// - Throws: `.data` when records cannot be read, and `.divergence` at the first loss that is
    ///   not a finite number. The weights are then those from before that step.
    public func train(
        steps: Int? = nil, _ progress: (Progress) -> Void = { _ in }
    ) throws(RunError) {
        let end = min(totalSteps, steps.map { step + $0 } ?? totalSteps)
        while step < end { progress(try trainStep()) }
    }

    private func trainStep() throws(RunError) -> Progress {
        if step == material.unfreezeStep { try unfreeze() }
        let totals = try computeLeaves()
        let loss = totals.meanLoss
        guard loss.isFinite else {
            throw .divergence("step \(step): expected a finite loss, found \(loss)")
        }
        let sum = sum(of: material.tree.root)
        if let clipping = rule.clipping { clip(sum, clipping, totals.weightSum) }
        rule.update(
            0..<activeCount, step: step + 1, weights: weights.pointer, into: next.pointer,
            gradientSum: sum.pointer, sampleCount: totals.sampleCount,
            weightSum: totals.weightSum, state: state.map(\.pointer))
        swap(&weights, &next)
        step += 1
        return Progress(
            step: step, epoch: material.batchPlan.epoch(ofStep: step - 1) + 1, loss: loss,
            accuracy: material.loss.hasAccuracy
                ? Double(totals.correctCount) / Double(totals.sampleCount) : .nan)
    }

    // MARK: - Gradients

    /// Scales a gradient whose norm is beyond the limit, in place.
    private func clip(_ sum: FloatBuffer, _ clipping: GradientClipping, _ weightSum: Double) {
        let all = 0..<activeCount
        let factor = squares.withUnsafeMutableBufferPointer { squares -> Float in
            guard let base = squares.baseAddress else { return 1 }
            clipping.measure(all, gradientSum: sum.pointer, into: base)
            return clipping.factor(UnsafeBufferPointer(squares), weightSum: weightSum)
        }
        guard factor != 1 else { return }
        clipping.scale(all, gradientSum: sum.pointer, by: factor, into: sum.pointer)
    }

    /// Computes the gradient of each virtual worker, on all threads.
    ///
    /// - Returns: the sums of the step's statistics, added along the tree.
    private func computeLeaves() throws(RunError) -> BatchStatistics {
        let count = leaves.count
        // Safety: each index is written only by the thread that drew it, and read after all threads
        // are joined.
        nonisolated(unsafe) let statistics = UnsafeMutablePointer<BatchStatistics>.allocate(
            capacity: count)
        statistics.initialize(repeating: BatchStatistics(), count: count)
        defer { statistics.deallocate() }
        let drawn = Atomic(0)
        let fault = Mutex<DataError?>(nil)
        wire.round(weights.pointer, into: published.pointer, count: activeCount)
        let work: (Worker) -> Void = { [self] worker in
            worker.load(published.pointer)
            while true {
                let index = drawn.add(1, ordering: .relaxed).oldValue
                guard index < count, fault.withLock({ $0 == nil }) else { return }
                do throws(DataError) {
                    statistics[index] = try compute(VirtualWorkerIndex(index), worker)
                } catch {
                    fault.withLock { $0 = error }
                }
            }
        }
        if threads.count == 1 {
            work(threads[0])
        } else {
            // Safety: this thread waits for all the other threads before it goes on.
            nonisolated(unsafe) let work = work
            let all = threads.map { worker in
                nonisolated(unsafe) let worker = worker
                return WorkThread(name: "train") { work(worker) }
            }
            for thread in all { thread.join() }
        }
        if let error = fault.withLock({ $0 }) { throw RunError(error) }
        return total(of: material.tree.root, statistics)
    }

    private var wire: WirePrecision { configuration.training.wirePrecision }

    /// The number of elements at the beginning of the flat vector that change.
    private var activeCount: Int { material.network.parameters.activeCount }

    /// Computes the gradient of one virtual worker and rounds it as for the wire.
    private func compute(
        _ virtualWorker: VirtualWorkerIndex, _ worker: Worker
    ) throws(DataError) -> BatchStatistics {
        let plan = material.batchPlan
        let epoch = plan.epoch(ofStep: step)
        let order = plan.order(epoch: epoch, virtualWorker: virtualWorker.value)
        try worker.batch.load(
            from: transformed, .training,
            records: order[plan.microbatchRange(step: step, virtualWorker: virtualWorker.value)],
            augmentation: AugmentationKey(seed: plan.seed, epoch: epoch))
        let gradient = leaves[virtualWorker.value].pointer
        let found = worker.engine.computeGradient(
            worker.batch.view, epoch: epoch, into: gradient)
        wire.round(gradient, into: gradient, count: activeCount)
        return found
    }

    /// Returns the children of a node, the left one first, or nil for a leaf.
    private func children(of node: TreeNode) -> (left: TreeNode, right: TreeNode?)? {
        guard node.level > 0 else { return nil }
        let left = TreeNode(level: node.level - 1, index: node.index << 1)
        return (left, material.tree.contains(left.sibling) ? left.sibling : nil)
    }

    /// Returns the sum of the leaves below a node. The sum is computed in place, in the buffer of
    /// the leftmost leaf.
    private func sum(of node: TreeNode) -> FloatBuffer {
        guard let (left, right) = children(of: node) else { return leaves[node.index] }
        let sum = sum(of: left)
        guard let right else { return sum }
        FlatVector.add(
            sum.pointer, self.sum(of: right).pointer, into: sum.pointer, count: activeCount)
        wire.round(sum.pointer, into: sum.pointer, count: activeCount)
        return sum
    }

    /// Returns the sum of the leaves' statistics below a node, in the order of the tree.
    private func total(
        of node: TreeNode, _ leaves: UnsafePointer<BatchStatistics>
    ) -> BatchStatistics {
        guard let (left, right) = children(of: node) else { return leaves[node.index] }
        let first = total(of: left, leaves)
        guard let right else { return first }
        return first + total(of: right, leaves)
    }
}
