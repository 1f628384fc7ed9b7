import Buffers
import ClusterProtocol
import Synchronization

/// One tree node that a worker computes: its leaves, by any threads, added along the tree.
///
/// A leaf's sum becomes final from its end to its beginning, while it is still computed, and so does
/// the node's, chunk by chunk. A chunk that is final is packed as it travels, at the beginning of its
/// stretch of the buffer, and added as soon as both siblings have it.
///
/// Safety: a chunk of a sum is written by the thread that computes the leaf, which packs it here in
/// the end, then under the lock while siblings are added to it, and from the moment it is part of a
/// `Part` it is only read, while earlier chunks of the same buffer may still be written.
package final class NodeTask: Sendable {
    /// Chunks of the node's sum that are complete, all up to the end or up to those given out before.
    package struct Part: Sendable {
        package var sum: FloatBuffer
        package var totals: ContributionTotals
        package var chunks: Range<Int>
        /// With this part the whole sum is complete.
        package var isLast: Bool { chunks.lowerBound == 0 }
    }

    private struct Chunk {
        var nodes: NodeSet
        var sums: [TreeNode: FloatBuffer] = [:]
    }

    private struct State {
        var chunks: [Chunk]
        /// The first chunk that a leaf has handed over.
        var handed: [Int: Int] = [:]
        /// The first chunk of the node's sum that was given out.
        var given: Int
    }

    let step: Step
    let node: TreeNode
    let weights: FloatBuffer
    let leaves: [Int]
    private let tree: ReductionTree
    private let precision: WirePrecision
    /// Where chunks begin, and the end of the last.
    private let starts: [Int]
    private let state: Mutex<State>

    /// - Parameters:
    ///   - starts: where the chunks of the flat vector begin, then its end.
    ///   - precision: what the sums travel in.
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
        leaves = Array(tree.leaves(of: node))
        let count = starts.count - 1
        let empty = Chunk(nodes: NodeSet(tree: tree))
        state = Mutex(State(chunks: Array(repeating: empty, count: count), given: count))
    }

    /// Adds the chunks of a leaf's sum that are final, and what becomes possible with them.
    ///
    /// - Parameter element: nothing changes any more from here on.
    /// - Returns: what is complete now of the node's sum and was not before.
    package func add(
        leaf: Int, sum: FloatBuffer, totals: ContributionTotals, finalFrom element: Int
    ) -> Part? {
        guard let first = starts.firstIndex(where: { $0 >= element }) else { return nil }
        let end = state.withLock { state in
            defer { state.handed[leaf] = min(first, state.handed[leaf] ?? first) }
            return state.handed[leaf] ?? state.chunks.count
        }
        guard first < end else { return nil }
        for chunk in first..<end { precision.pack(sum.pointer + starts[chunk], count: size(chunk)) }
        return state.withLock { state in
            for chunk in first..<end { add(leaf, sum, totals, to: &state.chunks[chunk], chunk) }
            var complete = state.given
            while complete > 0, state.chunks[complete - 1].sums[node] != nil { complete -= 1 }
            guard complete < state.given, let sum = state.chunks[complete].sums[node],
                let totals = state.chunks[complete].nodes.totals(of: node)
            else { return nil }
            defer { state.given = complete }
            return Part(sum: sum, totals: totals, chunks: complete..<state.given)
        }
    }

    private func add(
        _ leaf: Int, _ sum: FloatBuffer, _ totals: ContributionTotals, to chunk: inout Chunk,
        _ index: Int
    ) {
        let leafNode = tree.canonical(.leaf(leaf))
        guard case .accepted(_, let merges) = chunk.nodes.insert(leafNode, totals: totals) else {
            return
        }
        chunk.sums[leafNode] = sum
        let (start, count) = (starts[index], size(index))
        for merge in merges {
            guard let left = chunk.sums.removeValue(forKey: merge.left),
                let right = chunk.sums.removeValue(forKey: merge.right)
            else { preconditionFailure("a merge of \(merge) without its sums") }
            // Nobody else holds this chunk of a sum yet, so left may take the result.
            let target = left.pointer + start
            precision.add(target, right.pointer + start, into: target, count: count)
            chunk.sums[merge.parent] = left
        }
    }

    private func size(_ chunk: Int) -> Int { starts[chunk + 1] - starts[chunk] }
}
