/// Decides for all shards of one process: which shards the process hosts, and when their state has
/// come from the coordinator. Each shard in place has a `ShardMachine`.
public struct ShardHostMachine: Sendable {
    /// What a process that hosts shards must know of the run.
    public struct Configuration: Hashable, Sendable {
        /// The run's reduction tree.
        public var tree: ReductionTree
        /// How the flat vector is cut into slices and chunks.
        public var plan: SlicePlan
        /// The number of parts in a chunk's state: the weights, then each optimizer state.
        public var partCount: Int
        /// A snapshot is taken at every multiple of this version; 0 for never.
        public var checkpointEvery: Int
        /// State that has not come is asked for again after this time.
        public var retryInterval: Duration
        /// The choice of audited virtual workers; nil without audits.
        public var audit: AuditPlan?
        /// The worker in this process; nil when there is none.
        public var ownPeer: PeerIdentity?
        /// Whether an update needs the norm of the whole gradient, which the hosts of shards tell
        /// one another.
        public var needsNorm: Bool
        /// Whether no step is updated before the coordinator has raised the limit beyond it, which
        /// is when the step's learning rate is known.
        public var waitsForLimit = false

        /// Creates a configuration.
        public init(
            tree: ReductionTree, plan: SlicePlan, partCount: Int, checkpointEvery: Int,
            retryInterval: Duration, audit: AuditPlan? = nil, ownPeer: PeerIdentity? = nil,
            needsNorm: Bool = false
        ) {
            self.tree = tree
            self.plan = plan
            self.partCount = partCount
            self.checkpointEvery = checkpointEvery
            self.retryInterval = retryInterval
            self.audit = audit
            self.ownPeer = ownPeer
            self.needsNorm = needsNorm
        }
    }

    /// A part of a chunk's state that has come from the coordinator.
    public struct StatePart: Hashable, Sendable {
        /// The shard that owns the chunk.
        public var shard: ShardIndex
        /// The chunk's number in the slice plan.
        public var chunk: ChunkIndex
        /// The part: 0 for the weights, then each optimizer state in order.
        public var part: Int
        /// The version of the state.
        public var step: Step
        /// The placement of the shards that the state was asked for.
        public var placement: Placement

        /// Creates a part.
        public init(
            shard: ShardIndex, chunk: ChunkIndex, part: Int, step: Step, placement: Placement
        ) {
            self.shard = shard
            self.chunk = chunk
            self.part = part
            self.step = step
            self.placement = placement
        }
    }

    /// An event that a host of shards takes in.
    public enum Event: Hashable, Sendable {
        /// The coordinator says which shards this process hosts.
        case host(HostShards)
        /// A part of a chunk's state has come.
        case state(StatePart)
        /// Sums of squares of another host's shard have come.
        case squares(shard: ShardIndex, step: Step, placement: Placement)
        /// The host of a shard asks for sums of squares.
        case squaresWanted(by: ShardIndex, step: Step, placement: Placement)
        /// An event for one shard.
        case shard(ShardIndex, ShardMachine.Event)
        /// An event for all shards that are hosted here.
        case everyShard(ShardMachine.Event)
    }

    /// An action that the runtime carries out for a host of shards.
    public enum Action: Hashable, Sendable {
        /// Ask the coordinator for the state of a shard.
        case fetchState(shard: ShardIndex, step: Step, placement: Placement)
        /// Keep the payload just received as this part of the chunk's state at `step`.
        case storeState(chunk: ChunkIndex, part: Int, step: Step)
        /// Drop all sums and states: they are about to be replaced.
        case clear
        /// Connect to the hosts of these shards, and to no others.
        case connect([ShardPlacement])
        /// Send a shard's sums of squares to other hosts.
        case sendSquares(shard: ShardIndex, step: Step, placement: Placement, to: [PeerIdentity])
        /// Ask other hosts for their sums of squares; the shard is one of this host.
        case askSquares(shard: ShardIndex, step: Step, placement: Placement, of: [PeerIdentity])
        /// Keep the payload just received as the shard's sums of squares.
        case keepSquares(shard: ShardIndex, step: Step)
        /// An action of one shard.
        case shard(ShardIndex, ShardMachine.Action)
        /// Drop the payload just received.
        case drop(ShardMachine.Refusal)
    }

    /// The placement that this process was given, and the state that has not come.
    private struct Pending: Hashable, Sendable {
        var host: HostShards
        /// The parts that have not come, by shard; a shard that is in place has no entry.
        var missing: [ShardIndex: Set<Int>]
        /// The moment when state was last asked for, or last came.
        var lastAsked: Moment
    }

    /// The least time between two reports of the first shard. The ledger is written from these
    /// reports.
    private static let reportInterval = Duration.milliseconds(20)
    /// The least time between two reports of any other shard. The coordinator must know when such a
    /// shard rests at the step limit, and that is reported at once. In between it need not hear
    /// more of a shard than of any member; otherwise the load would grow with the number of shards.
    private static let otherReportInterval = Duration.seconds(1)

    /// What this process knows of the run.
    public let configuration: Configuration
    private var shards: [ShardIndex: ShardMachine] = [:]
    private var pending: Pending?
    /// The exchange of the gradient's norm; nil where no update needs it.
    var exchange: NormExchange?
    /// The changes of the learning rate's factor, complete for the steps below the limit.
    private var rates: [RateChange] = []
    /// The subscriptions to each shard, including shards that are not in place yet.
    private var subscribers: [ShardIndex: Subscriptions] = [:]

    /// Creates a host without shards.
    public init(_ configuration: Configuration) { self.configuration = configuration }

    /// Returns when `tick` is wanted next; nil when it is not.
    public func nextDeadline(now: Moment) -> Moment? {
        var reports = shards.values.compactMap(\.nextDeadline)
        if let asking = exchange?.nextDeadline(configuration.retryInterval) { reports.append(asking) }
        guard let pending, !pending.missing.isEmpty else { return reports.min() }
        return (reports + [pending.lastAsked + configuration.retryInterval]).min()
    }

    /// Takes in an event and returns the actions to carry out, in order.
    public mutating func step(_ event: Event, now: Moment) -> [Action] {
        switch event {
        case .host(let host): return self.host(host, now: now)
        case .state(let part): return receive(part, now: now)
        case .squares(let shard, let step, let placement):
            guard exchange?.received(shard, step: step, placement: placement) == true else {
                return [.drop(.stale)]
            }
            return [.keepSquares(shard: shard, step: step)] + updateIfComplete(now: now)
        case .squaresWanted(let asker, let step, let placement):
            return answer(to: asker, step, placement)
        case .shard(let shard, let event):
            if case .fetch(let peer, _, let chunk) = event,
                !subscribe(peer, to: shard, chunk: chunk)
            {
                return [.drop(.foreignChunk)]
            }
            return one(shard, event, now: now)
        case .everyShard(let event):
            note(event)
            let actions = forAll(event, now: now)
            return event == .tick ? actions + askAgain(now: now) + askForSquares(now: now) : actions
        }
    }

    /// Returns what the learning rate of a step is multiplied by beside its schedule.
    public func rateFactor(of step: Step) -> Double { RateChange.factor(of: step, after: rates) }

    /// Keeps what shards that are not in place yet will have to know.
    private mutating func note(_ event: ShardMachine.Event) {
        if case .alive(let alive) = event {
            pending?.host.stepLimit = alive.stepLimit
            rates = alive.rates ?? []
        }
        if case .unsubscribe(let peer) = event {
            for shard in subscribers.keys { subscribers[shard]?.remove(peer) }
        }
    }

    /// Adds a subscription, which may come before the shard is in place. Returns false when there
    /// is no such shard or chunk, or no room.
    private mutating func subscribe(
        _ peer: PeerIdentity, to shard: ShardIndex, chunk: ChunkIndex?
    ) -> Bool {
        let plan = configuration.plan
        let isKnown = chunk.map { plan.contains($0) && plan[$0].shard == shard } ?? true
        guard (0..<plan.shardCount).contains(shard.value), isKnown else { return false }
        return subscribers[shard, default: Subscriptions()].add(peer, chunk: chunk)
    }

    /// The state as text, for reports of simulations.
    public var stateText: String {
        let parts = shards.keys.sorted().map { "shard \($0) \(shards[$0]?.stateText ?? "")" }
        return parts.joined(separator: ", ") + (pending?.missing.isEmpty == false ? " pending" : "")
    }

    private mutating func one(
        _ shard: ShardIndex, _ event: ShardMachine.Event, now: Moment
    ) -> [Action] {
        // The shard is changed in place: a copy of its sums with every contribution would cost more
        // the more workers there are.
        guard let actions = shards[shard]?.step(event, now: now) else { return [.drop(.notReady)] }
        let result = actions.map { Action.shard(shard, $0) }
        guard exchange != nil, shards[shard]?.isMeasured == true else { return result }
        return result + tellNorm(of: shard, now: now)
    }

    mutating func forAll(_ event: ShardMachine.Event, now: Moment) -> [Action] {
        shards.keys.sorted().flatMap { one($0, event, now: now) }
    }

    private mutating func host(_ host: HostShards, now: Moment) -> [Action] {
        if let pending, pending.host.placement >= host.placement {
            // The coordinator repeats itself, so the shards that are in place say so again.
            guard pending.host.placement == host.placement else { return [] }
            return connect(host.peers) + forAll(.announce, now: now)
        }
        shards = [:]
        exchange =
            configuration.needsNorm
            ? NormExchange(host, shardCount: configuration.plan.shardCount) : nil
        rates = host.rates ?? []
        var missing: [ShardIndex: Set<Int>] = [:]
        for shard in host.shards {
            let chunks = configuration.plan.chunks(of: shard)
            let keys = chunks.flatMap { chunk in
                (0..<configuration.partCount).map { key(chunk.index, $0) }
            }
            missing[shard] = Set(keys)
        }
        pending = Pending(host: host, missing: missing, lastAsked: now)
        var actions: [Action] = [.clear] + introduce()
        for shard in host.shards {
            actions +=
                (missing[shard] ?? []).isEmpty
                ? start(shard, now: now)
                : [.fetchState(shard: shard, step: host.step, placement: host.placement)]
        }
        return actions
    }

    /// Returns the number that stands for a part of a chunk in `Pending.missing`.
    private func key(_ chunk: ChunkIndex, _ part: Int) -> Int {
        chunk.value * configuration.partCount + part
    }

    private mutating func receive(_ state: StatePart, now: Moment) -> [Action] {
        let key = key(state.chunk, state.part)
        guard let host = pending?.host, host.placement == state.placement,
            host.step == state.step, (0..<configuration.partCount).contains(state.part),
            pending?.missing[state.shard]?.remove(key) != nil
        else { return [.drop(.stale)] }
        pending?.lastAsked = now
        let store = Action.storeState(chunk: state.chunk, part: state.part, step: state.step)
        guard pending?.missing[state.shard]?.isEmpty == true else { return [store] }
        return [store] + start(state.shard, now: now)
    }

    /// Puts a shard in place whose state is complete, with the subscriptions that came before.
    private mutating func start(_ shard: ShardIndex, now: Moment) -> [Action] {
        guard let host = pending?.host else { return [] }
        pending?.missing[shard] = nil
        var machine = ShardMachine(
            .init(
                shard: shard, chunks: configuration.plan.chunks(of: shard).map(\.index),
                tree: configuration.tree, checkpointEvery: configuration.checkpointEvery,
                reportInterval: shard == ShardIndex(0)
                    ? Self.reportInterval : Self.otherReportInterval,
                audit: configuration.audit, ownPeer: configuration.ownPeer,
                needsNorm: configuration.needsNorm, waitsForLimit: configuration.waitsForLimit))
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

    /// Asks again for state that has not come.
    private mutating func askAgain(now: Moment) -> [Action] {
        guard let pending, !pending.missing.isEmpty,
            now - pending.lastAsked >= configuration.retryInterval
        else { return [] }
        self.pending?.lastAsked = now
        return pending.missing.keys.sorted().map {
            .fetchState(shard: $0, step: pending.host.step, placement: pending.host.placement)
        }
    }
}
