import Buffers
import ClusterProtocol
import NeuralNetwork
import Partitions
import RunFiles
import Synchronization
import Threads

/// The compute threads of a worker, each with an engine of its own, and their queue.
///
/// Threading: every method may be called from any thread; results go to the closure given, on a
/// compute thread.
final class ComputePool: Sendable {
    enum Result: Sendable {
        case node(step: Step, node: TreeNode, NodeTask.Part)
        case evaluated(Evaluated)
        case failed(Failure)
    }

    private let core: ComputeCore
    private let threads: [WorkThread]

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

    /// Computes tree nodes of one step on `weights`; unfinished work on older steps is dropped.
    func compute(step: Step, nodes: [TreeNode], weights: FloatBuffer) {
        core.advance(to: step)
        let tasks = nodes.map {
            NodeTask(
                step: step, node: $0, tree: core.material.tree, chunks: core.chunkStarts,
                precision: core.material.wire.precision, weights: weights)
        }
        for task in tasks {
            for leaf in task.leaves { core.queue.push(.leaf(leaf, task)) }
        }
        // Usually asked for at the end of the step before last, when cores were idle.
        let next = step.value + 1
        if next < core.material.totalSteps {
            core.loader.prefetch(step: next, virtualWorkers: tasks.flatMap(\.leaves))
        }
    }

    /// A chunk of the weights that will be computed with next is in its place.
    func expect(_ weights: FloatBuffer, chunk: Int) {
        core.arrivingWeights.add(chunk: chunk, of: weights)
    }

    func evaluate(_ evaluate: Evaluate, weights: FloatBuffer) {
        core.advance(to: evaluate.step)
        let task = EvaluationTask(
            step: evaluate.step, weights: weights, chunkCount: evaluate.chunks.count)
        for chunk in evaluate.chunks { core.queue.push(.evaluate(chunk: chunk, task)) }
    }

    func takeTimes() -> ComputeTimes { core.takeTimes() }

    /// Ends the threads after what they have in hand; waits for them.
    func stop() {
        core.stop()
        for thread in threads { thread.join() }
    }
}

/// Sums over the leaves computed since they were last asked for.
struct ComputeTimes: Sendable {
    var leafCount = 0
    var computeNanoseconds: Int64 = 0
    var inputNanoseconds: Int64 = 0
}

/// Evaluation chunks that belong together.
final class EvaluationTask: Sendable {
    let step: Step
    let weights: FloatBuffer
    private let chunkCount: Int
    private let results = Mutex<[EvaluationResult]>([])

    init(step: Step, weights: FloatBuffer, chunkCount: Int) {
        self.step = step
        self.weights = weights
        self.chunkCount = chunkCount
    }

    /// All results, when this was the last one.
    func add(_ result: EvaluationResult) -> [EvaluationResult]? {
        results.withLock { results in
            results.append(result)
            return results.count == chunkCount ? results.sorted { $0.chunk < $1.chunk } : nil
        }
    }
}
