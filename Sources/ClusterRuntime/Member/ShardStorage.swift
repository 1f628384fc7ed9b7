import CKernels
import ClusterProtocol
import NeuralNetwork
import ZeroMQ

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
        var sums: [TreeNode: Sum] = [:]
        /// Opinions on audited leaves.
        var held: [TreeNode: [PeerIdentity: Frame]] = [:]
    }

    /// A gradient sum: as it came, or as it was added here.
    private enum Sum {
        case frame(Frame)
        case buffer(FloatBuffer)

        func withPointer<Result>(_ body: (UnsafePointer<Float>) -> Result) -> Result {
            switch self {
            case .buffer(let buffer): return body(UnsafePointer(buffer.pointer))
            case .frame(let frame):
                return frame.withUnsafeBytes { bytes in
                    guard let base = bytes.baseAddress else { preconditionFailure("empty sum") }
                    if Int(bitPattern: base) % MemoryLayout<Float>.alignment == 0 {
                        return body(base.assumingMemoryBound(to: Float.self))
                    }
                    let copy = FloatBuffer(count: bytes.count / 4)
                    copy.copy(bytes)
                    return body(UnsafePointer(copy.pointer))
                }
            }
        }
    }

    private let plan: SlicePlan
    private let optimizer: OptimizerSpecification
    private let tree: ReductionTree
    private var chunks: [Int: Chunk] = [:]
    private var pools: [Int: FloatBufferPool] = [:]

    init(_ material: RunMaterial) {
        plan = material.slicePlan
        optimizer = material.configuration.optimizer
        tree = material.tree
    }

    func clear() { chunks = [:] }

    private func pool(_ chunk: Int) -> FloatBufferPool {
        let count = plan.chunks[chunk].range.count
        if let pool = pools[count] { return pool }
        let pool = FloatBufferPool(count: count)
        pools[count] = pool
        return pool
    }

    /// Keeps part of a chunk's state as it came from the coordinator.
    func store(_ payload: Frame, chunk: Int, part: Int, step: Step) {
        let empty = Chunk(
            version: step, state: Array(repeating: nil, count: optimizer.stateNames.count))
        let buffer = pool(chunk).take()
        payload.withUnsafeBytes { buffer.copy($0) }
        if part == 0 {
            chunks[chunk, default: empty].weights = buffer
        } else {
            chunks[chunk, default: empty].state[part - 1] = buffer
        }
    }

    func keep(_ payload: Frame, chunk: Int, node: TreeNode, replaced: [TreeNode]) {
        for old in replaced { chunks[chunk]?.sums[old] = nil }
        chunks[chunk]?.sums[node] = .frame(payload)
    }

    /// Puts a worker's opinion on an audited leaf aside.
    func hold(_ payload: Frame, chunk: Int, node: TreeNode, peer: PeerIdentity) {
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
        let next = pool(chunk).take()
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
