import ClusterProtocol
import TestSupport
import Testing

/// Chunks that leave before their node is whole.
@Suite struct EarlyChunksTests {
    private static let plan = SlicePlan(parameterCount: 64, shardCount: 1, chunkElementCount: 16)
    private static let tree = ReductionTree(leafCount: 2)

    private static func worker() -> WorkerMachine {
        var machine = WorkerMachine(
            .init(
                identity: PeerIdentity(rawValue: "worker-a"), tree: tree, plan: plan,
                retryInterval: .seconds(100)))
        let placement = ShardPlacement(
            shard: ShardIndex(0), host: PeerIdentity(rawValue: "server-a"), endpoint: "ipc://a")
        let assignment = Assignment(
            generation: Generation(1), virtualWorkers: [VirtualWorkerIndex(0)], stepLimit: Step(10),
            shards: [placement], placement: Placement(3), instructionSet: "generic")
        _ = machine.step(.assignment(assignment), now: .zero)
        for chunk in plan.chunkIndices {
            _ = machine.step(
                .weights(
                    shard: ShardIndex(0), chunk: chunk, version: Step(0), placement: Placement(3)),
                now: .zero)
        }
        return machine
    }

    private static func chunks(_ first: Int, _ end: Int) -> Range<ChunkIndex> {
        ChunkIndex(first)..<ChunkIndex(end)
    }

    @Test func chunksAreSentWhileTheNodeIsPending() {
        var machine = Self.worker()
        let step = Step(0)
        let node = TreeNode.leaf(0)
        let (early, last) = (Self.chunks(0, 2), Self.chunks(2, 4))
        func contribute(_ chunks: Range<ChunkIndex>) -> WorkerMachine.Action {
            .contribute(
                .init(
                    step: step, node: node, chunks: chunks, shards: [ShardIndex(0)],
                    placement: Placement(3), isStraight: true))
        }
        #expect(
            machine.step(.chunksComputed(step: step, node: node, chunks: last), now: .zero)
                == [contribute(last)])
        // Chunks of another step, or of a node that was not asked for, are not sent.
        #expect(
            machine.step(.chunksComputed(step: step.next, node: node, chunks: last), now: .zero)
                .isEmpty)
        #expect(
            machine.step(.chunksComputed(step: step, node: .leaf(1), chunks: last), now: .zero)
                .isEmpty)
        let whole = machine.step(.nodeComputed(step: step, node: node), now: .zero)
        #expect(whole.contains(contribute(early)))
        #expect(
            machine.step(.chunksComputed(step: step, node: node, chunks: early), now: .zero)
                .isEmpty)
    }

    /// Contributions from before the shards were put back are dropped, although their bits would be
    /// the same.
    @Test func contributionsOfAnotherPlacementAreDropped() {
        var host = ShardHostMachine(
            .init(
                tree: Self.tree, plan: Self.plan, partCount: 1, checkpointEvery: 0,
                retryInterval: .seconds(1), audit: nil))
        let shard = ShardIndex(0)
        _ = host.step(
            .host(
                HostShards(
                    shards: [shard], shardCount: 1, placement: Placement(3), step: Step(0),
                    stepLimit: Step(10))), now: .zero)
        for chunk in Self.plan.chunkIndices {
            let part = ShardHostMachine.StatePart(
                shard: shard, chunk: chunk, part: 0, step: Step(0), placement: Placement(3))
            _ = host.step(.state(part), now: .zero)
        }
        func contribute(_ placement: Int) -> [ShardHostMachine.Action] {
            host.step(
                .shard(
                    shard,
                    .contribution(
                        .init(
                            placement: Placement(placement), step: Step(0), chunk: ChunkIndex(0),
                            node: .leaf(0),
                            totals: ContributionTotals(sampleCount: 4),
                            peer: PeerIdentity(rawValue: "worker-1"), digest: 0))), now: .zero)
        }
        #expect(contribute(2) == [.shard(shard, .drop(.formerPlacement))])
        #expect(
            contribute(3) == [
                .shard(shard, .keep(chunk: ChunkIndex(0), node: .leaf(0), replaced: []))
            ])
        #expect(contribute(3) == [.shard(shard, .drop(.covered))])
    }
}
