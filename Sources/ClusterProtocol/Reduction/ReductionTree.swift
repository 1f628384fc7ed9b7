/// One node of the reduction tree; a leaf of the tree is a virtual worker's gradient.
public struct TreeNode: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    /// The node's height above the leaves, from 0.
    public var level: Int
    /// The node's position within its level, from 0.
    public var index: Int

    /// Creates a node from its level and its position there.
    public init(level: Int, index: Int) {
        self.level = level
        self.index = index
    }

    /// Returns the leaf of one virtual worker.
    public static func leaf(_ virtualWorker: VirtualWorkerIndex) -> TreeNode {
        TreeNode(level: 0, index: virtualWorker.value)
    }

    /// The node one level up that has this node below it.
    public var parent: TreeNode { TreeNode(level: level + 1, index: index >> 1) }
    /// The other node with the same parent.
    public var sibling: TreeNode { TreeNode(level: level, index: index ^ 1) }
    /// Whether this node is the left one of the two below its parent.
    public var isLeft: Bool { index & 1 == 0 }

    /// The virtual workers below this node if none were missing.
    public var span: Range<VirtualWorkerIndex> {
        VirtualWorkerIndex(index << level)..<VirtualWorkerIndex((index + 1) << level)
    }

    /// The level and the index, as `2.5`.
    public var description: String { "\(level).\(index)" }

    /// Returns whether the first node has a lower level or, on the same level, a lower index.
    public static func < (left: Self, right: Self) -> Bool {
        (left.level, left.index) < (right.level, right.index)
    }
}

/// The fixed binary tree along which the gradient sums of V virtual workers are added.
///
/// It is the complete tree over the next power of two. Leaves from V on are absent, and a node whose
/// sibling is absent *is* its parent. The shape depends only on V, and so do the bits of the sum.
public struct ReductionTree: Hashable, Sendable {
    /// The highest number of virtual workers that a run may have.
    public static let maximumLeafCount = 1 << 16

    /// The number V of virtual workers, at least 1.
    public let leafCount: Int
    /// The level of the root.
    public let height: Int

    /// Creates the tree of V virtual workers, from 1 to `maximumLeafCount`.
    public init(leafCount: Int) {
        precondition(
            (1...Self.maximumLeafCount).contains(leafCount),
            "a reduction tree has 1...\(Self.maximumLeafCount) leaves, not \(leafCount)")
        self.leafCount = leafCount
        height = Int.bitWidth - (leafCount - 1).leadingZeroBitCount
    }

    /// The node that has all virtual workers below it.
    public var root: TreeNode { TreeNode(level: height, index: 0) }

    /// All virtual workers.
    public var virtualWorkers: Range<VirtualWorkerIndex> {
        VirtualWorkerIndex(0)..<VirtualWorkerIndex(leafCount)
    }

    /// Returns the virtual workers below `node`.
    public func virtualWorkers(below node: TreeNode) -> Range<VirtualWorkerIndex> {
        node.span.clamped(to: virtualWorkers)
    }

    /// Returns whether the tree has this virtual worker.
    public func contains(_ virtualWorker: VirtualWorkerIndex) -> Bool {
        virtualWorkers.contains(virtualWorker)
    }

    /// Returns whether `node` is part of this tree.
    public func contains(_ node: TreeNode) -> Bool {
        (0...height).contains(node.level) && node.index >= 0
            && node.index <= (leafCount - 1) >> node.level
    }

    /// Returns the highest node that stands for the same virtual workers: a node without a sibling
    /// is its parent.
    public func canonical(_ node: TreeNode) -> TreeNode {
        var node = node
        while node.level < height, !contains(node.sibling) { node = node.parent }
        return node
    }

    /// Returns the fewest nodes that together have exactly these virtual workers below them, in the
    /// order of the virtual workers.
    public func maximalNodes(covering virtualWorkers: [VirtualWorkerIndex]) -> [TreeNode] {
        let wanted = Set(virtualWorkers).filter(contains).sorted()
        var nodes: [TreeNode] = []
        // Every node that is visited has wanted virtual workers below it: `mine`.
        func visit(_ node: TreeNode, _ mine: ArraySlice<VirtualWorkerIndex>) {
            if mine.count == self.virtualWorkers(below: node).count {
                return nodes.append(canonical(node))
            }
            let left = TreeNode(level: node.level - 1, index: node.index << 1)
            let middle = mine.partitioningIndex(of: left.span.upperBound)
            if middle > mine.startIndex { visit(left, mine[..<middle]) }
            if middle < mine.endIndex { visit(left.sibling, mine[middle...]) }
        }
        if !wanted.isEmpty { visit(root, wanted[...]) }
        return nodes
    }

    /// Returns `node`, or the highest nodes below it that have at most `limit` leaves each, in the
    /// order of the leaves.
    public func parts(of node: TreeNode, leafCountAtMost limit: Int) -> [TreeNode] {
        guard node.level > 0, virtualWorkers(below: node).count > max(1, limit) else {
            return [canonical(node)]
        }
        let left = TreeNode(level: node.level - 1, index: node.index << 1)
        return parts(of: left, leafCountAtMost: limit)
            + (contains(left.sibling) ? parts(of: left.sibling, leafCountAtMost: limit) : [])
    }
}

extension ArraySlice<VirtualWorkerIndex> {
    /// Returns the first position of an ascending slice whose number is at least `bound`.
    fileprivate func partitioningIndex(of bound: VirtualWorkerIndex) -> Int {
        var (low, high) = (startIndex, endIndex)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < bound { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
