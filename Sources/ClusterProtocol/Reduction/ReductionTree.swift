/// One node of the reduction tree: level 0 are the virtual workers themselves.
public struct TreeNode: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    public var level: Int
    public var index: Int

    public init(level: Int, index: Int) {
        self.level = level
        self.index = index
    }

    /// The leaf of one virtual worker.
    public static func leaf(_ virtualWorker: Int) -> TreeNode {
        TreeNode(level: 0, index: virtualWorker)
    }

    public var parent: TreeNode { TreeNode(level: level + 1, index: index >> 1) }
    public var sibling: TreeNode { TreeNode(level: level, index: index ^ 1) }
    public var isLeft: Bool { index & 1 == 0 }

    /// The virtual workers below this node if none were missing.
    public var span: Range<Int> { (index << level)..<((index + 1) << level) }

    public var description: String { "\(level).\(index)" }

    public static func < (left: Self, right: Self) -> Bool {
        (left.level, left.index) < (right.level, right.index)
    }
}

/// The fixed binary tree along which the gradient sums of V virtual workers are added.
///
/// It is the complete tree over the next power of two; leaves from V on are absent, and a node whose
/// sibling is absent *is* its parent. Because the shape depends on V alone, so do the bits of the sum.
public struct ReductionTree: Hashable, Sendable {
    /// Most virtual workers a run may have.
    public static let maximumLeafCount = 1 << 16

    /// V, at least 1.
    public let leafCount: Int
    /// Level of the root.
    public let height: Int

    public init(leafCount: Int) {
        precondition(
            (1...Self.maximumLeafCount).contains(leafCount),
            "a reduction tree has 1...\(Self.maximumLeafCount) leaves, not \(leafCount)")
        self.leafCount = leafCount
        height = Int.bitWidth - (leafCount - 1).leadingZeroBitCount
    }

    public var root: TreeNode { TreeNode(level: height, index: 0) }

    /// The virtual workers below `node`.
    public func leaves(of node: TreeNode) -> Range<Int> {
        min(node.span.lowerBound, leafCount)..<min(node.span.upperBound, leafCount)
    }

    /// Whether there is such a virtual worker.
    public func hasLeaf(_ virtualWorker: Int) -> Bool { (0..<leafCount).contains(virtualWorker) }

    /// Whether `node` is part of this tree.
    public func contains(_ node: TreeNode) -> Bool {
        (0...height).contains(node.level) && node.index >= 0
            && node.index <= (leafCount - 1) >> node.level
    }

    /// The highest node that stands for the same leaves: a node without a sibling is its parent.
    public func canonical(_ node: TreeNode) -> TreeNode {
        var node = node
        while node.level < height, !contains(node.sibling) { node = node.parent }
        return node
    }

    /// The fewest nodes that together have exactly `leaves` below them, in leaf order.
    public func maximalNodes(covering leaves: [Int]) -> [TreeNode] {
        let wanted = Set(leaves).filter { (0..<leafCount).contains($0) }.sorted()
        var nodes: [TreeNode] = []
        // Every node that is visited has a wanted leaf below it: `mine`, those of its leaves.
        func visit(_ node: TreeNode, _ mine: ArraySlice<Int>) {
            if mine.count == self.leaves(of: node).count { return nodes.append(canonical(node)) }
            let left = TreeNode(level: node.level - 1, index: node.index << 1)
            let middle = mine.partitioningIndex(of: left.span.upperBound)
            if middle > mine.startIndex { visit(left, mine[..<middle]) }
            if middle < mine.endIndex { visit(left.sibling, mine[middle...]) }
        }
        if !wanted.isEmpty { visit(root, wanted[...]) }
        return nodes
    }

    /// `node`, or the highest nodes below it that have so few leaves each, in leaf order.
    public func parts(of node: TreeNode, leafCountAtMost limit: Int) -> [TreeNode] {
        guard node.level > 0, leaves(of: node).count > max(1, limit) else { return [canonical(node)] }
        let left = TreeNode(level: node.level - 1, index: node.index << 1)
        return parts(of: left, leafCountAtMost: limit)
            + (contains(left.sibling) ? parts(of: left.sibling, leafCountAtMost: limit) : [])
    }
}

extension ArraySlice<Int> {
    /// In an ascending slice, where numbers of at least `bound` begin.
    fileprivate func partitioningIndex(of bound: Int) -> Int {
        var (low, high) = (startIndex, endIndex)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < bound { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
