import CKernels
import ClusterProtocol
import NeuralNetwork

/// The floats of the shards in one process: weights of two versions, optimizer state, partial sums.
///
/// Threading: the shard service's thread only. A weights buffer is written once, then only read, so
/// that frames may lend it.
final class ShardStorage {
    private struct Chunk {
        var weights: FloatBuffer?
        var previous: FloatBuffer?
        var version: Step
        var state: [FloatBuffer?]
        var sums: [TreeNode: Payload] = [:]
        /// Opinions on audited leaves.
        var held: [TreeNode: [PeerIdentity: Payload]] = [:]
    }

    private let plan: SlicePlan
    private let optimizer: OptimizerSpecification
    private let tree: ReductionTree
    private var chunks: [Int: Chunk] = [:]
    private let isShared: Bool
    private var pools: [Int: FloatBufferPool] = [:]
    /// Weights lie where workers of this host can read them.
    private var weightPools: [Int: FloatBufferPool] = [:]

    init(_ material: RunMaterial) {
        plan = material.slicePlan
        optimizer = material.configuration.optimizer
        tree = material.tree
        isShared = material.configuration.cluster.sharedMemory
    }

    func clear() { chunks = [:] }

    private func pool(_ chunk: Int) -> FloatBufferPool {
        let count = plan.chunks[chunk].range.count
        if let pool = pools[count] { return pool }
        let pool = FloatBufferPool(count: count)
        pools[count] = pool
        return pool
    }

    private func weightPool(_ chunk: Int) -> FloatBufferPool {
        let count = plan.chunks[chunk].range.count
        if let pool = weightPools[count] { return pool }
        let pool = FloatBufferPool(count: count, isShared: isShared)
        weightPools[count] = pool
        return pool
    }

    /// Memory for one contribution to a chunk.
    func takeBuffer(chunk: Int) -> FloatBuffer { pool(chunk).take() }

    /// Keeps part of a chunk's state as it came from the coordinator.
    func store(_ payload: Payload, chunk: Int, part: Int, step: Step) {
        let empty = Chunk(
            version: step, state: Array(repeating: nil, count: optimizer.stateNames.count))
        let buffer = part == 0 ? weightPool(chunk).take() : pool(chunk).take()
        payload.withUnsafeBytes { buffer.copy($0) }
        if part == 0 {
            chunks[chunk, default: empty].weights = buffer
        } else {
            chunks[chunk, default: empty].state[part - 1] = buffer
        }
    }

    func keep(_ payload: Payload, chunk: Int, node: TreeNode, replaced: [TreeNode]) {
        for old in replaced { chunks[chunk]?.sums[old] = nil }
        chunks[chunk]?.sums[node] = payload
    }

    /// Puts a worker's opinion on an audited leaf aside.
    func hold(_ payload: Payload, chunk: Int, node: TreeNode, peer: PeerIdentity) {
        chunks[chunk]?.held[node, default: [:]][peer] = payload
    }

    func keepHeld(chunk: Int, node: TreeNode, peer: PeerIdentity, replaced: [TreeNode]) {
        guard let payload = chunks[chunk]?.held.removeValue(forKey: node)?[peer] else {
            preconditionFailure("an opinion on \(node) that was never put aside")
        }
        keep(payload, chunk: chunk, node: node, replaced: replaced)
    }

    func add(chunk: Int, _ merge: NodeSet.Merge) {
        guard let left = chunks[chunk]?.sums.removeValue(forKey: merge.left),
            let right = chunks[chunk]?.sums.removeValue(forKey: merge.right)
        else { preconditionFailure("a merge of \(merge) without its sums") }
        let result = pool(chunk).take()
        left.withPointer { left in
            right.withPointer { right in
                convoy_add(result.pointer, left, right, result.count)
            }
        }
        chunks[chunk]?.sums[merge.parent] = .buffer(result)
    }

    /// One optimizer update: the root divided by the sample count, applied.
    func update(chunk: Int, step: Step, sampleCount: Int) {
        guard var entry = chunks[chunk], let root = entry.sums[tree.root], let weights = entry.weights
        else { preconditionFailure("an update of chunk \(chunk) without its sum or its weights") }
        let next = weightPool(chunk).take()
        let state = entry.state.map { buffer -> UnsafeMutablePointer<Float> in
            guard let buffer else { preconditionFailure("chunk \(chunk) lacks optimizer state") }
            return buffer.pointer
        }
        root.withPointer { sum in
            optimizer.update(
                step: step.value + 1, weights: weights.pointer, into: next.pointer,
                gradientSum: sum, sampleCount: sampleCount, state: state, count: next.count)
        }
        entry.previous = weights
        entry.weights = next
        entry.version = step.next
        entry.sums = [:]
        entry.held = [:]
        chunks[chunk] = entry
    }

    /// The weights of a version, if they are here.
    func weights(chunk: Int, version: Step) -> FloatBuffer? {
        guard let entry = chunks[chunk] else { return nil }
        if entry.version == version { return entry.weights }
        return entry.version == version.next ? entry.previous : nil
    }

    /// A chunk's state, part by part; optimizer state is copied because it is updated in place.
    func snapshot(chunk: Int) -> [FloatBuffer] {
        guard let entry = chunks[chunk], let weights = entry.weights else { return [] }
        return [weights] + entry.state.compactMap { state in
            guard let state else { return nil }
            let copy = pool(chunk).take()
            copy.copy(state.bytes)
            return copy
        }
    }
}
