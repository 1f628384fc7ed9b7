/// Which way one worker's sums go to the shards, and the shards' weights to it.
public struct RelayRoutes: Hashable, Sendable {
    private let groups: [RelayGroup]
    private let own: PeerIdentity
    private let tree: ReductionTree
    /// Relays were no help: this worker does without them, and goes on relaying for others.
    public private(set) var isStraight = false
    /// Of the groups' nodes.
    public let level: Int

    /// Nil when everything goes straight.
    ///
    /// - Parameter groups: those that the worker has virtual workers in, in tree order; what is none
    ///   is left out.
    public init?(_ groups: [RelayGroup], of own: PeerIdentity, tree: ReductionTree) {
        guard let level = groups.first?.node.level, (1..<max(1, tree.height)).contains(level)
        else { return nil }
        self.groups = groups.filter {
            $0.node.level == level && tree.contains($0.node) && !$0.members.isEmpty
        }
        guard !self.groups.isEmpty else { return nil }
        self.own = own
        self.tree = tree
        self.level = level
    }

    /// The same for others, and without relays for this worker.
    var straight: RelayRoutes {
        var copy = self
        copy.isStraight = true
        return copy
    }

    /// Who adds the chunk of a node's sum to others, this worker perhaps; nil: it goes straight to
    /// its shard.
    public func relay(of node: TreeNode, chunk: Int) -> RelayGroup.Member? {
        guard !isStraight, tree.contains(node), node.level < level, chunk >= 0 else { return nil }
        let index = node.index >> (level - node.level)
        return groups.first { $0.node.index == index }?.relay(ofChunk: chunk)
    }

    /// Whom the weights of a chunk come from; nil: from its shard, as they do for whoever relays
    /// them, so that they never go in a circle.
    public func source(ofChunk chunk: Int) -> RelayGroup.Member? {
        isStraight || isRelay(ofChunk: chunk) ? nil : groups.first?.relay(ofChunk: chunk)
    }

    /// Whether others get the weights of a chunk from this worker.
    public func isRelay(ofChunk chunk: Int) -> Bool {
        groups.contains { $0.relay(ofChunk: chunk).identity == own }
    }

    /// Everyone whom it sends to or hears from, itself perhaps, once each and in order.
    public func relays(chunkCount: Int) -> [RelayGroup.Member] {
        guard !isStraight else { return [] }
        var found: [PeerIdentity: RelayGroup.Member] = [:]
        for group in groups {
            for chunk in 0..<chunkCount {
                let member = group.relay(ofChunk: chunk)
                found[member.identity] = member
            }
        }
        return found.keys.sorted().compactMap { found[$0] }
    }
}
