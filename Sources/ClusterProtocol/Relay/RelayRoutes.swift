/// The ways that one worker's sums take to the shards, and that the shards' weights take to the
/// worker.
public struct RelayRoutes: Hashable, Sendable {
    private let groups: [RelayGroup]
    private let own: PeerIdentity
    private let tree: ReductionTree
    /// Whether this worker does without relays because they were no help. It goes on relaying for
    /// others.
    public private(set) var isStraight = false
    /// The level of the groups' nodes.
    public let level: Int

    /// Creates routes. Returns nil when everything goes straight to the shards.
    ///
    /// - Parameters:
    ///   - groups: the groups in which the worker has virtual workers, in tree order. The first one
    ///     gives the level; groups of another level, outside the tree or without members are left
    ///     out.
    ///   - own: the worker that the routes are for.
    ///   - tree: the reduction tree of the run.
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

    /// A copy in which this worker does without relays and goes on relaying for others.
    var straight: RelayRoutes {
        var copy = self
        copy.isStraight = true
        return copy
    }

    /// Returns the relay that adds the chunk of a node's sum to those of others; the relay may be
    /// this worker. Returns nil when the chunk goes straight to its shard.
    public func relay(of node: TreeNode, chunk: ChunkIndex) -> RelayGroup.Member? {
        guard !isStraight, tree.contains(node), node.level < level, chunk.value >= 0 else {
            return nil
        }
        let index = node.index >> (level - node.level)
        return groups.first { $0.node.index == index }?.relay(ofChunk: chunk)
    }

    /// Returns the relay that the weights of a chunk come from, or nil when they come from the
    /// chunk's shard. A worker that relays the chunk gets it from the shard, so that weights never
    /// go in a circle.
    public func source(ofChunk chunk: ChunkIndex) -> RelayGroup.Member? {
        isStraight || isRelay(ofChunk: chunk) ? nil : groups.first?.relay(ofChunk: chunk)
    }

    /// Returns whether other workers get the weights of a chunk from this worker.
    public func isRelay(ofChunk chunk: ChunkIndex) -> Bool {
        groups.contains { $0.relay(ofChunk: chunk).identity == own }
    }

    /// Returns every relay that this worker sends to or hears from, each once, by identity. This
    /// worker may be one of them.
    ///
    /// - Parameter chunkCount: the number of chunks in the slice plan.
    public func relays(chunkCount: Int) -> [RelayGroup.Member] {
        guard !isStraight else { return [] }
        var found: [PeerIdentity: RelayGroup.Member] = [:]
        for group in groups {
            for chunk in ChunkIndex(0)..<ChunkIndex(chunkCount) {
                let member = group.relay(ofChunk: chunk)
                found[member.identity] = member
            }
        }
        return found.keys.sorted().compactMap { found[$0] }
    }
}
