import ClusterProtocol

extension TreeNode {
    /// Returns the leaf of a virtual worker, whose number is given as it is.
    package static func leaf(_ number: Int) -> TreeNode { .leaf(VirtualWorkerIndex(number)) }
}
