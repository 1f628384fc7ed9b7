import Buffers
import ClusterProtocol
import NeuralNetwork
import Partitions
import RunFiles
import Synchronization
import Threads

/// The compute threads of a worker, each with an engine of its own, and their queue.
///
/// Threading: every method may be called from any thread. Results go to the closure `report`, on a
/// compute thread.
final class ComputePool: Sendable {
    /// What a compute thread reports.
    enum Result: Sendable {
        /// Chunks of a node's sum are complete.
        case node(step: Step, node: TreeNode, NodeTask.Part)
        /// All chunks of an evaluation are done.
        case evaluated(Evaluated)
        /// An engine could not be created, or data could not be read.
        case failed(RunError)
    }

    private let core: ComputeCore
    private let threads: [WorkThread]

    /// Creates the pool and starts its threads; each of them creates its engine.
    ///
    /// - Parameters:
    ///   - material: the run.
    ///   - dataSet: the data that microbatches are read from.
    ///   - needs: fetches partitions from elsewhere; nil when all data is on this host.
    ///   - threadCount: the number of compute threads.
    ///   - instructionSet: the instruction set that all workers of the run compute with.
    ///   - makeEngine: makes the engines; nil for the run's backend.
    ///   - report: receives results, on a compute thread.
    init(
        material: RunMaterial, dataSet: DataSet, needs: PartitionNeeds? = nil, threadCount: Int,
        instructionSet: String, makeEngine: EngineMaker? = nil,
        report: @escaping @Sendable (Result) -> Void
    ) {
        let core = ComputeCore(
            material: material, dataSet: dataSet, needs: needs, threadCount: threadCount,
            instructionSet: instructionSet, makeEngine: makeEngine, report: report)
        self.core = core
        threads = (0..<threadCount).map { index in
            WorkThread(name: "compute-\(index)") { core.run() }
        }
    }

    /// Computes tree nodes of one step with `weights`, and drops unfinished work on other steps.
    func compute(step: Step, nodes: [TreeNode], weights: FloatBuffer) {
        core.advance(to: step)
        let tasks = nodes.map {
            NodeTask(
                step: step, node: $0, tree: core.material.tree, chunks: core.chunkStarts,
                precision: core.material.wire.precision, weights: weights)
        }
        for task in tasks {
            for virtualWorker in task.virtualWorkers {
                core.queue.push(.gradient(virtualWorker, task))
            }
        }
        // The loader was usually asked for these at the end of the step before, when cores were
        // idle.
        let next = step.value + 1
        if next < core.material.totalSteps {
            core.loader.prefetch(
                step: next, virtualWorkers: tasks.flatMap { $0.virtualWorkers.map(\.value) })
        }
    }

    /// Takes in that a chunk of the weights to be computed with next is in its place.
    func expect(_ weights: FloatBuffer, chunk: ChunkIndex) {
        core.arrivingWeights.add(chunk: chunk, of: weights)
    }

    /// Evaluates chunks of the test records with `weights`, and drops unfinished work on other
    /// steps.
    func evaluate(_ evaluate: Evaluate, weights: FloatBuffer) {
        core.advance(to: evaluate.step)
        let task = EvaluationTask(
            step: evaluate.step, weights: weights, chunkCount: evaluate.chunks.count)
        for chunk in evaluate.chunks { core.queue.push(.evaluate(chunk: chunk, task)) }
    }

    /// Returns the times since the last call.
    func takeTimes() -> ComputeTimes { core.takeTimes() }

    /// Returns the waits for data of an epoch that ended before this step, once; nil for the present
    /// epoch, whatever it is, at the end of the work.
    func takeWaits(before step: Step?) -> DataWaits? { core.takeWaits(before: step) }

    /// Ends the threads after the work in hand, and waits for them.
    func stop() {
        core.stop()
        for thread in threads { thread.join() }
    }
}

/// Sums over the virtual workers that were computed since the last call of `takeTimes`.
struct ComputeTimes: Sendable {
    /// The number of virtual workers.
    var virtualWorkerCount = 0
    /// The time spent on computing gradients, in nanoseconds.
    var computeNanoseconds: Int64 = 0
    /// The time spent on reading microbatches or waiting for them, in nanoseconds.
    var inputNanoseconds: Int64 = 0
}

/// The chunks of test records that one order asks to evaluate.
final class EvaluationTask: Sendable {
    /// The version of the weights that is evaluated.
    let step: Step
    /// The weights to evaluate.
    let weights: FloatBuffer
    private let chunkCount: Int
    private let results = Mutex<[EvaluationResult]>([])

    /// Creates a task without results.
    init(step: Step, weights: FloatBuffer, chunkCount: Int) {
        self.step = step
        self.weights = weights
        self.chunkCount = chunkCount
    }

    /// Adds a result. Returns all results in chunk order when this was the last one, and nil
    /// otherwise.
    func add(_ result: EvaluationResult) -> [EvaluationResult]? {
        results.withLock { results in
            results.append(result)
            return results.count == chunkCount ? results.sorted { $0.chunk < $1.chunk } : nil
        }
    }
}
