import Buffers
import ClusterProtocol
import NeuralNetwork
import RunFiles

/// The floats of the shards in one process: weights of two versions, optimizer state and partial
/// sums.
///
/// Contributions and their sums are packed as they travel. Weights and optimizer state are fp32;
/// where weights travel in a narrower precision, a packed copy is kept beside them.
///
/// Threading: the shard service's thread only. A weights buffer is written once and then only read,
/// so that frames may lend it.
final class ShardStorage {
    /// A chunk of weights as workers get it.
    struct PublishedWeights {
        var buffer: FloatBuffer
        var precision: WirePrecision
        /// The length of the content in bytes.
        var byteCount: Int

        /// The content of the buffer.
        var bytes: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(start: buffer.pointer, count: byteCount)
        }
    }

    /// Everything that a shard holds of one chunk.
    private struct Chunk {
        /// The master weights.
        var weights: FloatBuffer?
        /// The present version of the weights as workers get it.
        var published: PublishedWeights?
        /// The version before the present one, as workers get it.
        var previous: PublishedWeights?
        /// The present version.
        var version: Step
        /// The optimizer states, in order.
        var state: [FloatBuffer?]
        var sums = TreeSums<Payload>()
        /// The sums that workers have sent for audited virtual workers.
        var held: [TreeNode: [PeerIdentity: Payload]] = [:]
    }

    private let rule: UpdateRule
    private let plan: SlicePlan
    private let tree: ReductionTree
    private let wire: WirePlan
    private var chunks: [ChunkIndex: Chunk] = [:]
    /// Memory for contributions, their sums and optimizer state.
    let memory: ChunkMemory
    /// The sums of squares by which the gradient is clipped; nil without clipping.
    let squares: GradientSquares?
    /// Memory for weights. Workers of this host can read it if the run lets them.
    private let weightMemory: ChunkMemory

    /// Creates storage that holds nothing.
    init(_ material: RunMaterial) {
        rule = material.updateRule
        plan = material.slicePlan
        tree = material.tree
        wire = material.wire
        memory = ChunkMemory(material)
        squares = GradientSquares(rule.clipping, material)
        weightMemory = ChunkMemory(
            material, isShared: material.configuration.cluster.sharedMemory)
    }

    /// Drops all chunks.
    func clear() {
        chunks = [:]
        squares?.clear()
    }

    /// Keeps a part of a chunk's state that came from the coordinator.
    func store(_ payload: Payload, chunk: ChunkIndex, part: Int, step: Step) {
        let empty = Chunk(
            version: step, state: Array(repeating: nil, count: rule.stateNames.count))
        let buffer = (part == 0 ? weightMemory : memory).floats(chunk: chunk)
        payload.withUnsafeBytes { buffer.copy($0) }
        if part == 0 {
            chunks[chunk, default: empty].weights = buffer
            chunks[chunk]?.published = publish(buffer, chunk: chunk, version: step)
        } else {
            chunks[chunk, default: empty].state[part - 1] = buffer
        }
    }

    /// Returns weights of a version in the precision in which they travel. Weights that travel as
    /// fp32 are not copied.
    private func publish(
        _ weights: FloatBuffer, chunk: ChunkIndex, version: Step
    ) -> PublishedWeights {
        let precision = wire.weights(at: version)
        guard precision != .fp32 else {
            return PublishedWeights(
                buffer: weights, precision: precision, byteCount: weights.bytes.count)
        }
        let (buffer, byteCount) = weightMemory.take(chunk: chunk, precision)
        precision.pack(weights.pointer, into: buffer.pointer, count: weights.count)
        return PublishedWeights(buffer: buffer, precision: precision, byteCount: byteCount)
    }

    /// Keeps a sum in place of the sums of the nodes `replaced`.
    func keep(_ payload: Payload, chunk: ChunkIndex, node: TreeNode, replaced: [TreeNode]) {
        chunks[chunk]?.sums.keep(payload, node: node, replaced: replaced)
    }

    /// Puts a worker's sum of an audited virtual worker aside.
    func hold(_ payload: Payload, chunk: ChunkIndex, node: TreeNode, peer: PeerIdentity) {
        chunks[chunk]?.held[node, default: [:]][peer] = payload
    }

    /// Keeps the sum that was put aside for a worker, and drops those of the other workers.
    func keepHeld(chunk: ChunkIndex, node: TreeNode, peer: PeerIdentity, replaced: [TreeNode]) {
        guard let payload = chunks[chunk]?.held.removeValue(forKey: node)?[peer] else {
            preconditionFailure("an opinion on \(node) that was never put aside")
        }
        keep(payload, chunk: chunk, node: node, replaced: replaced)
    }

    /// Replaces the sums of two siblings by their sum.
    func add(chunk: ChunkIndex, _ merge: NodeSet.Merge) {
        chunks[chunk]?.sums.add(merge, of: chunk, in: memory)
    }

    /// Computes the sums of squares of a chunk's root.
    func measure(chunk: ChunkIndex, step: Step) {
        guard let squares, let root = chunks[chunk]?.sums[tree.root] else {
            preconditionFailure("a norm of chunk \(chunk) without its sum")
        }
        root.withAlignedPointer { root in
            wire.precision.withFloats(
                root, count: plan[chunk].range.count, scratch: { memory.floats(chunk: chunk) }
            ) {
                squares.measure(chunk: chunk, step: step, gradientSum: $0)
            }
        }
    }

    /// Calls a closure with a chunk of a step's gradient sum, clipped if the run clips it.
    private func withClipped(
        _ sum: UnsafePointer<Float>, chunk: ChunkIndex, step: Step, weightSum: Double,
        _ body: (UnsafePointer<Float>) -> Void
    ) {
        let factor = squares?.factor(step: step, weightSum: weightSum) ?? 1
        guard let squares, factor != 1 else { return body(sum) }
        let scaled = memory.floats(chunk: chunk)
        squares.scale(chunk: chunk, gradientSum: sum, by: factor, into: scaled.pointer)
        body(UnsafePointer(scaled.pointer))
    }

    /// Carries out one optimizer update with the root divided by the weight sum, and its statistics
    /// by the sample count.
    ///
    /// - Parameter rateFactor: what the learning rate is multiplied by beside its schedule.
    func update(
        chunk: ChunkIndex, step: Step, sampleCount: Int, weightSum: Double, rateFactor: Double
    ) {
        guard var entry = chunks[chunk], let root = entry.sums[tree.root], let weights = entry.weights
        else { preconditionFailure("an update of chunk \(chunk) without its sum or its weights") }
        let next = weightMemory.floats(chunk: chunk)
        let state = entry.state.map { buffer -> UnsafeMutablePointer<Float> in
            guard let buffer else { preconditionFailure("chunk \(chunk) lacks optimizer state") }
            return buffer.pointer
        }
        root.withAlignedPointer { root in
            wire.precision.withFloats(root, count: next.count, scratch: { memory.floats(chunk: chunk) }) {
                sum in
                withClipped(sum, chunk: chunk, step: step, weightSum: weightSum) { sum in
                    rule.update(
                        plan[chunk].range, step: step.value + 1, rateFactor: rateFactor,
                        weights: weights.pointer, into: next.pointer, gradientSum: sum,
                        sampleCount: sampleCount, weightSum: weightSum, state: state)
                }
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

    /// Returns the weights of a version as workers get them; nil when the version is not here.
    func weights(chunk: ChunkIndex, version: Step) -> PublishedWeights? {
        guard let entry = chunks[chunk] else { return nil }
        if entry.version == version { return entry.published }
        return entry.version == version.next ? entry.previous : nil
    }

    /// Returns a chunk's state part by part: the master weights, then each optimizer state.
    /// Optimizer state is copied because it is updated in place.
    func snapshot(chunk: ChunkIndex) -> [FloatBuffer] {
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
