/// The values of tree nodes that are present, added as a `NodeSet` says.
///
/// The set decides which siblings become one; this type holds what is added, whatever that is:
/// buffers of floats in a process, arrays in a simulation.
@frozen
public struct TreeSums<Value> {
    @usableFromInline var values: [TreeNode: Value] = [:]

    /// Creates an empty collection.
    @inlinable
    public init() {}

    /// The value of a node; nil when it is absent.
    @inlinable
    public subscript(node: TreeNode) -> Value? { values[node] }

    /// The nodes that are present, in order.
    public var nodes: [TreeNode] { values.keys.sorted() }

    /// Takes in the value of a node in place of the nodes below it.
    @inlinable
    public mutating func keep(_ value: Value, node: TreeNode, replaced: [TreeNode] = []) {
        for old in replaced { values[old] = nil }
        values[node] = value
    }

    /// Puts the sum of two siblings in the place of both.
    ///
    /// - Parameters:
    ///   - merge: a merge that the node set asked for.
    ///   - add: returns left + right.
    /// - Returns: false when one of the siblings is absent; then nothing has changed.
    @inlinable
    public mutating func add(_ merge: NodeSet.Merge, by add: (Value, Value) -> Value) -> Bool {
        guard let left = values[merge.left], let right = values[merge.right] else { return false }
        values[merge.left] = nil
        values[merge.right] = nil
        values[merge.parent] = add(left, right)
        return true
    }

    /// Removes a node's value and returns it.
    @inlinable
    public mutating func remove(_ node: TreeNode) -> Value? { values.removeValue(forKey: node) }
}

extension TreeSums: Sendable where Value: Sendable {}
