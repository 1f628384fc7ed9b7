import CKernels
import ClusterProtocol
import Synchronization

/// One tree node that a worker computes: its leaves, by any threads, added along the tree.
final class NodeTask: Sendable {
    struct Result: Sendable {
        var sum: FloatBuffer
        var totals: ContributionTotals
    }

    private struct State {
        var nodes: NodeSet
        var sums: [TreeNode: FloatBuffer] = [:]
    }

    let step: Step
    let node: TreeNode
    let weights: FloatBuffer
    let leaves: [Int]
    private let state: Mutex<State>

    init(step: Step, node: TreeNode, tree: ReductionTree, weights: FloatBuffer) {
        self.step = step
        self.node = node
        self.weights = weights
        leaves = Array(tree.leaves(of: node))
        state = Mutex(State(nodes: NodeSet(tree: tree)))
    }

    /// Adds a leaf's gradient sum, and what becomes possible with it.
    ///
    /// - Returns: the node's sum, once its last leaf is in.
    func add(leaf: Int, sum: FloatBuffer, totals: ContributionTotals, tree: ReductionTree) -> Result? {
        state.withLock { state in
            let leafNode = tree.canonical(.leaf(leaf))
            guard case .accepted(_, let merges) = state.nodes.insert(leafNode, totals: totals) else {
                return nil
            }
            state.sums[leafNode] = sum
            for merge in merges {
                guard let left = state.sums.removeValue(forKey: merge.left),
                    let right = state.sums.removeValue(forKey: merge.right)
                else { preconditionFailure("a merge of \(merge) without its sums") }
                // Nobody else holds a sum yet, so left may take the result.
                convoy_add(left.pointer, left.pointer, right.pointer, left.count)
                state.sums[merge.parent] = left
            }
            guard let sum = state.sums[node], let totals = state.nodes.totals(of: node) else {
                return nil
            }
            return Result(sum: sum, totals: totals)
        }
    }
}
