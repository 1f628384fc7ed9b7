import ClusterProtocol
import CounterRandom

/// Carries out the decisions of the state machines.
extension Simulation {
    // MARK: Coordinator

    mutating func actOnCoordinator(_ event: CoordinatorMachine.Event) {
        guard outcome == nil, violation == nil, !isCoordinatorDown else { return }
        let generation = coordinator.generation
        let begun = ContinuousClock.now
        let actions = coordinator.step(event, now: now)
        traffic.count(event, actions, taking: ContinuousClock.now - begun)
        if coordinator.generation < generation { violation = "the generation fell" }
        let isJournaled = actions.contains { if case .journal = $0 { true } else { false } }
        let isLast = isToDieInAction && isJournaled && now < settings.faults.calmAfter
        let last = isLast ? random.next(below: actions.count) : actions.count
        for action in actions.prefix(last) {
            for action in gate.pass(action) { carryOut(action) }
        }
        guard isLast else { return }
        // The crash interrupts one action. A journal line is then written up to any byte; any other
        // action is not done at all. While earlier lines still wait for the disk, nothing of this
        // line is written, since it would come after them.
        if case .journal(let entry) = actions[last], unwritten.isEmpty {
            let byteCount = random.next(below: disk.nextLineByteCount + 1)
            disk.append(entry, byteCount: byteCount)
        }
        crashCoordinator()
    }

    private mutating func carryOut(_ action: CoordinatorMachine.Action) {
        switch action {
        case .send(.alive(var alive), let peer):
            if diskStallsUntil <= now { durableCount = recorded }
            alive.recorded = min(alive.recorded, Step(durableCount))
            send(.control(.alive(alive)), from: coordinatorIdentity, to: peer)
        case .send(let message, let peer):
            send(.control(message), from: coordinatorIdentity, to: peer)
        case .record(let report): record(report)
        case .note(let note): self.note("\(note)")
        case .evaluated(let summary): check(summary)
        case .end(let outcome): end(outcome)
        case .journal(let entry): write(entry)
        case .writeCheckpoint(let step):
            // The ledger is written before the checkpoint, so it waits for the disk with it.
            if diskStallsUntil <= now { durableCount = recorded }
            if step.value > recorded { violation = "checkpoint \(step) is ahead of the ledger" }
            writing.insert(step)
            queue.insert(.written(step, incarnation: incarnation), at: now + delay())
        case .began: break
        }
    }

    /// Writes a journal entry: at once while the disk answers, otherwise when the stall ends.
    private mutating func write(_ entry: JournalEntry) {
        guard diskStallsUntil > now || !unwritten.isEmpty else {
            disk.append(entry)
            for action in gate.becameDurable(gate.lineCount) { carryOut(action) }
            return
        }
        unwritten.append(entry)
        queue.insert(.durable(incarnation: incarnation), at: max(now, diskStallsUntil))
    }

    mutating func becomeDurable(_ incarnation: Int, _ happening: Happening) {
        guard incarnation == self.incarnation, !unwritten.isEmpty else { return }
        if diskStallsUntil > now { return queue.insert(happening, at: diskStallsUntil) }
        disk.append(unwritten.removeFirst())
        durableCount = recorded
        helds += gate.heldCount
        for action in gate.becameDurable(gate.lineCount - unwritten.count) { carryOut(action) }
    }

    /// Handles a bulk message to the coordinator: a shard's request for the state of a checkpoint,
    /// or one part of a snapshot.
    mutating func takeState(_ header: BulkHeader, _ payload: [Float], from source: PeerIdentity) {
        if header.kind == .fetch {
            guard let state = disk.checkpoint(header.step) else {
                violation = "\(source) asks for \(header.step), of which there is no checkpoint"
                return
            }
            for chunk in problem.plan.chunks(of: header.shard) {
                for part in 0..<SimulatedProblem.partCount {
                    var reply = BulkHeader(kind: .state, step: header.step, shard: header.shard)
                    reply.chunk = chunk.index
                    reply.part = part
                    reply.placement = header.placement
                    send(
                        .bulk(reply, state[chunk.index]?[part] ?? []), from: coordinatorIdentity,
                        to: source)
                }
            }
            return
        }
        guard disk.checkpoint(header.step) == nil, arrived[header.step] == nil else { return }
        snapshots[header.step, default: [:]][header.chunk, default: [:]][header.part] = payload
        let parts = snapshots[header.step]?.values.reduce(0) { $0 + $1.count } ?? 0
        guard parts == problem.plan.chunks.count * SimulatedProblem.partCount,
            let whole = snapshots.removeValue(forKey: header.step)
        else { return }
        arrived[header.step] = whole.mapValues { parts in
            (0..<SimulatedProblem.partCount).map { parts[$0] ?? [] }
        }
        actOnCoordinator(.snapshotArrived(header.step))
    }

    // MARK: Members

    mutating func actOnMember(_ peer: PeerIdentity, _ event: MemberMachine.Event) {
        guard let actions = members[peer]?.member.step(event, now: now) else { return }
        for action in actions { act(action, peer) }
    }

    private mutating func act(_ action: MemberMachine.Action, _ peer: PeerIdentity) {
        switch action {
        case .send(let message): send(.control(message), from: peer, to: coordinatorIdentity)
        case .prepare:
            let run = WorkerMachine.Run(
                identity: peer, tree: problem.tree, plan: problem.plan, retryInterval: .milliseconds(500),
                audit: audit)
            let ready = Ready(
                dataFingerprint: members[peer]?.role == .worker ? "data" : nil,
                modelFingerprint: "model")
            actOnMember(
                peer, .prepared(ready, run, heartbeatInterval: settings.heartbeatInterval))
        case .useDataEndpoint: break
        case .work(let action): act(action, peer)
        case .shards(let event): actOnShards(peer, event)
        case .note(let note): self.note("\(peer): \(note)")
        case .end(let shutdown):
            note("\(peer) ends: \(shutdown.reason)")
            if let role = members.removeValue(forKey: peer)?.role, shutdown.exitCode == ExitCode.internalError
            {
                queue.insert(.start(role), at: now + .milliseconds(1))
            }
        }
    }

    private mutating func act(_ action: WorkerMachine.Action, _ peer: PeerIdentity) {
        switch action {
        case .tell, .useInstructionSet, .store: break
        case .assigned(let assignment):
            if let last = members[peer]?.lastGeneration, assignment.generation <= last {
                violation = "\(peer) took generation \(assignment.generation) after \(last)"
            }
            members[peer]?.lastGeneration = assignment.generation
        case .connect(let placements, let routes, let isRerouted):
            connect(peer, placements, routes, isRerouted: isRerouted)
        case .fetch(let shard, let chunk, let version):
            guard let host = members[peer]?.hosts[shard] else { return }
            var header = BulkHeader(
                kind: chunk == nil ? .fetch : .fetchChunk, step: version, shard: shard)
            header.chunk = chunk ?? ChunkIndex(0)
            send(.bulk(header, []), from: peer, to: host)
        case .follow(let chunk, let version):
            guard let relay = members[peer]?.routes?.source(ofChunk: chunk) else { return }
            var header = BulkHeader(
                kind: .follow, step: version, shard: problem.plan[chunk].shard)
            header.chunk = chunk
            send(.bulk(header, []), from: peer, to: relay.identity)
        case .inquire(let shard, let step):
            guard let host = members[peer]?.hosts[shard] else { return }
            send(
                .bulk(BulkHeader(kind: .inquiry, step: step, shard: shard), []), from: peer, to: host)
        case .abandonWeights(let version): members[peer]?.versions[version] = nil
        case .adopt(let step, _):
            guard let weights = members[peer]?.versions.removeValue(forKey: step) else { return }
            if weights != oracle[step.value] { violation = "\(peer) adopted a wrong \(step)" }
            let newer = members[peer]?.versions.filter { $0.key > step }
            members[peer]?.versions = newer ?? [:]
            members[peer]?.current = (step, weights)
            members[peer]?.computed = [:]
        case .reset:
            members[peer]?.versions = [:]
            members[peer]?.current = nil
            members[peer]?.computed = [:]
        case .compute(let step, let nodes):
            let time = (.milliseconds(2) + delay()) * (members[peer]?.slowness ?? 1)
            queue.insert(.computed(peer, step: step, nodes: nodes), at: now + time)
        case .contribute(let contribution): contribute(contribution, from: peer)
        case .evaluate(let evaluate):
            queue.insert(.evaluated(peer, evaluate), at: now + .milliseconds(3) + delay())
        case .retried:
            retries += 1
        }
    }

    private mutating func connect(
        _ peer: PeerIdentity, _ placements: [ShardPlacement], _ routes: RelayRoutes?,
        isRerouted: Bool
    ) {
        guard let member = members[peer] else { return }
        if isRerouted {
            let relays = member.routes?.relays(chunkCount: problem.plan.chunks.count) ?? []
            let former = Set(member.hosts.values).union(relays.map(\.identity))
            for other in former.sorted() {
                let header = BulkHeader(kind: .unsubscribe, step: Step(0), shard: ShardIndex(0))
                send(.bulk(header, []), from: peer, to: other)
            }
        }
        members[peer]?.routes = routes
        members[peer]?.hosts = Dictionary(
            uniqueKeysWithValues: placements.map { ($0.shard, $0.host) })
        actOnRelay(peer, .configured(level: routes?.level))
    }

    mutating func finishCompute(_ peer: PeerIdentity, _ step: Step, _ nodes: [TreeNode]) {
        guard let current = members[peer]?.current, current.step == step else { return }
        for node in nodes {
            var (sum, totals) = problem.node(node, step: step, weights: current.weights)
            let first = VirtualWorkerIndex(0)
            if isSpoiled(step), problem.tree.virtualWorkers(below: node).contains(first) {
                totals.lossSum = .nan
                totals.markFlaw(of: first)
            }
            if Double(random.nextUniform()) < settings.faults.bitFlipProbability {
                let index = random.next(below: sum.count)
                let bit = UInt32(random.next(below: 23))
                sum[index] = Float(bitPattern: sum[index].bitPattern ^ 1 << bit)
                flips += 1
            }
            members[peer]?.computed[node] = (sum, totals)
            // Every other sum is sent in two parts, the last chunks first.
            let count = problem.plan.chunks.count
            if (step.value + node.index).isMultiple(of: 2), count > 1 {
                let chunks = ChunkIndex(count / 2)..<ChunkIndex(count)
                actOnMember(
                    peer, .work(.chunksComputed(step: step, node: node, chunks: chunks)))
            }
            actOnMember(peer, .work(.nodeComputed(step: step, node: node)))
        }
    }

    mutating func finishEvaluation(_ peer: PeerIdentity, _ evaluate: Evaluate) {
        guard let current = members[peer]?.current, current.step == evaluate.step else { return }
        let results = evaluate.chunks.map {
            problem.evaluationResult($0, weights: current.weights, settings)
        }
        actOnMember(peer, .work(.evaluated(Evaluated(step: evaluate.step, results: results))))
    }

    private mutating func contribute(
        _ contribution: WorkerMachine.Contribution, from peer: PeerIdentity
    ) {
        guard let member = members[peer], let (values, totals) = member.computed[contribution.node]
        else { return }
        for shard in contribution.shards {
            guard let host = member.hosts[shard] else { continue }
            for chunk in problem.plan.chunks(of: shard)
            where contribution.chunks.contains(chunk.index) {
                var header = BulkHeader(
                    kind: .contribution, step: contribution.step, shard: shard)
                header.chunk = chunk.index
                header.node = contribution.node
                header.placement = contribution.placement
                header.totals = totals
                let relay =
                    contribution.isStraight
                    ? nil
                    : member.routes?.relay(of: contribution.node, chunk: chunk.index)?.identity
                if relay != nil { header.kind = .combine }
                send(.bulk(header, Array(values[chunk.range])), from: peer, to: relay ?? host)
            }
        }
    }

    mutating func takeBulk(
        _ header: BulkHeader, _ payload: [Float], from source: PeerIdentity, at peer: PeerIdentity
    ) {
        switch header.kind {
        case .weights:
            takeWeights(header, payload, at: peer)
        case .contribution:
            let contribution = ShardMachine.Contribution(
                placement: header.placement, step: header.step, chunk: header.chunk,
                node: header.node, totals: header.totals, peer: source,
                digest: payload.reduce(7) { mix64($0 ^ UInt64($1.bitPattern)) })
            actOnShards(
                peer, .shard(header.shard, .contribution(contribution)), payload: payload)
        case .inquiry:
            actOnShards(
                peer, .shard(header.shard, .inquiry(peer: source, step: header.step)))
        case .missing:
            helps += 1
            let missing = payload.map { VirtualWorkerIndex(Int($0)) }
            actOnMember(
                peer, .work(.missing(step: header.step, virtualWorkers: missing)))
        case .fetch, .fetchChunk:
            let chunk = header.kind == .fetchChunk ? header.chunk : nil
            actOnShards(
                peer,
                .shard(header.shard, .fetch(peer: source, step: header.step, chunk: chunk)))
        case .state:
            let part = ShardHostMachine.StatePart(
                shard: header.shard, chunk: header.chunk, part: header.part, step: header.step,
                placement: header.placement)
            actOnShards(peer, .state(part), payload: payload)
        case .squares:
            actOnShards(
                peer,
                .squares(shard: header.shard, step: header.step, placement: header.placement),
                payload: payload)
        case .fetchSquares:
            actOnShards(
                peer,
                .squaresWanted(
                    by: header.shard, step: header.step, placement: header.placement))
        case .unsubscribe:
            actOnShards(peer, .everyShard(.unsubscribe(peer: source)))
            actOnRelay(peer, .unsubscribe(peer: source))
        case .combine:
            let event = RelayMachine.Event.contribution(
                placement: header.placement, step: header.step, chunk: header.chunk,
                node: header.node, totals: header.totals)
            actOnRelay(peer, event, header, payload)
        case .follow:
            actOnRelay(
                peer, .follow(peer: source, chunk: header.chunk, version: header.step))
        }
    }

    private mutating func takeWeights(
        _ header: BulkHeader, _ payload: [Float], at peer: PeerIdentity
    ) {
        let event = WorkerMachine.Event.weights(
            shard: header.shard, chunk: header.chunk, version: header.step,
            placement: header.placement)
        guard let actions = members[peer]?.member.step(.work(event), now: now) else { return }
        if actions.contains(.work(.store(chunk: header.chunk, version: header.step))) {
            let empty = [Float](repeating: .nan, count: problem.plan.parameterCount)
            let range = problem.plan[header.chunk].range
            members[peer]?.versions[header.step, default: empty].replaceSubrange(range, with: payload)
        }
        for action in actions { act(action, peer) }
        guard let member = members[peer], header.placement == member.member.sendingPlacement,
            member.routes?.isRelay(ofChunk: header.chunk) == true
        else { return }
        actOnRelay(
            peer,
            .weights(chunk: header.chunk, version: header.step, placement: header.placement),
            header, payload)
    }

    // MARK: Relays

    mutating func actOnRelay(
        _ peer: PeerIdentity, _ event: RelayMachine.Event,
        _ header: BulkHeader = BulkHeader(kind: .combine, step: Step(0), shard: ShardIndex(0)),
        _ payload: [Float] = []
    ) {
        guard let actions = members[peer]?.relay.step(event, now: now) else { return }
        for action in actions {
            switch action {
            case .keep(let slot, let node, let replaced):
                members[peer]?.relaySums[slot, default: TreeSums()].keep(
                    payload, node: node, replaced: replaced)
            case .add(let slot, let merge):
                let isAdded = members[peer]?.relaySums[slot]?.add(merge, by: SimulatedProblem.sum)
                guard isAdded == true else {
                    violation = "\(peer) was to add for others what it does not have"
                    return
                }
                relayedSums += 1
            case .passOn(let slot, let placement, let step, let node, let totals):
                guard let sum = members[peer]?.relaySums[slot]?.remove(node) else {
                    violation = "\(peer) was to pass on what it does not have"
                    return
                }
                let shard = problem.plan[slot.chunk].shard
                var header = BulkHeader(kind: .contribution, step: step, shard: shard)
                header.chunk = slot.chunk
                header.node = node
                header.placement = placement
                header.totals = totals
                passOn(peer, header, sum)
            case .forward:
                var header = header
                header.kind = .contribution
                passOn(peer, header, payload)
            case .drop: break
            case .forget(let slot): members[peer]?.relaySums[slot] = nil
            case .forgetWeights: members[peer]?.relayWeights = [:]
            case .keepWeights(let chunk): members[peer]?.relayWeights[chunk] = payload
            case .sendWeights(let chunk, let version, let placement, let targets):
                let range = problem.plan[chunk].range
                guard let weights = members[peer]?.relayWeights[chunk],
                    weights == Array(oracle[version.value][range])
                else {
                    violation = "\(peer) cannot hand on version \(version) of chunk \(chunk)"
                    return
                }
                var header = BulkHeader(
                    kind: .weights, step: version, shard: problem.plan[chunk].shard)
                header.chunk = chunk
                header.placement = placement
                for target in targets { send(.bulk(header, weights), from: peer, to: target) }
            }
        }
    }

    private mutating func passOn(_ peer: PeerIdentity, _ header: BulkHeader, _ sum: [Float]) {
        guard let host = members[peer]?.hosts[header.shard] else { return }
        send(.bulk(header, sum), from: peer, to: host)
    }

    // MARK: Shards

    mutating func actOnShards(
        _ peer: PeerIdentity, _ event: ShardHostMachine.Event, payload: [Float] = []
    ) {
        guard let actions = members[peer]?.shards.step(event, now: now) else { return }
        for action in actions {
            switch action {
            case .fetchState(let shard, let step, let placement):
                var header = BulkHeader(kind: .fetch, step: step, shard: shard)
                header.placement = placement
                send(.bulk(header, []), from: peer, to: coordinatorIdentity)
            case .storeState(let chunk, let part, let step):
                let empty = [[Float]](repeating: [], count: SimulatedProblem.partCount)
                members[peer]?.chunkVersions[chunk] = step
                members[peer]?.state[chunk, default: empty][part] = payload
            case .clear:
                members[peer]?.state = [:]
                members[peer]?.chunkVersions = [:]
                members[peer]?.previous = [:]
                members[peer]?.sums = [:]
                members[peer]?.held = [:]
                let unknown = [Float](repeating: .nan, count: problem.plan.blockCount)
                members[peer]?.squares = [unknown, unknown]
            case .connect(let placements):
                members[peer]?.shardHosts = Set(placements.map(\.host))
            case .sendSquares(let shard, let step, let placement, let hosts):
                guard let blocks = blocks(of: shard), let member = members[peer] else { return }
                var header = BulkHeader(kind: .squares, step: step, shard: shard)
                header.placement = placement
                let squares = Array(member.squares[step.value & 1][blocks])
                tell(hosts, header, squares, from: peer)
            case .askSquares(let shard, let step, let placement, let hosts):
                squareQuestions += 1
                var header = BulkHeader(kind: .fetchSquares, step: step, shard: shard)
                header.placement = placement
                tell(hosts, header, [], from: peer)
            case .keepSquares(let shard, let step):
                guard let blocks = blocks(of: shard), blocks.count == payload.count else {
                    violation = "\(peer) was to keep squares of a wrong size"
                    return
                }
                members[peer]?.squares[step.value & 1].replaceSubrange(blocks, with: payload)
            case .drop: break
            case .shard(let shard, let action): act(action, shard, peer, payload)
            }
        }
    }

    private func blocks(of shard: ShardIndex) -> Range<Int>? {
        problem.plan.elements(of: shard).map { problem.plan.blocks(of: $0) }
    }

    /// Sends a message from one host of shards to others.
    private mutating func tell(
        _ hosts: [PeerIdentity], _ header: BulkHeader, _ payload: [Float], from peer: PeerIdentity
    ) {
        for host in hosts {
            guard members[peer]?.shardHosts.contains(host) == true else {
                violation = "\(peer) is not connected to \(host)"
                return
            }
            send(.bulk(header, payload), from: peer, to: host)
        }
    }

    /// Keeps the sums of squares of a chunk whose root is there.
    private mutating func measure(_ peer: PeerIdentity, _ chunk: ChunkIndex, _ step: Step) {
        guard let sum = members[peer]?.sums[chunk]?[problem.tree.root] else {
            violation = "\(peer) was to measure chunk \(chunk) without its sum"
            return
        }
        let blocks = problem.plan.blocks(of: problem.plan[chunk].range)
        members[peer]?.squares[step.value & 1].replaceSubrange(blocks, with: problem.squares(sum))
    }

    private mutating func act(
        _ action: ShardMachine.Action, _ shard: ShardIndex, _ peer: PeerIdentity, _ payload: [Float]
    ) {
        switch action {
        case .keep(let chunk, let node, let replaced):
            members[peer]?.sums[chunk, default: TreeSums()].keep(
                payload, node: node, replaced: replaced)
        case .hold(let chunk, let node, let source):
            members[peer]?.held[chunk, default: [:]][node, default: [:]][source] = payload
        case .keepHeld(let chunk, let node, let source, let replaced):
            guard let kept = members[peer]?.held[chunk]?.removeValue(forKey: node)?[source] else {
                violation = "\(peer) was to keep what it does not have"
                return
            }
            members[peer]?.sums[chunk, default: TreeSums()].keep(
                kept, node: node, replaced: replaced)
        case .drop: break
        case .add(let chunk, let merge):
            let isAdded = members[peer]?.sums[chunk]?.add(merge, by: SimulatedProblem.sum)
            if isAdded != true { violation = "\(peer) was to add what it does not have" }
        case .measure(let chunk, let step): measure(peer, chunk, step)
        case .update(let chunk, let step, _, let weightSum):
            update(peer, chunk, step, weightSum)
        case .send(let chunk, let version, let placement, let peers):
            sendWeights(peer, shard, chunk, version, placement, peers)
        case .tellMissing(let step, let missing, let target):
            let header = BulkHeader(kind: .missing, step: step, shard: shard)
            send(.bulk(header, missing.map { Float($0.value) }), from: peer, to: target)
        case .snapshot(let chunk, let step):
            for (part, values) in (members[peer]?.state[chunk] ?? []).enumerated() {
                var header = BulkHeader(kind: .state, step: step, shard: shard)
                header.chunk = chunk
                header.part = part
                send(.bulk(header, values), from: peer, to: coordinatorIdentity)
            }
        case .report(let message): actOnMember(peer, .report(message))
        }
    }

    private mutating func update(
        _ peer: PeerIdentity, _ chunk: ChunkIndex, _ step: Step, _ weightSum: Double
    ) {
        guard let sum = members[peer]?.sums.removeValue(forKey: chunk)?[problem.tree.root],
            let state = members[peer]?.state[chunk]
        else {
            violation = "\(peer) was to update chunk \(chunk) without its sum"
            return
        }
        let squares = members[peer]?.squares[step.value & 1] ?? []
        let factor = problem.factor(squares, weightSum: weightSum)
        if problem.clipNorm != nil, squares.contains(where: \.isNaN) {
            violation = "\(peer) was to update chunk \(chunk) without the norm of the gradient"
            return
        }
        if factor != 1 { clips += 1 }
        let next = SimulatedProblem.update(
            weights: state[0], momentum: state[1], sum: sum, weightSum: weightSum, factor: factor,
            rateFactor: members[peer]?.shards.rateFactor(of: step) ?? 1)
        members[peer]?.held[chunk] = nil
        members[peer]?.previous[chunk] = state[0]
        members[peer]?.state[chunk] = [next.weights, next.momentum]
        members[peer]?.chunkVersions[chunk] = step.next
        guard step.value < lastStep else {
            violation = "chunk \(chunk) was updated in step \(step), after the end"
            return
        }
        let range = problem.plan[chunk].range
        if next.weights != Array(oracle[step.value + 1][range]) {
            violation = "chunk \(chunk) of version \(step.next) differs from the serial one"
        }
    }

    private mutating func sendWeights(
        _ peer: PeerIdentity, _ shard: ShardIndex, _ chunk: ChunkIndex, _ version: Step,
        _ placement: Placement, _ targets: [PeerIdentity]
    ) {
        guard let member = members[peer] else { return }
        let range = problem.plan[chunk].range
        let present = member.state[chunk]?.first
        let expected = Array(oracle[version.value][range])
        guard let values = present == expected ? present : member.previous[chunk],
            values == expected
        else {
            violation = "\(peer) cannot send version \(version) of chunk \(chunk)"
            return
        }
        var header = BulkHeader(kind: .weights, step: version, shard: shard)
        header.chunk = chunk
        header.placement = placement
        for target in targets { send(.bulk(header, values), from: peer, to: target) }
    }
}
