import Backends
import Buffers
import ClusterProtocol
import NeuralNetwork
import Partitions
import RunFiles
import Synchronization
import Threads

/// What the compute threads of a worker share, and what each of them does.
final class ComputeCore: Sendable {
    /// A piece of work for one compute thread.
    enum Task: Sendable {
        /// The gradient of one virtual worker, as a part of a tree node.
        case gradient(VirtualWorkerIndex, NodeTask)
        /// The evaluation of one chunk of the test records.
        case evaluate(chunk: EvaluationChunkIndex, EvaluationTask)

        /// The step that the work belongs to.
        var step: Step {
            switch self {
            case .gradient(_, let task): task.step
            case .evaluate(_, let task): task.step
            }
        }

        /// The weights to compute with.
        var weights: FloatBuffer {
            switch self {
            case .gradient(_, let task): task.weights
            case .evaluate(_, let task): task.weights
            }
        }
    }

    /// The run.
    let material: RunMaterial
    /// Reads microbatches ahead.
    let loader: MicrobatchLoader
    /// The layers of the next weights that have come.
    let arrivingWeights: ArrivingWeights
    /// The work that no thread has taken.
    let queue = BlockingQueue<Task>(bound: ReductionTree.maximumLeafCount * 2)
    private let dataSet: DataSet
    /// Fetches partitions from elsewhere; nil when all data is on this host.
    private let needs: PartitionNeeds?
    private let instructionSet: String
    private let engineMaker: EngineMaker?
    /// Memory for the sums of leaves.
    private let buffers: FloatBufferPool
    /// The first element of each chunk of the flat vector, then the end of the vector.
    let chunkStarts: [Int]
    /// Receives results, on a compute thread.
    private let report: @Sendable (ComputePool.Result) -> Void
    private let times = Mutex(ComputeTimes())
    private let waits = Mutex(DataWaits())
    private let currentStep = Atomic(0)
    /// The virtual workers of the current step that were finished since such ones were last handed
    /// to the loader.
    private let finishedVirtualWorkers = Mutex<[VirtualWorkerIndex]>([])

    /// Creates the shared state and starts the loader.
    init(
        material: RunMaterial, dataSet: DataSet, needs: PartitionNeeds?, threadCount: Int,
        instructionSet: String, makeEngine: EngineMaker?,
        report: @escaping @Sendable (ComputePool.Result) -> Void
    ) {
        self.material = material
        self.dataSet = dataSet
        self.needs = needs
        self.instructionSet = instructionSet
        engineMaker = makeEngine
        self.report = report
        loader = MicrobatchLoader(
            dataSet: dataSet, plan: material.batchPlan,
            bufferCount: material.microbatchesAhead + threadCount, stepCount: material.totalSteps,
            prepareThread: Scheduling.compute)
        arrivingWeights = ArrivingWeights(
            layers: material.network.parameters.layers,
            chunks: material.slicePlan.chunks.map(\.range))
        chunkStarts =
            material.slicePlan.chunks.map(\.range.lowerBound) + [material.slicePlan.parameterCount]
        buffers = FloatBufferPool(
            count: material.network.parameters.elementCount,
            isShared: material.configuration.cluster.sharedMemory)
    }

    /// The longest time that a thread spins for work before it sleeps. Most exchanges on one host
    /// take less.
    private static let longestVigil = Duration.milliseconds(2)

    /// Begins a step, and drops the work on other steps.
    func advance(to step: Step) {
        guard currentStep.exchange(step.value, ordering: .relaxed) != step.value else { return }
        finishedVirtualWorkers.withLock { $0.removeAll(keepingCapacity: true) }
        queue.removeAll { $0.step != step }
    }

    /// Returns the times since the last call.
    func takeTimes() -> ComputeTimes {
        times.withLock { times in
            defer { times = ComputeTimes() }
            return times
        }
    }

    /// Returns the waits of the epoch before the one that a step belongs to, once; nil when that step
    /// belongs to the same epoch or nothing was computed.
    func takeWaits(before step: Step?) -> DataWaits? {
        let epoch = step.map { material.batchPlan.epoch(ofStep: $0.value) }
        return waits.withLock { waits in
            guard let known = waits.epoch, known != epoch else { return nil }
            defer { waits = DataWaits() }
            return waits
        }
    }

    /// Ends the threads after the work in hand, and stops the loader.
    func stop() {
        queue.close()
        queue.removeAll { _ in true }
        loader.stop()
    }

    /// Does the work of one compute thread until `stop` is called.
    func run() {
        Scheduling.compute()
        let engine: any GradientEngine
        do throws(BackendError) {
            engine = try makeEngine()
        } catch {
            report(.failed(.configuration("\(error)")))
            return
        }
        let evaluationBatch = Microbatch(
            capacity: RunMaterial.evaluationChunkRecordCount, shape: material.data.shape,
            targetCount: material.data.targetCount)
        var weights = EngineWeights()
        var vigil = Vigil(limit: Self.longestVigil)
        while let task = queue.pop(
            &vigil, meanwhile: { weights.load(arrivingWeights, into: engine) })
        {
            guard task.step.value == currentStep.load(ordering: .relaxed) else { continue }
            weights.load(task.weights, into: engine)
            do throws(DataError) {
                switch task {
                case .gradient(let virtualWorker, let node):
                    try compute(virtualWorker, of: node, with: engine)
                case .evaluate(let chunk, let evaluation):
                    try evaluate(chunk, of: evaluation, with: engine, evaluationBatch)
                }
            } catch {
                report(.failed(RunError(error)))
            }
        }
    }

    /// Creates the engine of the calling thread.
    private func makeEngine() throws(BackendError) -> any GradientEngine {
        let usual = { () throws(BackendError) -> any GradientEngine in
            try Backends.makeEngine(
                self.material.backend, network: self.material.network,
                configuration: self.material.engineConfiguration(
                    instructionSet: self.material.backend == .oneDNN ? self.instructionSet : nil))
        }
        guard let engineMaker else { return try usual() }
        return try engineMaker(material, usual)
    }

    /// Computes the gradient sum of a virtual worker, and hands on each stretch of it as soon as it
    /// is final.
    private func compute(
        _ virtualWorker: VirtualWorkerIndex, of task: NodeTask, with engine: any GradientEngine
    ) throws(DataError) {
        let start = SteadyClock.nanoseconds()
        // Fetching and opening do not measure a worker's speed, and they may outlast the step.
        try needs?.bring(step: task.step, virtualWorker: virtualWorker)
        try loader.open(step: task.step.value, virtualWorker: virtualWorker.value)
        guard task.step.value == currentStep.load(ordering: .relaxed) else { return }
        let begin = SteadyClock.nanoseconds()
        let batch = try loader.take(
            step: task.step.value, virtualWorker: virtualWorker.value)
        let loaded = SteadyClock.nanoseconds()
        let view = batch.view
        let sum = buffers.take()
        // The last chunks are final first, and are sent while the rest is computed. Other workers
        // may finish the step meanwhile; the next step is then waiting.
        let observer = GradientObserver(
            isWanted: { task.step.value == self.currentStep.load(ordering: .relaxed) },
            isFinal: { element, statistics in
                guard element > 0 else { return }
                self.hand(
                    virtualWorker, of: task, sum, Self.totals(statistics, batch, virtualWorker),
                    finalFrom: element)
            })
        let found = engine.computeGradient(
            view, epoch: material.batchPlan.epoch(ofStep: task.step.value), into: sum.pointer,
            observer)
        guard let statistics = found else { return loader.recycle(batch) }
        let totals = Self.totals(statistics, batch, virtualWorker)
        loader.recycle(batch)
        let end = SteadyClock.nanoseconds()
        times.withLock { times in
            times.virtualWorkerCount += 1
            times.computeNanoseconds += end - loaded
            times.inputNanoseconds += loaded - begin
        }
        let epoch = material.batchPlan.epoch(ofStep: task.step.value)
        waits.withLock {
            $0.add(epoch, open: begin - start, input: loaded - begin, compute: end - loaded)
        }
        hand(virtualWorker, of: task, sum, totals, finalFrom: 0)
        prefetch(after: task.step, virtualWorker)
    }

    /// Asks the loader for the microbatches of the step after next, once the queue is empty. The
    /// threads then wait for other workers, and the loader takes no core from them.
    private func prefetch(after step: Step, _ virtualWorker: VirtualWorkerIndex) {
        let finished = finishedVirtualWorkers.withLock { finished -> [Int] in
            finished.append(virtualWorker)
            guard queue.isEmpty else { return [] }
            defer { finished.removeAll(keepingCapacity: true) }
            return finished.map(\.value)
        }
        guard step.value + 2 < material.totalSteps else { return }
        loader.prefetch(step: step.value + 2, virtualWorkers: finished)
    }

    /// Returns the figures that travel with a virtual worker's sum.
    private static func totals(
        _ statistics: BatchStatistics, _ batch: Microbatch, _ virtualWorker: VirtualWorkerIndex
    ) -> ContributionTotals {
        var totals = ContributionTotals(
            sampleCount: statistics.sampleCount, lossSum: statistics.lossSum,
            correctCount: statistics.correctCount, recordDigest: batch.recordDigest,
            weightSum: statistics.weightSum)
        totals.markFlaw(of: virtualWorker)
        return totals
    }

    /// Adds the final part of a virtual worker's sum, and reports the chunks of its node that are
    /// complete with it.
    private func hand(
        _ virtualWorker: VirtualWorkerIndex, of task: NodeTask, _ sum: FloatBuffer,
        _ totals: ContributionTotals, finalFrom element: Int
    ) {
        let part = task.add(
            virtualWorker: virtualWorker, sum: sum, totals: totals, finalFrom: element)
        guard let part else { return }
        report(.node(step: task.step, node: task.node, part))
    }

    /// Evaluates a chunk of test records, and reports the results once all chunks of the order are
    /// done.
    private func evaluate(
        _ chunk: EvaluationChunkIndex, of task: EvaluationTask, with engine: any GradientEngine,
        _ batch: Microbatch
    ) throws(DataError) {
        let records = material.evaluationRecords(chunk: chunk)
        try needs?.bringTest(records)
        try batch.load(from: dataSet, .test, records: records.map(UInt64.init))
        let statistics = engine.evaluate(batch.view, logits: nil)
        let result = EvaluationResult(
            chunk: chunk, recordCount: statistics.sampleCount,
            correctCount: statistics.correctCount, lossSum: statistics.lossSum)
        if let all = task.add(result) {
            report(.evaluated(Evaluated(step: task.step, results: all)))
        }
    }
}
