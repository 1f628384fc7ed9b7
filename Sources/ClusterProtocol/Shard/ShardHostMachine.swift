/// Decides for all shards of one process: which it hosts, where their state comes from.
public struct ShardHostMachine: Sendable {
    public struct Configuration: Hashable, Sendable {
        public var tree: ReductionTree
        public var plan: SlicePlan
        /// Parts of a chunk's state: the weights, then each optimizer state.
        public var partCount: Int
        public var checkpointEvery: Int
        /// State that does not come is asked for again after this time.
        public var retryInterval: Duration
        public var audit: AuditPlan?
        /// The worker in this process, if there is one.
        public var ownPeer: PeerIdentity?

        public init(
            tree: ReductionTree, plan: SlicePlan, partCount: Int, checkpointEvery: Int,
            retryInterval: Duration, audit: AuditPlan? = nil, ownPeer: PeerIdentity? = nil
        ) {
            self.tree = tree
            self.plan = plan
            self.partCount = partCount
            self.checkpointEvery = checkpointEvery
            self.retryInterval = retryInterval
            self.audit = audit
            self.ownPeer = ownPeer
        }
    }

    public enum Event: Hashable, Sendable {
        case host(HostShards)
        case alive(Alive)
        case snapshot(Step)
        /// A part of a chunk's state has come from the coordinator.
        case state(shard: ShardIndex, chunk: Int, part: Int, step: Step, placement: Int)
        /// `placement` is the sender's.
        case contribution(
            shard: ShardIndex, placement: Int, step: Step, chunk: Int, node: TreeNode,
            totals: ContributionTotals, peer: PeerIdentity, digest: UInt64)
        /// Of one chunk, or of all of the shard (nil).
        case fetch(shard: ShardIndex, peer: PeerIdentity, step: Step, chunk: Int?)
        case inquiry(shard: ShardIndex, peer: PeerIdentity, step: Step)
        case unsubscribe(peer: PeerIdentity)
        case tick
    }

    public enum Action: Hashable, Sendable {
        /// Ask the coordinator for the state of a shard.
        case fetchState(shard: ShardIndex, step: Step, placement: Int)
        /// Keep the payload just received as part of the chunk's state at `step`.
        case storeState(chunk: Int, part: Int, step: Step)
        /// Forget every sum and every state: they are about to be replaced.
        case clear
        case shard(ShardIndex, ShardMachine.Action)
        case drop(ShardMachine.Refusal)
    }

    private struct Pending: Hashable, Sendable {
        var host: HostShards
        var missing: [ShardIndex: Set<Int>]
        var lastAsked: Moment
    }

    /// The first shard's reports are what the ledger is written from. Of the others the coordinator
    /// must know that they rest at the limit, which is reported at once; in between it need not
    /// hear more of them than of any member, or their reports would grow with their number.
    private static let reportInterval = Duration.milliseconds(20)
    private static let otherReportInterval = Duration.seconds(1)

    public let configuration: Configuration
    private var shards: [ShardIndex: ShardMachine] = [:]
    private var pending: Pending?
    private var subscribers: [ShardIndex: Subscriptions] = [:]

    public init(_ configuration: Configuration) { self.configuration = configuration }

    /// When `tick` is wanted, if at all.
    public func nextDeadline(now: Moment) -> Moment? {
        let reports = shards.values.compactMap(\.nextDeadline)
        guard let pending, !pending.missing.isEmpty else { return reports.min() }
        return (reports + [pending.lastAsked + configuration.retryInterval]).min()
    }

    public mutating func step(_ event: Event, now: Moment) -> [Action] {
        switch event {
        case .host(let host): return self.host(host, now: now)
        case .alive(let alive):
            pending?.host.stepLimit = alive.stepLimit
            return forAll(.alive(alive), now: now)
        case .snapshot(let step): return forAll(.snapshot(step), now: now)
        case .state(let shard, let chunk, let part, let step, let placement):
            return receive(shard, chunk, part, step, placement, now: now)
        case .contribution(
            let shard, let placement, let step, let chunk, let node, let totals, let peer,
            let digest):
            // Equal floats all the same; but a shard that takes what comes late from before it was
            // put back can get ahead of the others further than anybody keeps weights for.
            guard let present = shards[shard]?.placement, present == placement else {
                return [.drop(shards[shard] == nil ? .notReady : .formerPlacement)]
            }
            let event = ShardMachine.Event.contribution(
                step: step, chunk: chunk, node: node, totals: totals, peer: peer, digest: digest)
            return one(shard, event, now: now)
        case .fetch(let shard, let peer, let step, let chunk):
            let plan = configuration.plan
            guard (0..<plan.shardCount).contains(shard.value),
                chunk.map({
                    plan.chunks.indices.contains($0) && plan.chunks[$0].shard == shard
                }) ?? true, subscribers[shard, default: Subscriptions()].add(peer, chunk: chunk)
            else { return [.drop(.foreignChunk)] }
            return one(shard, .fetch(peer: peer, step: step, chunk: chunk), now: now)
        case .inquiry(let shard, let peer, let step):
            return one(shard, .inquiry(peer: peer, step: step), now: now)
        case .unsubscribe(let peer):
            for shard in subscribers.keys { subscribers[shard]?.remove(peer) }
            return forAll(.unsubscribe(peer: peer), now: now)
        case .tick: return tick(now: now)
        }
    }

    /// For reports of simulations.
    public var stateText: String {
        let parts = shards.keys.sorted().map { "shard \($0) \(shards[$0]?.stateText ?? "")" }
        return parts.joined(separator: ", ") + (pending?.missing.isEmpty == false ? " pending" : "")
    }

    private mutating func one(
        _ shard: ShardIndex, _ event: ShardMachine.Event, now: Moment
    ) -> [Action] {
        // In place: a copy of the sums with every contribution would cost more the more workers
        // there are.
        guard let actions = shards[shard]?.step(event, now: now) else { return [.drop(.notReady)] }
        return actions.map { .shard(shard, $0) }
    }

    private mutating func forAll(_ event: ShardMachine.Event, now: Moment) -> [Action] {
        shards.keys.sorted().flatMap { one($0, event, now: now) }
    }

    private mutating func host(_ host: HostShards, now: Moment) -> [Action] {
        if let pending, pending.host.placement >= host.placement {
            // Said again: whoever is in place says so again.
            guard pending.host.placement == host.placement else { return [] }
            return forAll(.announce, now: now)
        }
        shards = [:]
        var missing: [ShardIndex: Set<Int>] = [:]
        for shard in host.shards {
            let chunks = configuration.plan.chunks(of: shard)
            let keys = chunks.flatMap { chunk in
                (0..<configuration.partCount).map { key(chunk.index, $0) }
            }
            missing[shard] = Set(keys)
        }
        pending = Pending(host: host, missing: missing, lastAsked: now)
        var actions: [Action] = [.clear]
        for shard in host.shards {
            actions +=
                (missing[shard] ?? []).isEmpty
                ? start(shard, now: now)
                : [.fetchState(shard: shard, step: host.step, placement: host.placement)]
        }
        return actions
    }

    private func key(_ chunk: Int, _ part: Int) -> Int { chunk * configuration.partCount + part }

    private mutating func receive(
        _ shard: ShardIndex, _ chunk: Int, _ part: Int, _ step: Step, _ placement: Int, now: Moment
    ) -> [Action] {
        let key = key(chunk, part)
        guard let host = pending?.host, host.placement == placement, host.step == step,
            (0..<configuration.partCount).contains(part),
            pending?.missing[shard]?.remove(key) != nil
        else { return [.drop(.stale)] }
        pending?.lastAsked = now
        let store = Action.storeState(chunk: chunk, part: part, step: step)
        guard pending?.missing[shard]?.isEmpty == true else { return [store] }
        return [store] + start(shard, now: now)
    }

    private mutating func start(_ shard: ShardIndex, now: Moment) -> [Action] {
        guard let host = pending?.host else { return [] }
        pending?.missing[shard] = nil
        var machine = ShardMachine(
            .init(
                shard: shard, chunks: configuration.plan.chunks(of: shard).map(\.index),
                tree: configuration.tree, checkpointEvery: configuration.checkpointEvery,
                reportInterval: shard == ShardIndex(0)
                    ? Self.reportInterval : Self.otherReportInterval,
                audit: configuration.audit, ownPeer: configuration.ownPeer))
        var actions = machine.step(
            .restored(step: host.step, placement: host.placement, stepLimit: host.stepLimit),
            now: now)
        for (peer, chunk) in subscribers[shard]?.entries ?? [] {
            actions += machine.step(
                .fetch(peer: peer, step: host.step, chunk: chunk), now: now)
        }
        shards[shard] = machine
        return actions.map { .shard(shard, $0) }
    }

    private mutating func tick(now: Moment) -> [Action] {
        var actions = forAll(.tick, now: now)
        guard let pending, !pending.missing.isEmpty,
            now - pending.lastAsked >= configuration.retryInterval
        else { return actions }
        self.pending?.lastAsked = now
        for shard in pending.missing.keys.sorted() {
            actions.append(
                .fetchState(
                    shard: shard, step: pending.host.step, placement: pending.host.placement))
        }
        return actions
    }
}
