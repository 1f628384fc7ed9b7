import ClusterProtocol

/// The machines of one worker that hosts shards and relays, without sockets, threads and floats.
struct MemberMachines {
    private var member = MemberMachine(
        .init(
            heartbeatInterval: .seconds(1), coordinatorTimeout: .seconds(60),
            connectTimeout: .seconds(30)))
    private var shards: ShardHostMachine
    private var relay = RelayMachine(tree: Cluster.tree, audit: Cluster.audit)
    private var now = Moment.zero
    private(set) var heardCount = 0
    /// An action that a runtime could not carry out.
    private(set) var flaw: ReaderFlaw?

    /// - Parameter needsNorm: whether updates wait for the norm of the gradient.
    init(needsNorm: Bool = false) {
        shards = ShardHostMachine(
            .init(
                tree: Cluster.tree, plan: Cluster.plan, partCount: 1, checkpointEvery: 2,
                retryInterval: .seconds(1), audit: Cluster.audit, ownPeer: Cluster.workers[0],
                needsNorm: needsNorm))
        take(member.step(.started(Cluster.hello(Cluster.workers[0])), now: now))
    }

    mutating func pass(_ time: Duration) {
        now += time
        take(
            member.step(
                .tick(Heartbeat(generation: member.generation, step: member.currentStep)),
                now: now))
        take(shards.step(.everyShard(.tick), now: now))
        _ = relay.step(.tick, now: now)
    }

    mutating func hear(_ message: ControlMessage) {
        heardCount += 1
        take(member.step(.control(message), now: now))
    }

    /// Does with a message of this header what `ShardLoop` and `MemberLoop` do.
    mutating func hear(_ header: BulkHeader, from peer: PeerIdentity) {
        switch header.kind {
        case .contribution:
            guard isPlausible(header) else { return }
            let contribution = ShardMachine.Contribution(
                placement: header.placement, step: header.step, chunk: header.chunk,
                node: header.node, totals: header.totals, peer: peer,
                digest: header.totals.recordDigest)
            take(shards.step(.shard(header.shard, .contribution(contribution)), now: now))
        case .combine:
            guard isPlausible(header) else { return }
            _ = relay.step(
                .contribution(
                    placement: header.placement, step: header.step, chunk: header.chunk,
                    node: header.node, totals: header.totals),
                now: now)
        case .follow:
            guard Cluster.plan.contains(header.chunk) else { return }
            _ = relay.step(
                .follow(peer: peer, chunk: header.chunk, version: header.step), now: now)
        case .inquiry:
            take(
                shards.step(
                    .shard(header.shard, .inquiry(peer: peer, step: header.step)), now: now))
        case .fetch, .fetchChunk:
            let chunk = header.kind == .fetchChunk ? header.chunk : nil
            take(
                shards.step(
                    .shard(header.shard, .fetch(peer: peer, step: header.step, chunk: chunk)),
                    now: now))
        case .unsubscribe:
            take(shards.step(.everyShard(.unsubscribe(peer: peer)), now: now))
            _ = relay.step(.unsubscribe(peer: peer), now: now)
        case .state:
            take(
                shards.step(
                    .state(
                        .init(
                            shard: header.shard, chunk: header.chunk, part: header.part,
                            step: header.step, placement: header.placement)),
                    now: now))
        case .weights: hearWeights(header)
        case .squares:
            take(
                shards.step(
                    .squares(shard: header.shard, step: header.step, placement: header.placement),
                    now: now))
        case .fetchSquares:
            take(
                shards.step(
                    .squaresWanted(
                        by: header.shard, step: header.step, placement: header.placement),
                    now: now))
        case .missing:
            let missing = [header.chunk.value, header.part, header.node.index]
                .map(VirtualWorkerIndex.init)
            take(
                member.step(
                    .work(.missing(step: header.step, virtualWorkers: missing)), now: now))
        }
    }

    private mutating func hearWeights(_ header: BulkHeader) {
        guard Cluster.plan.contains(header.chunk) else { return }
        _ = relay.step(
            .weights(chunk: header.chunk, version: header.step, placement: header.placement),
            now: now)
        _ = member.wants(
            shard: header.shard, chunk: header.chunk, version: header.step,
            placement: header.placement)
        take(
            member.step(
                .work(
                    .weights(
                        shard: header.shard, chunk: header.chunk, version: header.step,
                        placement: header.placement)),
                now: now))
    }

    /// Whether the count of records fits the node, as the runtime checks too.
    private func isPlausible(_ header: BulkHeader) -> Bool {
        Cluster.tree.contains(header.node)
            && header.totals.sampleCount == Cluster.tree.virtualWorkers(below: header.node).count
            && header.totals.weightSum == Double(header.totals.sampleCount)
    }

    private mutating func take(_ actions: [MemberMachine.Action]) {
        for action in actions {
            switch action {
            case .prepare:
                let run = WorkerMachine.Run(
                    identity: Cluster.workers[0], tree: Cluster.tree, plan: Cluster.plan,
                    retryInterval: .seconds(1), threadCount: 2, audit: Cluster.audit)
                take(
                    member.step(
                        .prepared(Cluster.ready, run, heartbeatInterval: .seconds(1)), now: now))
            case .shards(let event): take(shards.step(event, now: now))
            case .work(.compute(let step, let nodes)):
                for node in nodes where !Cluster.tree.contains(node) {
                    flaw = ReaderFlaw("the worker is to compute \(node)")
                }
                for node in nodes.prefix(8) {
                    let event = WorkerMachine.Event.nodeComputed(step: step, node: node)
                    take(member.step(.work(event), now: now))
                }
            case .work(.fetch(let shard, _, let version)):
                answer(version, Cluster.plan.chunks(of: shard))
            case .work(.follow(let chunk, let version)):
                answer(version, Cluster.plan.chunks.filter { $0.index == chunk })
            case .work(.connect(_, let routes, _)):
                _ = routes?.relays(chunkCount: Cluster.plan.chunks.count)
                _ = relay.step(.configured(level: routes?.level), now: now)
            default: break
            }
        }
    }

    /// Sends the first weights when they are asked for; later ones come from other inputs.
    private mutating func answer(_ version: Step, _ chunks: [SlicePlan.Chunk]) {
        guard version == Step(0), member.currentStep == Step(0) else { return }
        for chunk in chunks {
            take(
                member.step(
                    .work(
                        .weights(
                            shard: chunk.shard, chunk: chunk.index, version: version,
                            placement: member.sendingPlacement)),
                    now: now))
        }
    }

    private mutating func take(_ actions: [ShardHostMachine.Action]) {
        for case .shard(_, .report(let message)) in actions {
            take(member.step(.report(message), now: now))
        }
    }
}
