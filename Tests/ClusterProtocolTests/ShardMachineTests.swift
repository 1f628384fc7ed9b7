import ClusterProtocol
import TestSupport
import Testing

/// One shard with two chunks and a tree of two leaves, unless a test says otherwise.
@Suite struct ShardMachineTests {
    typealias Action = ShardMachine.Action

    private let worker = PeerIdentity(rawValue: "worker-a")
    private let other = PeerIdentity(rawValue: "worker-b")

    private func machine(
        leafCount: Int = 2, chunks: [Int] = [4, 5], checkpointEvery: Int = 0, at step: Int = 0,
        stepLimit: Int = 100, ownPeer: PeerIdentity? = nil
    ) -> ShardMachine {
        var machine = ShardMachine(
            .init(
                shard: ShardIndex(0), chunks: chunks.map(ChunkIndex.init),
                tree: ReductionTree(leafCount: leafCount),
                checkpointEvery: checkpointEvery, reportInterval: .milliseconds(20),
                ownPeer: ownPeer))
        _ = machine.step(
            .restored(step: Step(step), placement: Placement(1), stepLimit: Step(stepLimit)),
            now: .zero)
        return machine
    }

    private func contribution(
        _ step: Int, _ chunk: Int, _ node: TreeNode, samples: Int = 8, placement: Int = 1
    ) -> ShardMachine.Event {
        .contribution(
            .init(
                placement: Placement(placement), step: Step(step), chunk: ChunkIndex(chunk),
                node: node,
                totals: ContributionTotals(
                    sampleCount: samples, lossSum: 1, correctCount: 1, recordDigest: 7,
                    weightSum: 1.25),
                peer: PeerIdentity(rawValue: "worker"), digest: 0))
    }

    private func progress(_ actions: [Action]) -> [Progress] {
        actions.compactMap {
            if case .report(.progress(let progress)) = $0 { progress } else { nil }
        }
    }

    /// Every sent chunk as "chunk@version>peers".
    private func sends(_ actions: [Action]) -> [String] {
        actions.compactMap { action in
            guard case .send = action else { return nil }
            let fields = Rendering.named(action)
            return "\(fields["chunk"] ?? "")@\(fields["version"] ?? "")>\(fields["to"] ?? "")"
        }
    }

    private func snapshots(_ actions: [Action]) -> [Action] {
        actions.filter { if case .snapshot = $0 { true } else { false } }
    }

    /// Gives the shard all contributions of one step to its chunks, and returns the resulting
    /// actions.
    private func finish(
        _ step: Int, _ machine: inout ShardMachine, at now: Moment = .zero
    ) -> [Action] {
        machine.configuration.chunks.flatMap {
            machine.step(contribution(step, $0.value, machine.configuration.tree.root), now: now)
        }
    }

    @Test func theRootLeadsToUpdateAndSend() {
        var machine = machine()
        _ = machine.step(.fetch(peer: worker, step: Step(0), chunk: nil), now: .zero)
        #expect(
            machine.step(contribution(0, 4, .leaf(1), samples: 3), now: .zero)
                == [.keep(chunk: ChunkIndex(4), node: .leaf(1), replaced: [])])
        let actions = machine.step(contribution(0, 4, .leaf(0), samples: 5), now: .zero)
        #expect(actions.first == .keep(chunk: ChunkIndex(4), node: .leaf(0), replaced: []))
        guard case .add(ChunkIndex(4), let merge) = actions.dropFirst().first else {
            Issue.record("no addition in \(actions)")
            return
        }
        #expect(merge.left == .leaf(0) && merge.right == .leaf(1))
        #expect(merge.parent == machine.configuration.tree.root)
        #expect(
            actions.dropFirst(2).first
                == .update(chunk: ChunkIndex(4), step: Step(0), sampleCount: 8, weightSum: 2.5))
        #expect(sends(Array(actions.dropFirst(3))) == ["4@1>[worker-a]"])
        // The other chunk has no root yet.
        #expect(machine.version == Step(0))
    }

    @Test func aWholeRootNeedsNoAddition() {
        var machine = machine(leafCount: 5, chunks: [0])
        let actions = machine.step(contribution(0, 0, TreeNode(level: 3, index: 0)), now: .zero)
        #expect(
            actions.first
                == .keep(chunk: ChunkIndex(0), node: TreeNode(level: 3, index: 0), replaced: []))
        #expect(
            actions.contains(
                .update(chunk: ChunkIndex(0), step: Step(0), sampleCount: 8, weightSum: 1.25)))
        #expect(!actions.contains { if case .add = $0 { true } else { false } })
        #expect(machine.version == Step(1))
    }

    /// A node without a sibling is kept under its canonical name.
    @Test func nodesAreKeptUnderTheirCanonicalName() {
        var machine = machine(leafCount: 5, chunks: [0])
        let four = TreeNode(level: 2, index: 1)
        #expect(
            machine.step(contribution(0, 0, .leaf(4)), now: .zero)
                == [.keep(chunk: ChunkIndex(0), node: four, replaced: [])])
        #expect(machine.step(contribution(0, 0, four), now: .zero) == [.drop(.covered)])
    }

    @Test func refusalsHaveTheirReason() {
        var machine = machine(at: 3)
        let leaf = TreeNode.leaf(0)
        func refusal(_ event: ShardMachine.Event) -> [Action] { machine.step(event, now: .zero) }
        #expect(refusal(contribution(2, 4, leaf)) == [.drop(.stale)])
        #expect(refusal(contribution(4, 4, leaf)) == [.drop(.early)])
        #expect(refusal(contribution(Int.max, 4, leaf)) == [.drop(.early)])
        #expect(refusal(contribution(-1, 4, leaf)) == [.drop(.stale)])
        #expect(refusal(contribution(3, 3, leaf)) == [.drop(.foreignChunk)])
        #expect(refusal(contribution(3, -1, leaf)) == [.drop(.foreignChunk)])
        #expect(refusal(contribution(3, 4, .leaf(2))) == [.drop(.foreignNode)])
        #expect(refusal(contribution(3, 4, .leaf(-1))) == [.drop(.foreignNode)])
        let far = TreeNode(level: 31, index: Int(UInt32.max))
        #expect(refusal(contribution(3, 4, far)) == [.drop(.foreignNode)])
        #expect(refusal(contribution(3, 4, leaf)).count == 1)
        #expect(refusal(contribution(3, 4, leaf)) == [.drop(.covered)])
    }

    @Test func beforeItsStateIsHereAShardTakesNothing() {
        var machine = ShardMachine(
            .init(
                shard: ShardIndex(0), chunks: [ChunkIndex(0)], tree: ReductionTree(leafCount: 1),
                checkpointEvery: 0))
        #expect(machine.version == nil)
        #expect(machine.step(contribution(0, 0, .leaf(0)), now: .zero) == [.drop(.notReady)])
        // A peer that asked is served once the state is here.
        #expect(machine.step(.fetch(peer: worker, step: Step(0), chunk: nil), now: .zero) == [])
    }

    @Test func restoringSaysThatItIsReady() {
        var machine = machine()
        let actions = machine.step(
            .restored(step: Step(6), placement: Placement(2), stepLimit: Step(9)), now: .zero)
        let ready = ShardReady(shard: ShardIndex(0), placement: Placement(2), step: Step(6))
        #expect(actions.contains(.report(.shardReady(ready))))
        #expect(machine.version == Step(6))
        #expect(
            machine.step(contribution(6, 4, .leaf(0)), now: .zero) == [.drop(.formerPlacement)])
        #expect(
            machine.step(contribution(5, 4, .leaf(0), placement: 2), now: .zero)
                == [.drop(.stale)])
    }

    @Test func aLateWorkerGetsThePreviousVersionToo() {
        var machine = machine()
        _ = finish(0, &machine)
        _ = finish(1, &machine)
        _ = machine.step(contribution(2, 4, machine.configuration.tree.root), now: .zero)
        #expect(
            sends(machine.step(.fetch(peer: worker, step: Step(2), chunk: nil), now: .zero))
                == ["4@2>[worker-a]", "4@3>[worker-a]", "5@2>[worker-a]"])
        // Weights older than the previous version are not kept.
        #expect(
            sends(machine.step(.fetch(peer: worker, step: Step(0), chunk: nil), now: .zero))
                == ["4@2>[worker-a]", "4@3>[worker-a]", "5@1>[worker-a]", "5@2>[worker-a]"])
    }

    /// Nothing precedes the restored version.
    @Test func afterRestoringThereIsNoPreviousVersion() {
        var machine = machine(at: 5)
        #expect(
            sends(machine.step(.fetch(peer: worker, step: Step(0), chunk: nil), now: .zero))
                == ["4@5>[worker-a]", "5@5>[worker-a]"])
    }

    @Test func subscribersAreServedInOrderUntilTheyLeave() {
        var machine = machine(chunks: [0])
        _ = machine.step(.fetch(peer: other, step: Step(0), chunk: nil), now: .zero)
        _ = machine.step(.fetch(peer: worker, step: Step(0), chunk: nil), now: .zero)
        _ = machine.step(.fetch(peer: worker, step: Step(0), chunk: nil), now: .zero)
        #expect(sends(finish(0, &machine)) == ["0@1>[worker-a, worker-b]"])
        _ = machine.step(.unsubscribe(peer: other), now: .zero)
        #expect(sends(finish(1, &machine)) == ["0@2>[worker-a]"])
    }

    /// A worker in the shard's own process is served last: once served, it takes the core that
    /// serves the others.
    @Test func thisProcessesOwnWorkerIsServedLast() {
        var machine = machine(chunks: [0, 1], ownPeer: worker)
        let third = PeerIdentity(rawValue: "worker-c")
        _ = machine.step(.fetch(peer: worker, step: Step(0), chunk: nil), now: .zero)
        for peer in [third, other] {
            _ = machine.step(.fetch(peer: peer, step: Step(0), chunk: ChunkIndex(1)), now: .zero)
        }
        #expect(
            sends(finish(0, &machine)) == ["0@1>[worker-a]", "1@1>[worker-b, worker-c, worker-a]"])
        _ = machine.step(.unsubscribe(peer: worker), now: .zero)
        #expect(sends(finish(1, &machine)) == ["0@2>[]", "1@2>[worker-b, worker-c]"])
    }

    @Test func progressIsReportedAtMostOnceInAnInterval() {
        var machine = machine()
        let first = progress(finish(0, &machine, at: .milliseconds(1)))
        #expect(first.map(\.step) == [Step(1)])
        #expect(first.first?.reports.map(\.step) == [Step(0)])
        #expect(first.first?.reports.first?.sampleCount == 8)
        for step in 1..<5 {
            #expect(progress(finish(step, &machine, at: .milliseconds(1 + step))) == [])
        }
        #expect(machine.nextDeadline == .milliseconds(21))
        #expect(progress(machine.step(.tick, now: .milliseconds(20))) == [])
        let second = progress(machine.step(.tick, now: .milliseconds(21)))
        #expect(second.map(\.step) == [Step(5)])
        #expect(second.flatMap(\.reports).map(\.step.value).suffix(4) == [1, 2, 3, 4])
        #expect(progress(machine.step(.tick, now: .milliseconds(60))) == [])
    }

    @Test func theStepLimitIsReportedAtOnce() {
        var machine = machine(stepLimit: 2)
        _ = finish(0, &machine, at: .milliseconds(1))
        let atLimit = progress(finish(1, &machine, at: .milliseconds(2)))
        #expect(atLimit.map(\.step) == [Step(2)])
        #expect(atLimit.first?.reports.last?.step == Step(1))
    }

    @Test func snapshotsAreTakenAtMultiples() {
        var machine = machine(checkpointEvery: 3)
        var taken: [Action] = []
        for step in 0..<7 { taken += snapshots(finish(step, &machine)) }
        #expect(
            taken == [
                .snapshot(chunk: ChunkIndex(4), step: Step(3)),
                .snapshot(chunk: ChunkIndex(5), step: Step(3)),
                .snapshot(chunk: ChunkIndex(4), step: Step(6)),
                .snapshot(chunk: ChunkIndex(5), step: Step(6)),
            ])
    }

    @Test func aSnapshotIsTakenOnRequestWhereAllChunksRest() {
        var machine = machine()
        _ = finish(0, &machine)
        #expect(
            snapshots(machine.step(.snapshot(Step(1)), now: .zero))
                == [
                    .snapshot(chunk: ChunkIndex(4), step: Step(1)),
                    .snapshot(chunk: ChunkIndex(5), step: Step(1)),
                ])
        #expect(snapshots(machine.step(.snapshot(Step(0)), now: .zero)) == [])
        _ = machine.step(contribution(1, 4, machine.configuration.tree.root), now: .zero)
        #expect(snapshots(machine.step(.snapshot(Step(1)), now: .zero)) == [])
        #expect(snapshots(machine.step(.snapshot(Step(2)), now: .zero)) == [])
    }
}
