import ClusterProtocol
import Testing

/// Which workers relay for which, and the ways of sums and weights.
@Suite struct RelayPlannerTests {
    static func member(_ number: Int) -> RelayGroup.Member {
        .init(
            identity: PeerIdentity(rawValue: "worker-\(number)"), endpoint: "tcp://10.0.0.1:\(number)")
    }

    /// Workers with equal shares of the virtual workers.
    static func workers(_ count: Int, leafCount: Int) -> [RelayPlanner.Worker] {
        let all = Array(ReductionTree(leafCount: leafCount).virtualWorkers)
        return (0..<count).map { number in
            .init(
                member: member(number),
                share: Array(all[leafCount * number / count..<leafCount * (number + 1) / count]))
        }
    }

    private static func groups(
        _ count: Int, leafCount: Int, fanIn: Int
    ) -> [RelayGroup] {
        RelayPlanner.groups(
            tree: ReductionTree(leafCount: leafCount), workers: workers(count, leafCount: leafCount),
            fanIn: fanIn)
    }

    @Test func aShardThatCanHearEveryoneDoes() {
        #expect(Self.groups(32, leafCount: 64, fanIn: 32).isEmpty)
        #expect(Self.groups(64, leafCount: 64, fanIn: 0).isEmpty)
        // Two groups of one worker would not reduce the senders of any shard.
        #expect(Self.groups(2, leafCount: 4, fanIn: 1).isEmpty)
        #expect(Self.groups(0, leafCount: 4, fanIn: 1).isEmpty)
    }

    /// The largest group's members and the groups together are fewer than three times the square
    /// root of the workers. The groups are whole subtrees.
    @Test(arguments: [(33, 64), (64, 64), (64, 256), (100, 100), (1000, 1000), (1000, 4096)])
    func groupsAreAboutAsManyAsTheirMembers(workers: Int, leafCount: Int) {
        let groups = Self.groups(workers, leafCount: leafCount, fanIn: 32)
        let tree = ReductionTree(leafCount: leafCount)
        #expect(Set(groups.map(\.node.level)).count == 1)
        #expect(
            groups.flatMap { tree.virtualWorkers(below: $0.node) } == Array(tree.virtualWorkers))
        #expect(Set(groups.flatMap(\.members)).count == workers)
        let most = groups.map(\.members.count).max() ?? 0
        #expect((most + groups.count) * (most + groups.count) < workers * 9)
    }

    /// A worker whose share lies in two groups is in both. A worker that others cannot reach relays
    /// for none.
    @Test func sharesAcrossGroups() {
        var workers = Self.workers(5, leafCount: 16)
        workers[1].member = nil
        let groups = RelayPlanner.groups(
            tree: ReductionTree(leafCount: 16), workers: workers, fanIn: 2)
        #expect(groups.map(\.node) == (0..<2).map { TreeNode(level: 3, index: $0) })
        let numbers = groups.map { group in
            group.members.map { $0.identity.rawValue.split(separator: "-").last ?? "" }
        }
        #expect(numbers == [["0", "2"], ["2", "3", "4"]])
    }

    @Test func sumsGoToTheRelayOfTheirGroup() throws {
        let tree = ReductionTree(leafCount: 16)
        let groups = Self.groups(8, leafCount: 16, fanIn: 2)
        #expect(groups.map(\.members.count) == [2, 2, 2, 2])
        let own = Self.member(2).identity
        let routes = try #require(RelayRoutes([groups[1]], of: own, tree: tree))
        let node = TreeNode(level: 1, index: 2)
        let relays = (0..<4).map {
            routes.relay(of: node, chunk: ChunkIndex($0))?.identity.rawValue
        }
        #expect(relays == ["worker-3", "worker-2", "worker-3", "worker-2"])
        // A node of another group, a whole group and no node at all have no relay here.
        #expect(routes.relay(of: TreeNode(level: 1, index: 0), chunk: ChunkIndex(0)) == nil)
        #expect(routes.relay(of: TreeNode(level: 2, index: 1), chunk: ChunkIndex(0)) == nil)
        #expect(routes.relay(of: TreeNode(level: 0, index: -4), chunk: ChunkIndex(0)) == nil)
        #expect(routes.source(ofChunk: ChunkIndex(0))?.identity == Self.member(3).identity)
        #expect(
            routes.source(ofChunk: ChunkIndex(1)) == nil && routes.isRelay(ofChunk: ChunkIndex(1)))
        #expect(routes.relays(chunkCount: 4).map(\.identity.rawValue) == ["worker-2", "worker-3"])
    }

    /// The relay of a chunk has it from the shard, so weights never go in a circle.
    @Test(arguments: [(40, 64), (64, 100), (100, 128)])
    func weightsComeFromTheShardInTheEnd(workers: Int, leafCount: Int) throws {
        let tree = ReductionTree(leafCount: leafCount)
        let all = Self.workers(workers, leafCount: leafCount)
        let groups = Self.groups(workers, leafCount: leafCount, fanIn: 8)
        var routes: [PeerIdentity: RelayRoutes] = [:]
        for worker in all {
            let mine = groups.filter { group in
                worker.share.contains { $0.value >> group.node.level == group.node.index }
            }
            let peer = try #require(worker.member).identity
            routes[peer] = RelayRoutes(mine, of: peer, tree: tree)
        }
        #expect(routes.count == workers)
        for chunk in ChunkIndex(0)..<ChunkIndex(7) {
            for (peer, route) in routes {
                guard let source = route.source(ofChunk: chunk) else { continue }
                #expect(source.identity != peer)
                #expect(routes[source.identity]?.source(ofChunk: chunk) == nil)
            }
        }
    }

    /// Groups that a coordinator should never send give no relays, and do not trap.
    @Test func groupsThatAreNone() {
        let tree = ReductionTree(leafCount: 16)
        let own = Self.member(0).identity
        for node in [
            TreeNode(level: 0, index: 0), TreeNode(level: 99, index: 0), TreeNode(level: -1, index: 0),
            TreeNode(level: 2, index: 4), TreeNode(level: 2, index: -1), TreeNode(level: 4, index: 0),
        ] {
            #expect(
                RelayRoutes([RelayGroup(node: node, members: [Self.member(1)])], of: own, tree: tree)
                    == nil)
        }
        let empty = RelayGroup(node: TreeNode(level: 2, index: 0), members: [])
        #expect(RelayRoutes([empty], of: own, tree: tree) == nil)
        #expect(RelayRoutes([], of: own, tree: ReductionTree(leafCount: 1)) == nil)
    }
}
