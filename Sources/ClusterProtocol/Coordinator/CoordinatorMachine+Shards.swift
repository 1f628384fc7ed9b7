/// Where the slices are, and what happens when one is lost.
extension CoordinatorMachine {
    /// The host of each shard and how to reach it, in shard order; shards without a host are left out.
    var placements: [ShardPlacement] {
        zip(configuration.plan.shards, shards).compactMap { index, shard in
            guard let host = shard.host, let hello = peers[host]?.hello,
                let endpoint = hello.bulkEndpoint
            else { return nil }
            return ShardPlacement(
                shard: index, host: host, endpoint: endpoint, publicKey: hello.publicKey)
        }
    }

    /// The members that may host shards: dedicated servers, or every worker when there are none.
    private var hosts: [Peer] {
        readyPeers(configuration.serverCount > 0 ? .server : .worker)
            .filter { $0.hello.bulkEndpoint != nil }
    }

    /// Whether enough hosts for shards are ready to begin the run.
    var hasHostsForStart: Bool {
        let wanted = configuration.serverCount > 0 ? configuration.serverCount : 1
        let order = readyOrder[configuration.serverCount > 0 ? .server : .worker] ?? []
        let fit = order.lazy.filter { peers[$0]?.hello.bulkEndpoint != nil }
        return fit.prefix(wanted).count >= wanted
    }

    /// Gives every shard without a host to the host with the fewest, and puts all shards back to the
    /// last checkpoint, from which the steps since are computed again.
    mutating func place(now: Moment) -> [Action] {
        let hosts = self.hosts
        guard !hosts.isEmpty else { return [] }
        var load: [PeerIdentity: Int] = [:]
        for shard in shards { if let host = shard.host { load[host, default: 0] += 1 } }
        var queue = LoadQueue(hosts.map { (load[$0.hello.identity, default: 0], 1) })
        placement = placement.next
        placementStep = lastCheckpoint
        for index in shards.indices {
            if shards[index].host == nil { shards[index].host = hosts[queue.take()].hello.identity }
            shards[index].version = lastCheckpoint
            shards[index].isReady = false
        }
        limit = firstLimit(from: lastCheckpoint)
        phase = .placing(since: now, waiting: Set(configuration.plan.shards))
        let places = shards.compactMap(\.host)
        return [
            .journal(.placed(placement: placement, step: lastCheckpoint, hosts: places)),
            .note(
                .placing(
                    shards: configuration.plan.shards, step: lastCheckpoint, placement: placement)),
        ] + hostMessages()
    }

    /// The messages that tell each host which shards it has.
    func hostMessages() -> [Action] {
        let hosted = hostedShards
        let peers = configuration.exchangesNorms ? placements : nil
        return hosts.compactMap { host in
            guard let mine = hosted[host.hello.identity] else { return nil }
            let message = HostShards(
                shards: mine.map(ShardIndex.init), shardCount: configuration.plan.shardCount,
                placement: placement, step: placementStep, stepLimit: limit, peers: peers,
                rates: rates)
            return .send(.host(message), to: host.hello.identity)
        }
    }

    /// Takes note that a shard has its state.
    mutating func shardReady(_ ready: ShardReady, from peer: PeerIdentity, now: Moment) -> [Action] {
        guard ready.placement == placement, shards.indices.contains(ready.shard.value),
            shards[ready.shard.value].host == peer, case .placing(let since, var waiting) = phase
        else { return [] }
        shards[ready.shard.value].isReady = true
        shards[ready.shard.value].version = ready.step
        waiting.remove(ready.shard)
        phase = .placing(since: since, waiting: waiting)
        return advance(now: now)
    }

    /// Goes back to the last checkpoint when shards are lost with a member: their optimizer state is
    /// gone with its process.
    mutating func loseShards(of member: Peer, now: Moment) -> [Action] {
        let identity = member.hello.identity
        let lost = configuration.plan.shards.filter { shards[$0.value].host == identity }
        guard !lost.isEmpty else { return [] }
        for shard in lost { shards[shard.value].host = nil }
        if stop != nil, divergence == nil {
            return end(exitCode: ExitCode.interrupted, reason: "interrupted")
        }
        switch phase {
        case .gathering, .dismissing, .ended: return []
        case .finishing where restingStep == lastCheckpoint: return []
        case .training(let since): training += now - since
        case .holding(let holding): training += now - holding.trainingSince
        case .placing, .evaluating, .recovering, .finishing: break
        }
        phase = .placing(since: now, waiting: Set(configuration.plan.shards))
        return [.note(.shardsLost(lost, member.summary, backTo: lastCheckpoint))]
            + place(now: now)
    }

    /// Takes in a shard's report of progress; passes finished steps on to the ledger, in order.
    mutating func progressed(
        _ progress: Progress, from peer: PeerIdentity, now: Moment
    ) -> [Action] {
        guard progress.placement == placement, shards.indices.contains(progress.shard.value),
            shards[progress.shard.value].host == peer
        else { return [] }
        shards[progress.shard.value].version = max(
            shards[progress.shard.value].version, progress.step)
        var actions: [Action] = []
        for report in progress.reports.sorted(by: { $0.step < $1.step })
        where report.step == lastRecorded && report.isPlausible {
            lastRecorded = report.step.next
            recent.add(report, now: now)
            actions.append(.record(report))
            if !report.lossSum.isFinite {
                let flaw = diverge(report, now: now)
                actions += flaw
                // The shards were put back, or the run has ended.
                if !flaw.isEmpty, divergence != nil { return actions }
            }
        }
        return actions + writeWhenRecorded() + advance(now: now)
    }

    /// Writes the snapshot that has arrived once the ledger has all steps before it. If a checkpoint
    /// were ahead of the ledger, a resumed run could lose the steps in between.
    mutating func writeWhenRecorded() -> [Action] {
        guard let step = arrivedSnapshot, step <= lastRecorded else { return [] }
        arrivedSnapshot = nil
        return [.writeCheckpoint(step)]
    }
}
