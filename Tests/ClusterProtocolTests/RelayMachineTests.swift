import ClusterProtocol
import TestSupport
import Testing

/// Which sums and weights a relay adds, passes on and drops.
@Suite struct RelayMachineTests {
    private static let tree = ReductionTree(leafCount: 8)
    private static let group = TreeNode(level: 2, index: 1)
    private static let slot = RelayMachine.Slot(chunk: ChunkIndex(3), group: group)

    private static func machine(audit: AuditPlan? = nil) -> RelayMachine {
        var machine = RelayMachine(tree: tree, audit: audit)
        #expect(machine.step(.configured(level: 2), now: .zero).isEmpty)
        return machine
    }

    private static func totals(_ count: Int) -> ContributionTotals {
        ContributionTotals(sampleCount: count)
    }

    private static func sum(
        _ node: TreeNode, step: Int = 5, placement: Int = 1, of samples: Int = 1
    ) -> RelayMachine.Event {
        .contribution(
            placement: Placement(placement), step: Step(step), chunk: ChunkIndex(3), node: node,
            totals: totals(samples))
    }

    private static func passOn(
        _ node: TreeNode, step: Int = 5, of samples: Int
    ) -> RelayMachine.Action {
        .passOn(
            slot, placement: Placement(1), step: Step(step), node: node, totals: totals(samples))
    }

    @Test func oneSumGoesOnWhenAllAreThere() {
        var machine = Self.machine()
        let pair = TreeNode(level: 1, index: 3)
        #expect(
            machine.step(Self.sum(pair, of: 2), now: .zero)
                == [.keep(Self.slot, node: pair, replaced: [])])
        #expect(machine.step(Self.sum(pair, of: 2), now: .zero) == [.drop])
        #expect(
            machine.step(Self.sum(.leaf(5)), now: .zero)
                == [.keep(Self.slot, node: .leaf(5), replaced: [])])
        let other = TreeNode(level: 1, index: 2)
        let last: [RelayMachine.Action] = [
            .keep(Self.slot, node: .leaf(4), replaced: []),
            .add(Self.slot, .init(left: .leaf(4), right: .leaf(5), parent: other)),
            .add(Self.slot, .init(left: other, right: pair, parent: Self.group)),
            Self.passOn(Self.group, of: 4),
        ]
        #expect(machine.step(Self.sum(.leaf(4)), now: .zero) == last)
        // A duplicate of a sum that was passed on is dropped.
        #expect(machine.step(Self.sum(.leaf(4)), now: .zero) == [.drop])
        #expect(machine.nextDeadline == nil)
    }

    @Test func whatIsLateIsNotWaitedForForEver() throws {
        var machine = Self.machine()
        _ = machine.step(Self.sum(.leaf(4)), now: .zero)
        _ = machine.step(Self.sum(.leaf(6)), now: .zero)
        let deadline = try #require(machine.nextDeadline)
        #expect(machine.step(.tick, now: deadline - .microseconds(1)).isEmpty)
        #expect(
            machine.step(.tick, now: deadline)
                == [Self.passOn(.leaf(4), of: 1), Self.passOn(.leaf(6), of: 1)])
        #expect(machine.nextDeadline == nil)
        #expect(machine.step(Self.sum(.leaf(5)), now: deadline) == [.forward])
        #expect(machine.step(Self.sum(.leaf(5)), now: deadline) == [.drop])
        // The sum took a second, so later ones are given that time.
        #expect(machine.step(Self.sum(.leaf(7)), now: .seconds(1)) == [.forward])
        _ = machine.step(Self.sum(.leaf(4), step: 6), now: .seconds(2))
        #expect(machine.nextDeadline == .seconds(4))
    }

    @Test func aNewStepReplacesTheOneBefore() {
        var machine = Self.machine()
        _ = machine.step(Self.sum(.leaf(4)), now: .zero)
        #expect(
            machine.step(Self.sum(.leaf(5), step: 6), now: .zero)
                == [.forget(Self.slot), .keep(Self.slot, node: .leaf(5), replaced: [])])
        #expect(machine.step(Self.sum(.leaf(4)), now: .zero) == [.forward])
        // A later placement counts more than a later step.
        #expect(
            machine.step(Self.sum(.leaf(4), step: 2, placement: 2), now: .zero)
                == [.forget(Self.slot), .keep(Self.slot, node: .leaf(4), replaced: [])])
    }

    @Test func whatIsNotToBeAddedGoesOn() {
        var machine = Self.machine()
        #expect(machine.step(Self.sum(Self.group, of: 4), now: .zero) == [.forward])
        #expect(machine.step(Self.sum(TreeNode(level: 9, index: 0)), now: .zero) == [.drop])
        #expect(machine.step(Self.sum(.leaf(8)), now: .zero) == [.drop])
        _ = machine.step(Self.sum(.leaf(4)), now: .zero)
        #expect(
            machine.step(.configured(level: nil), now: .zero)
                == [Self.passOn(.leaf(4), of: 1), .forgetWeights])
        #expect(machine.step(Self.sum(.leaf(5)), now: .zero) == [.forward])
    }

    /// Audited virtual workers go straight to the shard, so the relay does not wait for them.
    @Test func auditedVirtualWorkersAreNotWaitedFor() throws {
        let audit = AuditPlan(seed: 1, rate: 0.4)
        let step = try #require(
            (0..<1000).first { step in
                (4..<8).filter {
                    audit.isAudited(step: Step(step), virtualWorker: VirtualWorkerIndex($0))
                } == [6]
            })
        var machine = Self.machine(audit: audit)
        _ = machine.step(Self.sum(.leaf(4), step: step), now: .zero)
        _ = machine.step(Self.sum(.leaf(7), step: step), now: .zero)
        let pair = TreeNode(level: 1, index: 3)
        #expect(machine.step(Self.sum(pair, step: step, of: 2), now: .zero) == [.drop])
        let last = machine.step(Self.sum(.leaf(5), step: step), now: .zero)
        #expect(
            last.suffix(2) == [
                Self.passOn(.leaf(7), step: step, of: 1),
                Self.passOn(TreeNode(level: 1, index: 2), step: step, of: 2),
            ])
    }

    @Test func weightsAreHandedOn() {
        var machine = Self.machine()
        let (one, two) = (PeerIdentity(rawValue: "worker-1"), PeerIdentity(rawValue: "worker-2"))
        func send(_ version: Int, _ placement: Int, _ peers: [PeerIdentity]) -> RelayMachine.Action {
            .sendWeights(
                chunk: ChunkIndex(3), version: Step(version), placement: Placement(placement),
                to: peers)
        }
        func weights(_ version: Int, _ placement: Int) -> [RelayMachine.Action] {
            machine.step(
                .weights(
                    chunk: ChunkIndex(3), version: Step(version), placement: Placement(placement)),
                now: .zero)
        }
        #expect(
            machine.step(.follow(peer: two, chunk: ChunkIndex(3), version: Step(0)), now: .zero)
                .isEmpty)
        #expect(weights(1, 1) == [.keepWeights(chunk: ChunkIndex(3)), send(1, 1, [two])])
        #expect(weights(1, 1).isEmpty)
        // A late follower gets the weights it lacks at once, and none older than it asked for.
        #expect(
            machine.step(.follow(peer: one, chunk: ChunkIndex(3), version: Step(1)), now: .zero)
                == [send(1, 1, [one])])
        #expect(
            machine.step(.follow(peer: one, chunk: ChunkIndex(3), version: Step(2)), now: .zero)
                .isEmpty)
        #expect(weights(2, 1) == [.keepWeights(chunk: ChunkIndex(3)), send(2, 1, [one, two])])
        _ = machine.step(.unsubscribe(peer: two), now: .zero)
        // The coordinator has put the shards back.
        #expect(weights(0, 2) == [.keepWeights(chunk: ChunkIndex(3)), send(0, 2, [one])])
        #expect(
            machine.step(
                .weights(chunk: ChunkIndex(4), version: Step(1), placement: Placement(2)),
                now: .zero)
                == [.keepWeights(chunk: ChunkIndex(4))])
    }
}
