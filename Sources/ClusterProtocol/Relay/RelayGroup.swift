/// Workers that are neighbours in the reduction tree and relay for one another.
///
/// Each chunk has one member as its relay. The relay adds the other members' sums before a shard
/// gets them, and hands the shard's weights to the other members.
public struct RelayGroup: Hashable, Codable, Sendable {
    /// A worker that may relay.
    public struct Member: Hashable, Codable, Sendable {
        /// The worker's identity.
        public var identity: PeerIdentity
        /// The bulk endpoint where the other members reach the worker.
        public var endpoint: String
        /// The public CURVE key that the worker must prove to hold; nil without keys.
        public var publicKey: String?

        /// Creates a member.
        public init(identity: PeerIdentity, endpoint: String, publicKey: String? = nil) {
            self.identity = identity
            self.endpoint = endpoint
            self.publicKey = publicKey
        }
    }

    /// The tree node that has all virtual workers of the group below it, and no others.
    public var node: TreeNode
    /// The workers that may relay, in the order of their virtual workers.
    public var members: [Member]

    /// Creates a group.
    public init(node: TreeNode, members: [Member]) {
        self.node = node
        self.members = members
    }

    /// Returns the member that relays a chunk. The members take turns, chunk by chunk. The group
    /// must have members.
    func relay(ofChunk chunk: ChunkIndex) -> Member {
        members[(chunk.value + node.index) % members.count]
    }
}

/// Decides whether relays stand between workers and shards, and which workers relay.
///
/// A shard that hears W workers takes in W times its slice in every step, and sends out as much.
/// With groups of neighbours in between, the shard hears one relay for each group. The tree fixes
/// what is added and in which order, with relays or without, so no choice of groups can change a
/// bit.
public enum RelayPlanner {
    /// A run with more workers than this has relays, unless its configuration says otherwise.
    public static let usualFanIn = 32

    /// A worker for which groups are planned.
    public struct Worker: Hashable, Sendable {
        /// The worker as a member of groups; nil when not all other workers can connect to it.
        public var member: RelayGroup.Member?
        /// The worker's virtual workers, ascending.
        public var share: [VirtualWorkerIndex]

        /// Creates a worker.
        public init(member: RelayGroup.Member?, share: [VirtualWorkerIndex]) {
            self.member = member
            self.share = share
        }
    }

    /// Returns the groups, in tree order; none when a shard can hear every worker.
    ///
    /// - Parameters:
    ///   - tree: the reduction tree of the run.
    ///   - workers: the workers with their shares.
    ///   - fanIn: the highest number of workers that need no relays; 0 when no number needs them.
    public static func groups(
        tree: ReductionTree, workers: [Worker], fanIn: Int
    ) -> [RelayGroup] {
        let shares = workers.map(\.share).filter { !$0.isEmpty }
        guard fanIn > 0, shares.count > fanIn, let level = level(tree, shares) else { return [] }
        var members: [Int: [RelayGroup.Member]] = [:]
        let none = VirtualWorkerIndex(0)
        for worker in workers.sorted(by: { ($0.share.first ?? none) < ($1.share.first ?? none) }) {
            guard let member = worker.member else { continue }
            for index in indices(of: worker.share, level) {
                members[index, default: []].append(member)
            }
        }
        return members.keys.sorted().map { index in
            RelayGroup(
                node: TreeNode(level: level, index: index), members: members[index] ?? [])
        }
    }

    /// Returns the level at which the tree is cut. There, the most workers that one relay hears and
    /// the groups that a shard hears have the least sum. Returns nil when no cut lets a shard hear
    /// fewer processes than without relays.
    private static func level(_ tree: ReductionTree, _ shares: [[VirtualWorkerIndex]]) -> Int? {
        guard tree.height > 1 else { return nil }
        let costs = (1..<tree.height).compactMap { level -> (cost: Int, level: Int)? in
            var counts: [Int: Int] = [:]
            for share in shares {
                for index in indices(of: share, level) { counts[index, default: 0] += 1 }
            }
            guard counts.count < shares.count else { return nil }
            return ((counts.values.max() ?? 0) + counts.count, level)
        }
        return costs.min { $0 < $1 }?.level
    }

    /// Returns the indices of the nodes of a level that have these virtual workers below them.
    private static func indices(of share: [VirtualWorkerIndex], _ level: Int) -> [Int] {
        var result: [Int] = []
        for index in share.lazy.map({ $0.value >> level }) where result.last != index {
            result.append(index)
        }
        return result
    }
}
