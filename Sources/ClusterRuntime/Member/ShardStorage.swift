import Buffers
import ClusterProtocol
import NeuralNetwork
import RunFiles

/// The floats of the shards in one process: weights of two versions, optimizer state, partial sums.
///
/// Contributions and their sums are packed as they travel; weights and state are fp32, and weights
/// are packed beside that where they travel in less.
///
/// Threading: the shard service's thread only. A weights buffer is written once, then only read, so
/// that frames may lend it.
final class ShardStorage {
    /// A chunk of weights as workers get it.
    struct PublishedWeights {
        var buffer: FloatBuffer
        var precision: WirePrecision
        var byteCount: Int

        var bytes: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(start: buffer.pointer, count: byteCount)
        }
    }

    private struct Chunk {
        /// The master weights.
        var weights: FloatBuffer?
        var published: PublishedWeights?
        var previous: PublishedWeights?
        var version: Step
        var state: [FloatBuffer?]
        var sums = TreeSums<Payload>()
        /// Opinions on audited leaves.
        var held: [TreeNode: [PeerIdentity: Payload]] = [:]
    }

    private let plan: SlicePlan
    private let optimizer: OptimizerSpecification
    private let tree: ReductionTree
    private let wire: WirePlan
    private var chunks: [Int: Chunk] = [:]
    private let isShared: Bool
    /// Memory for contributions, their sums and optimizer state.
    let memory: ChunkMemory
    /// Weights lie where workers of this host can read them.
    private var weightPools: [Int: FloatBufferPool] = [:]

    init(_ material: RunMaterial) {
        plan = material.slicePlan
        optimizer = material.configuration.optimizer
        tree = material.tree
        wire = material.wire
        memory = ChunkMemory(material)
        isShared = material.configuration.cluster.sharedMemory
    }

    func clear() { chunks = [:] }

    /// Memory for weights of a chunk in a precision.
    private func takeForWeights(_ chunk: Int, _ precision: WirePrecision = .fp32) -> FloatBuffer {
        let count = floatCount(chunk, precision)
        if let pool = weightPools[count] { return pool.take() }
        let pool = FloatBufferPool(count: count, isShared: isShared)
        weightPools[count] = pool
        return pool.take()
    }

    private func floatCount(_ chunk: Int, _ precision: WirePrecision) -> Int {
        FloatBuffer.count(forBytes: byteCount(chunk, precision))
    }

    private func byteCount(_ chunk: Int, _ precision: WirePrecision) -> Int {
        precision.byteCount(elementCount: plan.chunks[chunk].range.count)
    }

    /// Keeps part of a chunk's state as it came from the coordinator.
    func store(_ payload: Payload, chunk: Int, part: Int, step: Step) {
        let empty = Chunk(
            version: step, state: Array(repeating: nil, count: optimizer.stateNames.count))
        let buffer = part == 0 ? takeForWeights(chunk) : memory.floats(chunk: chunk)
        payload.withUnsafeBytes { buffer.copy($0) }
        if part == 0 {
            chunks[chunk, default: empty].weights = buffer
            chunks[chunk]?.published = publish(buffer, chunk: chunk, version: step)
        } else {
            chunks[chunk, default: empty].state[part - 1] = buffer
        }
    }

    /// Weights of a version in what they travel in; what is fp32 travels as it is.
    private func publish(
        _ weights: FloatBuffer, chunk: Int, version: Step
    ) -> PublishedWeights {
        let precision = wire.weights(at: version)
        var buffer = weights
        if precision != .fp32 {
            buffer = takeForWeights(chunk, precision)
            precision.pack(weights.pointer, into: buffer.pointer, count: weights.count)
        }
        return PublishedWeights(
            buffer: buffer, precision: precision, byteCount: byteCount(chunk, precision))
    }

    func keep(_ payload: Payload, chunk: Int, node: TreeNode, replaced: [TreeNode]) {
        chunks[chunk]?.sums.keep(payload, node: node, replaced: replaced)
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
        chunks[chunk]?.sums.add(merge, of: chunk, in: memory)
    }

    /// One optimizer update: the root divided by the sample count, applied.
    func update(chunk: Int, step: Step, sampleCount: Int) {
        guard var entry = chunks[chunk], let root = entry.sums[tree.root], let weights = entry.weights
        else { preconditionFailure("an update of chunk \(chunk) without its sum or its weights") }
        let next = takeForWeights(chunk)
        let state = entry.state.map { buffer -> UnsafeMutablePointer<Float> in
            guard let buffer else { preconditionFailure("chunk \(chunk) lacks optimizer state") }
            return buffer.pointer
        }
        root.withAlignedPointer { root in
            wire.precision.withFloats(root, count: next.count, scratch: { memory.floats(chunk: chunk) }) {
                sum in
                optimizer.update(
                    step: step.value + 1, weights: weights.pointer, into: next.pointer,
                    gradientSum: sum, sampleCount: sampleCount, state: state, count: next.count)
            }
        }
        entry.previous = entry.published
        entry.weights = next
        entry.published = publish(next, chunk: chunk, version: step.next)
        entry.version = step.next
        entry.sums = TreeSums()
        entry.held = [:]
        chunks[chunk] = entry
    }

    /// The weights of a version as workers get them, if they are here.
    func weights(chunk: Int, version: Step) -> PublishedWeights? {
        guard let entry = chunks[chunk] else { return nil }
        if entry.version == version { return entry.published }
        return entry.version == version.next ? entry.previous : nil
    }

    /// A chunk's state, part by part, the master weights first; optimizer state is copied because it
    /// is updated in place.
    func snapshot(chunk: Int) -> [FloatBuffer] {
        guard let entry = chunks[chunk], let weights = entry.weights else { return [] }
        return [weights]
            + entry.state.compactMap { state in
                guard let state else { return nil }
                let copy = memory.floats(chunk: chunk)
                copy.copy(state.bytes)
                return copy
            }
    }
}
