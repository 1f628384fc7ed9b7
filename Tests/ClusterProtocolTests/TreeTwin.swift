import ClusterProtocol

/// The reduction tree straight from its definition, without regard for speed: every node is the
/// list of its leaves.
struct TreeTwin {
    let leafCount: Int
    let height: Int
    /// The nodes with a leaf below them, and their leaves.
    let nodes: [TreeNode: [Int]]

    init(leafCount: Int) {
        self.leafCount = leafCount
        var height = 0
        while 1 << height < leafCount { height += 1 }
        self.height = height
        var nodes: [TreeNode: [Int]] = [:]
        for level in 0...height {
            for leaf in 0..<leafCount {
                nodes[TreeNode(level: level, index: leaf / (1 << level)), default: []].append(leaf)
            }
        }
        self.nodes = nodes
    }

    /// Returns the highest node with the leaves of `node`.
    func canonical(_ node: TreeNode) -> TreeNode {
        let mine = nodes[node]!
        return nodes.filter { $0.value == mine }.keys.max { $0.level < $1.level }!
    }

    /// The highest node of each set of leaves.
    var canonicalNodes: [TreeNode] {
        var byLeaves: [[Int]: TreeNode] = [:]
        for (node, leaves) in nodes where (byLeaves[leaves]?.level ?? -1) < node.level {
            byLeaves[leaves] = node
        }
        return byLeaves.values.sorted()
    }

    /// Returns the sum of the leaves below `node`, left + right at every fork.
    func sum<Value>(
        _ node: TreeNode, _ values: [Value], _ add: (Value, Value) -> Value
    ) -> Value {
        if node.level == 0 { return values[node.index] }
        let left = TreeNode(level: node.level - 1, index: node.index * 2)
        let right = TreeNode(level: node.level - 1, index: node.index * 2 + 1)
        let leftSum = sum(left, values, add)
        return nodes[right] == nil ? leftSum : add(leftSum, sum(right, values, add))
    }
}
