import ClusterProtocol
import TestSupport
import Testing

/// Two hosts with two shards of one chunk each; the gradient is clipped by its norm.
@Suite struct NormExchangeTests {
    private typealias Action = ShardHostMachine.Action
    private static let plan = SlicePlan(
        parameterCount: 64, shardCount: 4, chunkElementCount: 16)
    private static let hosts = ["server-a", "server-b"].map(PeerIdentity.init(rawValue:))
    private static let retryInterval = Duration.milliseconds(500)

    private static let places = plan.shards.map { shard in
        ShardPlacement(
            shard: shard, host: hosts[shard.value / 2], endpoint: "tcp://10.0.0.\(shard)")
    }

    private static func shards(_ host: Int) -> [ShardIndex] {
        [ShardIndex(2 * host), ShardIndex(2 * host + 1)]
    }

    private static func order(
        _ host: Int, placement: Int = 1, step: Int = 4, peers: [ShardPlacement]? = places
    ) -> ShardHostMachine.Event {
        .host(
            HostShards(
                shards: shards(host), shardCount: 4, placement: Placement(placement),
                step: Step(step), stepLimit: Step(100), peers: peers))
    }

    /// Returns a host whose shards are in place at step 4.
    private static func machine(_ host: Int) -> ShardHostMachine {
        var machine = ShardHostMachine(
            .init(
                tree: ReductionTree(leafCount: 1), plan: plan, partCount: 1, checkpointEvery: 0,
                retryInterval: retryInterval, needsNorm: true))
        _ = machine.step(order(host), now: .zero)
        restore(&machine, host)
        return machine
    }

    private static func restore(
        _ machine: inout ShardHostMachine, _ host: Int, placement: Int = 1, step: Int = 4
    ) {
        for shard in shards(host) {
            let part = ShardHostMachine.StatePart(
                shard: shard, chunk: ChunkIndex(shard.value), part: 0, step: Step(step),
                placement: Placement(placement))
            _ = machine.step(.state(part), now: .zero)
        }
    }

    private static func contribute(
        _ shard: Int, to machine: inout ShardHostMachine, step: Int = 4, placement: Int = 1,
        now: Moment = .zero
    ) -> [Action] {
        machine.step(
            .shard(
                ShardIndex(shard),
                .contribution(
                    .init(
                        placement: Placement(placement), step: Step(step),
                        chunk: ChunkIndex(shard), node: .leaf(0),
                        totals: ContributionTotals(sampleCount: 4),
                        peer: PeerIdentity(rawValue: "worker"), digest: 0))), now: now)
    }

    private static func squares(
        _ shard: Int, to machine: inout ShardHostMachine, step: Int = 4, placement: Int = 1
    ) -> [Action] {
        machine.step(
            .squares(
                shard: ShardIndex(shard), step: Step(step), placement: Placement(placement)),
            now: .zero)
    }

    private static func sent(
        _ shard: Int, to host: Int, step: Int = 4, placement: Int = 1
    ) -> Action {
        .sendSquares(
            shard: ShardIndex(shard), step: Step(step), placement: Placement(placement),
            to: [hosts[host]])
    }

    /// The shards that are updated.
    private static func updates(_ actions: [Action]) -> [Int] {
        actions.compactMap {
            if case .shard(let shard, .update) = $0 { shard.value } else { nil }
        }
    }

    @Test func shardsAreUpdatedTogetherOnceAllAreMeasured() {
        var machine = Self.machine(0)
        let first = Self.contribute(0, to: &machine)
        let measured = Action.shard(
            ShardIndex(0), .measure(chunk: ChunkIndex(0), step: Step(4)))
        #expect(first.suffix(2) == [measured, Self.sent(0, to: 1)])
        #expect(
            Self.squares(2, to: &machine)
                == [.keepSquares(shard: ShardIndex(2), step: Step(4))])
        let second = Self.contribute(1, to: &machine)
        #expect(second.last == Self.sent(1, to: 1))
        // What the shard has counts once.
        #expect(
            Self.contribute(1, to: &machine) == [.shard(ShardIndex(1), .drop(.covered))])
        #expect(Self.squares(2, to: &machine) == [.drop(.stale)])
        let last = Self.squares(3, to: &machine)
        #expect(last.first == .keepSquares(shard: ShardIndex(3), step: Step(4)))
        #expect(Self.updates(last) == [0, 1])
        // The next step begins.
        #expect(Self.squares(3, to: &machine) == [.drop(.stale)])
        #expect(Self.updates(Self.contribute(0, to: &machine, step: 5)).isEmpty)
    }

    @Test func whatDoesNotBelongHereIsDropped() {
        var machine = Self.machine(0)
        for (shard, step, placement) in [
            (2, 3, 1), (2, 5, 1), (2, 4, 0), (2, 4, 2), (0, 4, 1), (4, 4, 1), (65_535, 4, 1),
        ] {
            #expect(
                Self.squares(shard, to: &machine, step: step, placement: placement)
                    == [.drop(.stale)], "\(shard) \(step) \(placement)")
        }
        _ = Self.contribute(0, to: &machine)
        for (shard, step, placement) in [
            (2, 5, 1), (2, 3, 1), (2, 0, 1), (2, 4, 2), (0, 4, 1), (9, 4, 1),
        ] {
            let event = ShardHostMachine.Event.squaresWanted(
                by: ShardIndex(shard), step: Step(step), placement: Placement(placement))
            #expect(machine.step(event, now: .zero) == [.drop(.stale)])
        }
    }

    @Test func missingSumsAreAskedForAgain() throws {
        var machine = Self.machine(0)
        func tick(_ now: Moment) -> [Action] {
            machine.step(.everyShard(.tick), now: now).filter {
                if case .askSquares = $0 { true } else { false }
            }
        }
        let question = Action.askSquares(
            shard: ShardIndex(0), step: Step(4), placement: Placement(1), of: [Self.hosts[1]])
        // Nothing is missing before the own shards are measured.
        _ = Self.contribute(0, to: &machine)
        #expect(tick(.seconds(5)).isEmpty)
        _ = Self.contribute(1, to: &machine, now: .seconds(6))
        #expect(tick(.seconds(6) + .milliseconds(499)).isEmpty)
        let due = try #require(machine.nextDeadline(now: .seconds(6)))
        #expect(due <= .seconds(6) + Self.retryInterval)
        #expect(tick(.seconds(6) + Self.retryInterval) == [question])
        #expect(tick(.seconds(6) + Self.retryInterval).isEmpty)
        #expect(tick(.seconds(6) + Self.retryInterval * 2) == [question])
        _ = Self.squares(2, to: &machine)
        #expect(Self.updates(Self.squares(3, to: &machine)) == [0, 1])
        #expect(tick(.seconds(60)).isEmpty)
    }

    /// A host that is one step behind gets the sums of the step before; others get what is there.
    @Test func questionsAreAnswered() {
        var machine = Self.machine(0)
        func answer(_ step: Int) -> [Action] {
            machine.step(
                .squaresWanted(by: ShardIndex(3), step: Step(step), placement: Placement(1)),
                now: .zero)
        }
        _ = Self.contribute(0, to: &machine)
        #expect(answer(4) == [Self.sent(0, to: 1)])
        _ = Self.contribute(1, to: &machine)
        _ = Self.squares(2, to: &machine)
        #expect(answer(4) == [Self.sent(0, to: 1), Self.sent(1, to: 1)])
        _ = Self.squares(3, to: &machine)
        #expect(answer(4) == [Self.sent(0, to: 1), Self.sent(1, to: 1)])
        #expect(answer(5) == [.drop(.stale)])
        // The step before the first has no sums.
        #expect(answer(3) == [.drop(.stale)])
    }

    /// Shards that are put back begin anew, and sums of before do not count.
    @Test func aNewPlacementBeginsAnew() {
        var machine = Self.machine(0)
        _ = Self.contribute(0, to: &machine)
        _ = Self.contribute(1, to: &machine)
        _ = Self.squares(2, to: &machine)
        let actions = machine.step(Self.order(0, placement: 2, step: 4), now: .zero)
        #expect(actions.first == .clear)
        #expect(actions.dropFirst().first == .connect(Array(Self.places[2...])))
        #expect(
            actions.contains(
                .askSquares(
                    shard: ShardIndex(0), step: Step(4), placement: Placement(2),
                    of: [Self.hosts[1]])))
        // Sums may come before the shards of this host have their state.
        #expect(
            Self.squares(3, to: &machine, placement: 2)
                == [.keepSquares(shard: ShardIndex(3), step: Step(4))])
        Self.restore(&machine, 0, placement: 2)
        #expect(Self.squares(2, to: &machine) == [.drop(.stale)])
        _ = Self.contribute(0, to: &machine, placement: 2)
        _ = Self.contribute(1, to: &machine, placement: 2)
        #expect(Self.updates(Self.squares(2, to: &machine, placement: 2)) == [0, 1])
    }

    /// The places of the shards may come late, with the order once more.
    @Test func placesMayComeLate() {
        var machine = ShardHostMachine(
            .init(
                tree: ReductionTree(leafCount: 1), plan: Self.plan, partCount: 1,
                checkpointEvery: 0, retryInterval: Self.retryInterval, needsNorm: true))
        let first = machine.step(Self.order(0, peers: nil), now: .zero)
        #expect(first.contains(.connect([])))
        #expect(Self.squares(2, to: &machine) == [.drop(.stale)])
        let second = machine.step(Self.order(0), now: .zero)
        #expect(second.contains(.connect(Array(Self.places[2...]))))
        #expect(machine.step(Self.order(0), now: .zero).isEmpty)
        #expect(
            Self.squares(2, to: &machine)
                == [.keepSquares(shard: ShardIndex(2), step: Step(4))])
    }

    /// One host has all shards: it needs no other.
    @Test func oneHostNeedsNoMessage() {
        let plan = SlicePlan(parameterCount: 16, shardCount: 1)
        var machine = ShardHostMachine(
            .init(
                tree: ReductionTree(leafCount: 1), plan: plan, partCount: 1, checkpointEvery: 0,
                retryInterval: Self.retryInterval, needsNorm: true))
        _ = machine.step(
            .host(
                HostShards(
                    shards: [ShardIndex(0)], shardCount: 1, placement: Placement(1),
                    step: Step(4), stepLimit: Step(100), peers: [Self.places[0]])),
            now: .zero)
        let part = ShardHostMachine.StatePart(
            shard: ShardIndex(0), chunk: ChunkIndex(0), part: 0, step: Step(4),
            placement: Placement(1))
        _ = machine.step(.state(part), now: .zero)
        for step in 4..<8 {
            #expect(Self.updates(Self.contribute(0, to: &machine, step: step)) == [0])
        }
    }
}
