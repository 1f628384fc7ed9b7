/// Workers that are neighbours in the reduction tree and relay for one another: each chunk has one of
/// them who adds the others' sums before a shard gets them, and who hands them the shard's weights.
public struct RelayGroup: Hashable, Codable, Sendable {
    public struct Member: Hashable, Codable, Sendable {
        public var identity: PeerIdentity
        /// Where the others reach it.
        public var endpoint: String
        /// The key that it must prove to hold; nil without keys.
        public var publicKey: String?

        public init(identity: PeerIdentity, endpoint: String, publicKey: String? = nil) {
            self.identity = identity
            self.endpoint = endpoint
            self.publicKey = publicKey
        }
    }

    /// All virtual workers of the group are below it, and no others.
    public var node: TreeNode
    /// Those who may relay, in the order of their virtual workers.
    public var members: [Member]

    public init(node: TreeNode, members: [Member]) {
        self.node = node
        self.members = members
    }

    /// Whose work a chunk is: all members', chunk by chunk in turn. The group must have members.
    func relay(ofChunk chunk: Int) -> Member { members[(chunk + node.index) % members.count] }
}

/// Decides whether relays stand between workers and shards, and who they are.
///
/// A shard that hears W workers takes in W times its slice in every step, and gives out as much. With
/// groups of neighbours in between it hears as many as there are groups. What is added, and in which
/// order, is the tree's, as without them: no choice of groups can change a bit.
public enum RelayPlanner {
    /// Beyond so many workers there are relays unless the run says otherwise.
    public static let usualFanIn = 32

    /// A worker as it takes part.
    public struct Worker: Hashable, Sendable {
        /// Nil when not all others can connect to it.
        public var member: RelayGroup.Member?
        /// Virtual workers, ascending.
        public var share: [Int]

        public init(member: RelayGroup.Member?, share: [Int]) {
            self.member = member
            self.share = share
        }
    }

    /// The groups, in tree order; none when a shard can hear everyone.
    ///
    /// - Parameter fanIn: so many workers need no relays; 0 for any number.
    public static func groups(
        tree: ReductionTree, workers: [Worker], fanIn: Int
    ) -> [RelayGroup] {
        let shares = workers.map(\.share).filter { !$0.isEmpty }
        guard fanIn > 0, shares.count > fanIn, let level = level(tree, shares) else { return [] }
        var members: [Int: [RelayGroup.Member]] = [:]
        for worker in workers.sorted(by: { ($0.share.first ?? 0) < ($1.share.first ?? 0) }) {
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

    /// Where the tree is cut: where the most that anyone has to hear, first a relay and then a shard,
    /// is least. Nil when no cut lets a shard hear fewer than now.
    private static func level(_ tree: ReductionTree, _ shares: [[Int]]) -> Int? {
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

    /// Of the nodes of a level that the leaves are below.
    private static func indices(of share: [Int], _ level: Int) -> [Int] {
        var result: [Int] = []
        for leaf in share where result.last != leaf >> level { result.append(leaf >> level) }
        return result
    }
}
