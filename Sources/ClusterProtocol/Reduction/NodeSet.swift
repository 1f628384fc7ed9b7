/// Figures that travel with a gradient sum and are added along the same tree.
public struct ContributionTotals: Hashable, Sendable {
    /// Records behind the sum.
    public var sampleCount: Int
    /// Sum of the per-sample losses, in nats; where one is not finite, see `flawedLeaf`.
    public var lossSum: Double
    /// Records whose highest output was their label.
    public var correctCount: Int
    /// Wrapping sum of one hash a record: the ledger's evidence of what was used.
    public var recordDigest: UInt64

    public init(
        sampleCount: Int = 0, lossSum: Double = 0, correctCount: Int = 0, recordDigest: UInt64 = 0
    ) {
        self.sampleCount = sampleCount
        self.lossSum = lossSum
        self.correctCount = correctCount
        self.recordDigest = recordDigest
    }

    /// The first leaf whose loss is not a finite number; nil when all are, or when that was lost.
    ///
    /// It travels as the payload of a NaN, which the sum of two totals keeps, the left one's first.
    public var flawedLeaf: Int? {
        guard lossSum.isNaN else { return nil }
        let payload = Int(lossSum.bitPattern & Self.payloadMask)
        return payload > 0 ? payload - 1 : nil
    }

    private static let payloadMask: UInt64 = 0xFFFF_FFFF

    /// Marks the totals of a leaf, where its loss is not a finite number.
    public mutating func markFlaw(leaf: Int) {
        guard !lossSum.isFinite else { return }
        let payload = UInt64(leaf + 1) & Self.payloadMask
        lossSum = Double(bitPattern: Double.nan.bitPattern | payload)
    }

    /// Adds the right sibling to the left one.
    public static func + (left: Self, right: Self) -> Self {
        ContributionTotals(
            sampleCount: left.sampleCount + right.sampleCount,
            lossSum: left.lossSum.isNaN
                ? left.lossSum : right.lossSum.isNaN ? right.lossSum : left.lossSum + right.lossSum,
            correctCount: left.correctCount + right.correctCount,
            recordDigest: left.recordDigest &+ right.recordDigest)
    }
}

/// The tree nodes of one step that are present, and what a further one leads to.
///
/// Whatever the order of arrival, and however often a node comes, the root is the sum of every leaf
/// counted once, added in the shape of the tree.
public struct NodeSet: Sendable {
    /// An addition of two siblings, always left + right.
    public struct Merge: Hashable, Sendable {
        public var left: TreeNode
        public var right: TreeNode
        /// Where the sum is kept (already canonical).
        public var parent: TreeNode

        public init(left: TreeNode, right: TreeNode, parent: TreeNode) {
            self.left = left
            self.right = right
            self.parent = parent
        }
    }

    public enum Insertion: Hashable, Sendable {
        /// Everything below the node was here before: drop it.
        case covered
        /// Keep it, forget `replaced`, then carry out `merges` in order.
        case accepted(replaced: [TreeNode], merges: [Merge])
    }

    private let tree: ReductionTree
    private var present: [TreeNode: ContributionTotals] = [:]

    public init(tree: ReductionTree) { self.tree = tree }

    public var isEmpty: Bool { present.isEmpty }

    /// The totals of the whole step, once every leaf is in.
    public var rootTotals: ContributionTotals? { present[tree.root] }

    /// The totals of a node that is present.
    public func totals(of node: TreeNode) -> ContributionTotals? { present[node] }

    /// Everything that is present, in order.
    public var nodes: [(node: TreeNode, totals: ContributionTotals)] {
        present.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// The leaves that no present node covers, in order.
    public var missingLeaves: [Int] {
        var covered = [Bool](repeating: false, count: tree.leafCount)
        for node in present.keys { for leaf in tree.leaves(of: node) { covered[leaf] = true } }
        return covered.indices.filter { !covered[$0] }
    }

    /// Adds `node`, which must be part of the tree and canonical.
    public mutating func insert(_ node: TreeNode, totals: ContributionTotals) -> Insertion {
        precondition(tree.contains(node) && tree.canonical(node) == node, "foreign node \(node)")
        var ancestor = node
        while true {
            if present[ancestor] != nil { return .covered }
            if ancestor.level >= tree.height { break }
            ancestor = ancestor.parent
        }
        let replaced = presentNodes(below: node)
        for old in replaced { present[old] = nil }
        present[node] = totals
        return .accepted(replaced: replaced, merges: mergeUpwards(from: node))
    }

    /// Looked for among the nodes that could be there or among those that are, whichever are fewer:
    /// a step has as many contributions as workers, and each must cost the same however many there
    /// are.
    private func presentNodes(below node: TreeNode) -> [TreeNode] {
        let leaves = tree.leaves(of: node)
        if present.isEmpty || leaves.count == 1 { return [] }
        if present.count < 2 * leaves.count {
            return present.keys.filter { node.span.contains($0.span.lowerBound) }.sorted()
        }
        return (0..<node.level).flatMap { level in
            (leaves.lowerBound >> level...(leaves.upperBound - 1) >> level)
                .map { TreeNode(level: level, index: $0) }
                .filter { present[$0] != nil }
        }
    }

    private mutating func mergeUpwards(from node: TreeNode) -> [Merge] {
        var merges: [Merge] = []
        var node = node
        while node.level < tree.height, let other = present[node.sibling], let mine = present[node] {
            let (left, right) = node.isLeft ? (node, node.sibling) : (node.sibling, node)
            let parent = tree.canonical(node.parent)
            present[left] = nil
            present[right] = nil
            present[parent] = node.isLeft ? mine + other : other + mine
            merges.append(Merge(left: left, right: right, parent: parent))
            node = parent
        }
        return merges
    }
}
