/// The values of the tree nodes that are present, added as a `NodeSet` says.
///
/// The set decides which siblings are added. This type holds the values, whatever they are: buffers
/// of floats in a process, arrays in a simulation.
@frozen
public struct TreeSums<Value> {
    @usableFromInline var values: [TreeNode: Value] = [:]

    /// Creates an empty collection.
    @inlinable
    public init() {}

    /// Returns the value of a node; nil when the node is not present.
    @inlinable
    public subscript(node: TreeNode) -> Value? { values[node] }

    /// The nodes that are present, by level and index.
    public var nodes: [TreeNode] { values.keys.sorted() }

    /// Stores the value of a node and removes the values of the nodes that it replaces.
    @inlinable
    public mutating func keep(_ value: Value, node: TreeNode, replaced: [TreeNode] = []) {
        for old in replaced { values[old] = nil }
        values[node] = value
    }

    /// Replaces the values of two siblings by their sum.
    ///
    /// - Parameters:
    ///   - merge: a merge that the node set asked for.
    ///   - add: returns left + right.
    /// - Returns: false when one of the siblings is not present; nothing has changed then.
    @inlinable
    public mutating func add(_ merge: NodeSet.Merge, by add: (Value, Value) -> Value) -> Bool {
        guard let left = values[merge.left], let right = values[merge.right] else { return false }
        values[merge.left] = nil
        values[merge.right] = nil
        values[merge.parent] = add(left, right)
        return true
    }

    /// Removes a node's value and returns it; returns nil when the node is not present.
    @inlinable
    public mutating func remove(_ node: TreeNode) -> Value? { values.removeValue(forKey: node) }
}

extension TreeSums: Sendable where Value: Sendable {}
