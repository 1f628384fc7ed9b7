import Buffers
import ClusterProtocol
import Synchronization

/// The work on one tree node: any threads compute the virtual workers below it, and their sums are
/// added along the tree.
///
/// A leaf's sum becomes final from its end to its beginning while it is still being computed, and
/// so does the node's sum, chunk by chunk. A final chunk is packed as it travels, at the beginning
/// of its stretch of the buffer, and two siblings are added as soon as both have the chunk.
///
/// Safety: the thread that computes a leaf writes a chunk of the leaf's sum, and packs it here once
/// it is final. Then the chunk is only written under the lock, when siblings are added to it. From
/// the moment when it is part of a `Part` it is only read, while earlier chunks of the same buffer
/// may still be written.
package final class NodeTask: Sendable {
    /// Complete chunks of the node's sum: all chunks up to those that were given out before, or up
    /// to the end.
    package struct Part: Sendable {
        /// The buffer that holds the sum, each chunk packed at the beginning of its stretch.
        package var sum: FloatBuffer
        /// The figures that travel with the sum.
        package var totals: ContributionTotals
        /// The chunks that are complete and were not given out before.
        package var chunks: Range<ChunkIndex>
        /// Whether the whole sum is complete with this part.
        package var isLast: Bool { chunks.lowerBound == ChunkIndex(0) }
    }

    /// The nodes that are present in one chunk, and their sums.
    private struct Chunk {
        var nodes: NodeSet
        var sums: [TreeNode: FloatBuffer] = [:]
    }

    private struct State {
        var chunks: [Chunk]
        /// The first chunk that each virtual worker has handed over.
        var handed: [VirtualWorkerIndex: Int] = [:]
        /// The first chunk of the node's sum that was given out.
        var given: Int
    }

    /// The step that the node belongs to.
    let step: Step
    /// The node.
    let node: TreeNode
    /// The weights to compute with.
    let weights: FloatBuffer
    /// The virtual workers below the node.
    let virtualWorkers: Range<VirtualWorkerIndex>
    private let tree: ReductionTree
    private let precision: WirePrecision
    /// The first element of each chunk of the flat vector, then the end of the vector.
    private let starts: [Int]
    private let state: Mutex<State>

    /// Creates a task of which nothing is computed.
    ///
    /// - Parameters:
    ///   - step: the step.
    ///   - node: the node.
    ///   - tree: the reduction tree of the run.
    ///   - starts: the first element of each chunk of the flat vector, then the end of the vector.
    ///   - precision: the precision in which the sums travel.
    ///   - weights: the flat parameter vector to compute with.
    package init(
        step: Step, node: TreeNode, tree: ReductionTree, chunks starts: [Int],
        precision: WirePrecision, weights: FloatBuffer
    ) {
        self.step = step
        self.node = node
        self.weights = weights
        self.tree = tree
        self.precision = precision
        self.starts = starts
        virtualWorkers = tree.virtualWorkers(below: node)
        let count = starts.count - 1
        let empty = Chunk(nodes: NodeSet(tree: tree))
        state = Mutex(State(chunks: Array(repeating: empty, count: count), given: count))
    }

    /// Adds the chunks of a virtual worker's sum that are final, and carries out the additions that
    /// they allow.
    ///
    /// - Parameters:
    ///   - virtualWorker: the virtual worker.
    ///   - sum: its sum over the whole flat vector.
    ///   - totals: its totals.
    ///   - element: the first element that is final, together with every element after it.
    /// - Returns: the chunks of the node's sum that are complete now and were not before; nil when
    ///   there are none.
    package func add(
        virtualWorker: VirtualWorkerIndex, sum: FloatBuffer, totals: ContributionTotals,
        finalFrom element: Int
    ) -> Part? {
        guard let first = starts.firstIndex(where: { $0 >= element }) else { return nil }
        let end = state.withLock { state in
            let end = state.handed[virtualWorker]
            state.handed[virtualWorker] = min(first, end ?? first)
            return end ?? state.chunks.count
        }
        guard first < end else { return nil }
        for chunk in first..<end { precision.pack(sum.pointer + starts[chunk], count: size(chunk)) }
        return state.withLock { state in
            for chunk in first..<end {
                add(virtualWorker, sum, totals, to: &state.chunks[chunk], chunk)
            }
            var complete = state.given
            while complete > 0, state.chunks[complete - 1].sums[node] != nil { complete -= 1 }
            guard complete < state.given, let sum = state.chunks[complete].sums[node],
                let totals = state.chunks[complete].nodes.totals(of: node)
            else { return nil }
            defer { state.given = complete }
            return Part(
                sum: sum, totals: totals,
                chunks: ChunkIndex(complete)..<ChunkIndex(state.given))
        }
    }

    private func add(
        _ virtualWorker: VirtualWorkerIndex, _ sum: FloatBuffer, _ totals: ContributionTotals,
        to chunk: inout Chunk, _ index: Int
    ) {
        let leaf = tree.canonical(.leaf(virtualWorker))
        guard case .accepted(_, let merges) = chunk.nodes.insert(leaf, totals: totals) else {
            return
        }
        chunk.sums[leaf] = sum
        let (start, count) = (starts[index], size(index))
        for merge in merges {
            guard let left = chunk.sums.removeValue(forKey: merge.left),
                let right = chunk.sums.removeValue(forKey: merge.right)
            else { preconditionFailure("a merge of \(merge) without its sums") }
            // No other thread holds this chunk of a sum yet, so left may take the result.
            let target = left.pointer + start
            precision.add(target, right.pointer + start, into: target, count: count)
            chunk.sums[merge.parent] = left
        }
    }

    /// Returns the number of elements in a chunk.
    private func size(_ chunk: Int) -> Int { starts[chunk + 1] - starts[chunk] }
}
