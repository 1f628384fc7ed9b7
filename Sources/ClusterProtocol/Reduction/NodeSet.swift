/// Figures that travel with a gradient sum and are added along the same tree.
public struct ContributionTotals: Hashable, Sendable {
    /// The number of records behind the sum.
    public var sampleCount: Int
    /// The sum of the records' weighted losses; `flawedVirtualWorker` tells what it holds when a
    /// loss is not finite.
    public var lossSum: Double
    /// The number of records that were right.
    public var correctCount: Int
    /// The wrapping sum of one hash for each record: the ledger's evidence of which records were used.
    public var recordDigest: UInt64
    /// The sum of the records' weights, which the gradient sum is divided by. It is the number of
    /// records where each record weighs 1.
    public var weightSum: Double

    /// Creates totals; without arguments, the totals of no records. Records weigh 1 unless
    /// `weightSum` is given.
    public init(
        sampleCount: Int = 0, lossSum: Double = 0, correctCount: Int = 0, recordDigest: UInt64 = 0,
        weightSum: Double? = nil
    ) {
        self.sampleCount = sampleCount
        self.lossSum = lossSum
        self.correctCount = correctCount
        self.recordDigest = recordDigest
        self.weightSum = weightSum ?? Double(sampleCount)
    }

    /// The first virtual worker whose loss is not a finite number; nil when all losses are finite,
    /// or when the virtual worker is not known.
    ///
    /// Its number travels as the payload of a NaN. The sum of two totals keeps the payload, the
    /// left one's if both have one.
    public var flawedVirtualWorker: VirtualWorkerIndex? {
        guard lossSum.isNaN else { return nil }
        let payload = Int(lossSum.bitPattern & Self.payloadMask)
        return payload > 0 ? VirtualWorkerIndex(payload - 1) : nil
    }

    private static let payloadMask: UInt64 = 0xFFFF_FFFF

    /// Marks a virtual worker's totals when its loss is not a finite number; otherwise does
    /// nothing.
    public mutating func markFlaw(of virtualWorker: VirtualWorkerIndex) {
        guard !lossSum.isFinite else { return }
        let payload = UInt64(virtualWorker.value + 1) & Self.payloadMask
        lossSum = Double(bitPattern: Double.nan.bitPattern | payload)
    }

    /// Adds a node's totals to those of its left sibling.
    public static func + (left: Self, right: Self) -> Self {
        ContributionTotals(
            sampleCount: left.sampleCount + right.sampleCount,
            lossSum: left.lossSum.isNaN
                ? left.lossSum : right.lossSum.isNaN ? right.lossSum : left.lossSum + right.lossSum,
            correctCount: left.correctCount + right.correctCount,
            recordDigest: left.recordDigest &+ right.recordDigest,
            weightSum: left.weightSum + right.weightSum)
    }
}

/// The tree nodes of one step that are present, and the additions that a further node allows.
///
/// The root is the sum of every leaf counted once, added in the shape of the tree, whatever the order
/// in which nodes arrive and however often each of them comes.
public struct NodeSet: Sendable {
    /// An addition of two siblings, always left + right.
    public struct Merge: Hashable, Sendable {
        /// The left summand.
        public var left: TreeNode
        /// The right summand.
        public var right: TreeNode
        /// Where the sum is kept, as a canonical node.
        public var parent: TreeNode

        /// Creates an addition.
        public init(left: TreeNode, right: TreeNode, parent: TreeNode) {
            self.left = left
            self.right = right
            self.parent = parent
        }
    }

    /// What an inserted node leads to.
    public enum Insertion: Hashable, Sendable {
        /// Everything below the node was present before: drop the node.
        case covered
        /// Keep the node, forget the nodes `replaced`, then carry out `merges` in order.
        case accepted(replaced: [TreeNode], merges: [Merge])
    }

    private let tree: ReductionTree
    private var present: [TreeNode: ContributionTotals] = [:]

    /// Creates an empty set for a tree.
    public init(tree: ReductionTree) { self.tree = tree }

    /// Whether no node is present.
    public var isEmpty: Bool { present.isEmpty }

    /// The totals of the whole step, once every leaf is in; nil before.
    public var rootTotals: ContributionTotals? { present[tree.root] }

    /// Returns the totals of a node; nil when the node is not present.
    public func totals(of node: TreeNode) -> ContributionTotals? { present[node] }

    /// All nodes that are present, by level and index, with their totals.
    public var nodes: [(node: TreeNode, totals: ContributionTotals)] {
        present.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// The virtual workers that no present node covers, in ascending order.
    public var missingVirtualWorkers: [VirtualWorkerIndex] {
        var covered = [Bool](repeating: false, count: tree.leafCount)
        for node in present.keys {
            for virtualWorker in tree.virtualWorkers(below: node) {
                covered[virtualWorker.value] = true
            }
        }
        return tree.virtualWorkers.filter { !covered[$0.value] }
    }

    /// Adds a node, which must be part of the tree and canonical.
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

    /// Returns the nodes below `node` that are present.
    ///
    /// It looks either through the nodes that could be present or through those that are, whichever are
    /// fewer. A step has as many contributions as workers, and the cost of each must not grow with
    /// their number.
    private func presentNodes(below node: TreeNode) -> [TreeNode] {
        let span = tree.virtualWorkers(below: node)
        if present.isEmpty || span.count == 1 { return [] }
        if present.count < 2 * span.count {
            return present.keys.filter { node.span.contains($0.span.lowerBound) }.sorted()
        }
        return (0..<node.level).flatMap { level in
            (span.lowerBound.value >> level...(span.upperBound.value - 1) >> level)
                .map { TreeNode(level: level, index: $0) }
                .filter { present[$0] != nil }
        }
    }

    /// Adds siblings that are both present, from `node` up to the root or to the first missing sibling.
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
