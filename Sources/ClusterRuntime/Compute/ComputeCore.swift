import Buffers
import ClusterProtocol
import NeuralNetwork
import Partitions
import RunFiles
import Synchronization
import Threads

/// What the compute threads share, and what each of them does.
final class ComputeCore: Sendable {
    enum Task: Sendable {
        case leaf(Int, NodeTask)
        case evaluate(chunk: Int, EvaluationTask)

        var step: Step {
            switch self {
            case .leaf(_, let task): task.step
            case .evaluate(_, let task): task.step
            }
        }

        var weights: FloatBuffer {
            switch self {
            case .leaf(_, let task): task.weights
            case .evaluate(_, let task): task.weights
            }
        }
    }

    let material: RunMaterial
    let loader: MicrobatchLoader
    let arrivingWeights: ArrivingWeights
    let queue = BlockingQueue<Task>(bound: ReductionTree.maximumLeafCount * 2)
    private let dataSet: DataSet
    /// What has to come from elsewhere; nil when all data is on this host.
    private let needs: PartitionNeeds?
    private let instructionSet: String
    private let engineMaker: EngineMaker?
    private let buffers: FloatBufferPool
    /// Where the chunks of the flat vector begin, and its end.
    let chunkStarts: [Int]
    private let report: @Sendable (ComputePool.Result) -> Void
    private let times = Mutex(ComputeTimes())
    private let currentStep = Atomic(0)
    /// Of the current step, since the loader was told last.
    private let finishedLeaves = Mutex<[Int]>([])

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
        let ahead = min(material.batchPlan.virtualWorkerCount * 2, 256)
        loader = MicrobatchLoader(
            dataSet: dataSet, plan: material.batchPlan, bufferCount: ahead + threadCount,
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

    /// Most exchanges on one host end sooner.
    private static let longestVigil = Duration.milliseconds(2)

    /// Work on steps before this one is not wanted any more.
    func advance(to step: Step) {
        guard currentStep.exchange(step.value, ordering: .relaxed) != step.value else { return }
        finishedLeaves.withLock { $0.removeAll(keepingCapacity: true) }
        queue.removeAll { $0.step != step }
    }

    func takeTimes() -> ComputeTimes {
        times.withLock { times in
            defer { times = ComputeTimes() }
            return times
        }
    }

    func stop() {
        queue.close()
        queue.removeAll { _ in true }
        loader.stop()
    }

    /// The body of a compute thread.
    func run() {
        Scheduling.compute()
        let engine: any GradientEngine
        do throws(BackendError) {
            engine = try makeEngine()
        } catch {
            report(.failed(.data("\(error)")))
            return
        }
        let evaluationBatch = Microbatch(
            capacity: RunMaterial.evaluationChunkRecordCount, shape: material.data.shape)
        var weights = EngineWeights()
        var vigil = Vigil(limit: Self.longestVigil)
        while let task = queue.pop(
            &vigil, meanwhile: { weights.load(arrivingWeights, into: engine) })
        {
            guard task.step.value == currentStep.load(ordering: .relaxed) else { continue }
            weights.load(task.weights, into: engine)
            do throws(DataError) {
                switch task {
                case .leaf(let leaf, let node): try compute(leaf, of: node, with: engine)
                case .evaluate(let chunk, let evaluation):
                    try evaluate(chunk, of: evaluation, with: engine, evaluationBatch)
                }
            } catch {
                report(.failed(Failure(error)))
            }
        }
    }

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

    private func compute(
        _ leaf: Int, of task: NodeTask, with engine: any GradientEngine
    ) throws(DataError) {
        if let needs {
            // Fetching is no measure of a worker's speed, and may outlast the step.
            try needs.bring(step: task.step, leaf: leaf)
            guard task.step.value == currentStep.load(ordering: .relaxed) else { return }
        }
        let begin = SteadyClock.nanoseconds()
        let batch = try loader.take(step: task.step.value, virtualWorker: leaf)
        let loaded = SteadyClock.nanoseconds()
        let view = MicrobatchView(
            images: batch.images, labels: batch.labels, records: batch.records, count: batch.count)
        let sum = buffers.take()
        // The last chunks are final first, and leave while the rest is computed. Others may have
        // finished the step meanwhile; the next one is waiting then.
        let observer = GradientObserver(
            isWanted: { task.step.value == self.currentStep.load(ordering: .relaxed) },
            isFinal: { element, statistics in
                guard element > 0 else { return }
                self.hand(
                    leaf, of: task, sum, Self.totals(statistics, batch, leaf), finalFrom: element)
            })
        let found = engine.computeGradient(
            view, epoch: material.batchPlan.epoch(ofStep: task.step.value), into: sum.pointer,
            observer)
        guard let statistics = found else { return loader.recycle(batch) }
        let totals = Self.totals(statistics, batch, leaf)
        loader.recycle(batch)
        let end = SteadyClock.nanoseconds()
        times.withLock { times in
            times.leafCount += 1
            times.computeNanoseconds += end - loaded
            times.inputNanoseconds += loaded - begin
        }
        hand(leaf, of: task, sum, totals, finalFrom: 0)
        prefetch(after: task.step, leaf)
    }

    /// Asks for a leaf's microbatch of the step after next, when no leaf of this one is left: while
    /// threads wait for other workers, the loader takes nobody's core.
    private func prefetch(after step: Step, _ leaf: Int) {
        let finished = finishedLeaves.withLock { leaves -> [Int] in
            leaves.append(leaf)
            guard queue.isEmpty else { return [] }
            defer { leaves.removeAll(keepingCapacity: true) }
            return leaves
        }
        guard step.value + 2 < material.totalSteps else { return }
        loader.prefetch(step: step.value + 2, virtualWorkers: finished)
    }

    private static func totals(
        _ statistics: BatchStatistics, _ batch: Microbatch, _ leaf: Int
    ) -> ContributionTotals {
        var totals = ContributionTotals(
            sampleCount: statistics.sampleCount, lossSum: statistics.lossSum,
            correctCount: statistics.correctCount, recordDigest: batch.recordDigest)
        totals.markFlaw(leaf: leaf)
        return totals
    }

    /// Adds what is final of a leaf's sum, and tells of the chunks of its node that are complete then.
    private func hand(
        _ leaf: Int, of task: NodeTask, _ sum: FloatBuffer, _ totals: ContributionTotals,
        finalFrom element: Int
    ) {
        guard let part = task.add(leaf: leaf, sum: sum, totals: totals, finalFrom: element) else {
            return
        }
        report(.node(step: task.step, node: task.node, part))
    }

    private func evaluate(
        _ chunk: Int, of task: EvaluationTask, with engine: any GradientEngine, _ batch: Microbatch
    ) throws(DataError) {
        let records = material.evaluationRecords(chunk: chunk)
        try needs?.bringTest(records)
        try batch.load(from: dataSet, .test, records: records.map(UInt64.init))
        let view = MicrobatchView(
            images: batch.images, labels: batch.labels, records: batch.records, count: batch.count)
        let statistics = engine.evaluate(view, logits: nil)
        let result = EvaluationResult(
            chunk: chunk, recordCount: statistics.sampleCount,
            correctCount: statistics.correctCount, lossSum: statistics.lossSum)
        if let all = task.add(result) {
            report(.evaluated(Evaluated(step: task.step, results: all)))
        }
    }
}
