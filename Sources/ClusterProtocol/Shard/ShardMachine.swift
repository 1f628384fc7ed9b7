/// Decides what one shard does: which contributions count, when a chunk is updated, who is sent what.
///
/// The machine never sees a payload. It tells the runtime which of the sums it holds to keep, to add
/// and to apply; the runtime owns the floats. Chunks of one shard proceed on their own: a chunk may be
/// one version ahead of another, never two, because no worker begins a step before it has every chunk.
public struct ShardMachine: Sendable {
    /// What a shard must know of the run.
    public struct Configuration: Hashable, Sendable {
        public var shard: ShardIndex
        /// Global numbers of this shard's chunks, ascending.
        public var chunks: [Int]
        public var tree: ReductionTree
        /// A snapshot is taken at every multiple of this version; 0 for never.
        public var checkpointEvery: Int
        /// Progress is reported at most once in this time, except at the step limit.
        public var reportInterval: Duration
        public var audit: AuditPlan?
        /// The worker in this process, if there is one.
        public var ownPeer: PeerIdentity?

        public init(
            shard: ShardIndex, chunks: [Int], tree: ReductionTree, checkpointEvery: Int,
            reportInterval: Duration = .milliseconds(20), audit: AuditPlan? = nil,
            ownPeer: PeerIdentity? = nil
        ) {
            self.shard = shard
            self.chunks = chunks
            self.tree = tree
            self.checkpointEvery = checkpointEvery
            self.reportInterval = reportInterval
            self.audit = audit
            self.ownPeer = ownPeer
        }
    }

    /// What a worker says with a sum that it sends; the floats stay with the runtime.
    public struct Contribution: Hashable, Sendable {
        /// The placement that the sender knows.
        public var placement: Int
        public var step: Step
        public var chunk: Int
        public var node: TreeNode
        public var totals: ContributionTotals
        public var peer: PeerIdentity
        /// A digest of the payload's bits; it is looked at where the leaf is audited.
        public var digest: UInt64

        /// Creates a contribution.
        public init(
            placement: Int, step: Step, chunk: Int, node: TreeNode, totals: ContributionTotals,
            peer: PeerIdentity, digest: UInt64
        ) {
            self.placement = placement
            self.step = step
            self.chunk = chunk
            self.node = node
            self.totals = totals
            self.peer = peer
            self.digest = digest
        }
    }

    public enum Event: Hashable, Sendable {
        /// The state of all chunks at `step` is in memory.
        case restored(step: Step, placement: Int, stepLimit: Step)
        /// A worker's sum of one node over one chunk has come.
        case contribution(Contribution)
        /// A worker wants weights: of one chunk, or of all chunks of the shard (nil).
        case fetch(peer: PeerIdentity, step: Step, chunk: Int?)
        case inquiry(peer: PeerIdentity, step: Step)
        case unsubscribe(peer: PeerIdentity)
        case alive(Alive)
        case snapshot(Step)
        /// The coordinator asks whether this shard is in place.
        case announce
        case tick
    }

    /// What becomes of the contribution just handed in.
    public enum Refusal: String, Hashable, Sendable {
        case covered, stale, early, foreignChunk, foreignNode, notReady, unaudited,
            formerPlacement
    }

    public enum Action: Hashable, Sendable {
        /// Keep the payload just received as `node`, in place of `replaced`.
        case keep(chunk: Int, node: TreeNode, replaced: [TreeNode])
        /// Put the payload just received aside, as this worker's opinion on an audited leaf.
        case hold(chunk: Int, node: TreeNode, peer: PeerIdentity)
        /// Keep what was put aside as `node`, and forget the other opinions.
        case keepHeld(chunk: Int, node: TreeNode, peer: PeerIdentity, replaced: [TreeNode])
        /// Drop the payload just received.
        case drop(Refusal)
        /// parent := left + right; left and right are not needed any more.
        case add(chunk: Int, NodeSet.Merge)
        /// Divide the root by the sample count, apply the optimizer as update number `step` + 1 and
        /// keep the result beside the version before it.
        case update(chunk: Int, step: Step, sampleCount: Int)
        /// Send this version of the chunk's weights.
        case send(chunk: Int, version: Step, placement: Int, to: [PeerIdentity])
        case tellMissing(step: Step, leaves: [Int], to: PeerIdentity)
        /// Copy the state of a chunk that has just reached `step`, and send it to the coordinator.
        case snapshot(chunk: Int, step: Step)
        case report(ControlMessage)
    }

    public let configuration: Configuration
    /// Version of each chunk, in the order of `configuration.chunks`; nil before the state is here.
    private var versions: [Step]?
    private var sums: [NodeSet]
    private var boards: [AuditBoard]
    /// How the contributions to each chunk come in.
    private var arrivals: [Arrivals]
    /// An audit takes two workers; with one, its word must do.
    private var isAuditing = true
    private(set) var placement = 0
    private var stepLimit = Step(0)
    private var subscribers: Subscriptions
    /// Reports that the coordinator has not said it has, in order.
    private var finished: [StepReport] = []
    /// Reports below this step were sent.
    private var sentThrough = Step(0)
    /// The same, when the coordinator was heard last.
    private var sentBefore = Step(0)
    private var isReportDue = false
    private var lastReport: Moment?
    private var restoredVersion = Step(0)

    public init(_ configuration: Configuration) {
        self.configuration = configuration
        subscribers = Subscriptions(ownPeer: configuration.ownPeer)
        sums = configuration.chunks.map { _ in NodeSet(tree: configuration.tree) }
        boards = configuration.chunks.map { _ in AuditBoard() }
        arrivals = configuration.chunks.map { _ in Arrivals() }
    }

    /// When peers began to contribute to a chunk in the present step.
    private struct Arrivals: Hashable, Sendable {
        private var peers: Set<PeerIdentity> = []
        private var first: Moment = .zero
        private var last: Moment = .zero

        /// Of gaps between arrivals, one this many times as long as they are in the mean is unusual.
        private static let unusual = 3
        /// With fewer peers a gap says how fast they are, and nothing of the network.
        private static let leastPeerCount = 3
        /// Nothing that is on its way for longer is waited for.
        private static let longestGap = Duration.seconds(2)

        mutating func add(_ peer: PeerIdentity, at now: Moment) {
            guard peers.insert(peer).inserted else { return }
            if peers.count == 1 { first = now }
            last = now
        }

        /// Whether contributions still come in one after the other, as they do for a while where many
        /// of them have to pass a slow network: then what is missing is on its way, and nobody late.
        func areComing(at now: Moment) -> Bool {
            guard peers.count >= Self.leastPeerCount, now - last < Self.longestGap else {
                return false
            }
            return (now - last) * (peers.count - 1) < (last - first) * Self.unusual
        }
    }

    /// The version that every chunk has reached.
    public var version: Step? { versions.map { $0.min() ?? stepLimit } }

    /// When `tick` is wanted, if at all.
    public var nextDeadline: Moment? {
        isReportDue ? (lastReport ?? .zero) + configuration.reportInterval : nil
    }

    public mutating func step(_ event: Event, now: Moment) -> [Action] {
        switch event {
        case .restored(let step, let placement, let stepLimit):
            restore(step, placement: placement, stepLimit: stepLimit, now: now)
        case .contribution(let contribution): take(contribution, now: now)
        case .fetch(let peer, let step, let chunk): fetch(peer, step, chunk)
        case .inquiry(let peer, let step): answer(peer, step, now: now)
        case .unsubscribe(let peer): unsubscribe(peer)
        case .alive(let alive): heard(alive, now: now)
        case .snapshot(let step): snapshot(step)
        case .announce: announce()
        case .tick: flushReport(now: now, force: false)
        }
    }

    /// For reports of simulations.
    public var stateText: String {
        "placement \(placement), versions \(versions ?? []), missing \(sums.map(\.missingLeaves))"
    }

    private mutating func restore(
        _ step: Step, placement: Int, stepLimit: Step, now: Moment
    ) -> [Action] {
        versions = configuration.chunks.map { _ in step }
        sums = configuration.chunks.map { _ in NodeSet(tree: configuration.tree) }
        boards = configuration.chunks.map { _ in AuditBoard() }
        arrivals = configuration.chunks.map { _ in Arrivals() }
        restoredVersion = step
        self.placement = placement
        self.stepLimit = stepLimit
        finished = []
        sentThrough = step
        sentBefore = step
        isReportDue = false
        return announce()
    }

    private func announce() -> [Action] {
        guard versions != nil else { return [] }
        let ready = ShardReady(
            shard: configuration.shard, placement: placement, step: restoredVersion)
        return [.report(.shardReady(ready))]
    }

    private mutating func take(_ contribution: Contribution, now: Moment) -> [Action] {
        guard let versions else { return [.drop(.notReady)] }
        // Its floats would be the same. But a shard that takes what was sent before the shards were
        // put back could get further ahead of the others than anyone keeps weights for.
        guard contribution.placement == placement else { return [.drop(.formerPlacement)] }
        let (chunk, step) = (contribution.chunk, contribution.step)
        guard let position = configuration.chunks.firstIndex(of: chunk) else {
            return [.drop(.foreignChunk)]
        }
        guard step >= versions[position] else { return [.drop(.stale)] }
        guard step == versions[position] else { return [.drop(.early)] }
        guard configuration.tree.contains(contribution.node) else {
            return [.drop(.foreignNode)]
        }
        let canonical = configuration.tree.canonical(contribution.node)
        let leaves = configuration.tree.leaves(of: canonical)
        if isAuditing, let audit = configuration.audit {
            if leaves.count == 1, audit.isAudited(step: step, leaf: leaves.lowerBound) {
                let vote = AuditBoard.Vote(
                    digest: contribution.digest, totals: contribution.totals)
                return consider(
                    vote, by: contribution.peer, of: canonical, at: position, now: now)
            }
            // What is to be compared leaf by leaf is not taken as part of a sum.
            if leaves.contains(where: { audit.isAudited(step: step, leaf: $0) }) {
                return [.drop(.unaudited)]
            }
        }
        guard
            case .accepted(let replaced, let merges) =
                sums[position].insert(canonical, totals: contribution.totals)
        else { return [.drop(.covered)] }
        arrivals[position].add(contribution.peer, at: now)
        return [.keep(chunk: chunk, node: canonical, replaced: replaced)]
            + finish(position, merges, now: now)
    }

    /// An opinion on an audited leaf: it counts when another worker's is the same.
    ///
    /// - Parameter position: of the chunk, in `configuration.chunks`.
    private mutating func consider(
        _ vote: AuditBoard.Vote, by peer: PeerIdentity, of node: TreeNode, at position: Int,
        now: Moment
    ) -> [Action] {
        guard let step = versions?[position] else { return [] }
        let leaf = configuration.tree.leaves(of: node).lowerBound
        guard sums[position].missingLeaves.contains(leaf) else { return [.drop(.covered)] }
        let chunk = configuration.chunks[position]
        let held = Action.hold(chunk: chunk, node: node, peer: peer)
        switch boards[position].add(vote, leaf: leaf, by: peer) {
        case .waiting: return [held]
        case .disputed(let peers):
            let dispute = AuditFinding(step: step, virtualWorker: leaf, peers: peers)
            return [held, .report(.disputed(dispute))]
        case .agreed(let by, let liars):
            let verdict = AuditFinding(step: step, virtualWorker: leaf, peers: liars)
            return [held] + accept(vote, by: by, of: node, leaf: leaf, at: position, now: now)
                + (liars.isEmpty ? [] : [.report(.contradicted(verdict))])
        }
    }

    private mutating func accept(
        _ vote: AuditBoard.Vote, by peer: PeerIdentity, of node: TreeNode, leaf: Int,
        at position: Int, now: Moment
    ) -> [Action] {
        boards[position].settle(leaf)
        guard
            case .accepted(let replaced, let merges) =
                sums[position].insert(node, totals: vote.totals)
        else { return [] }
        let chunk = configuration.chunks[position]
        return [.keepHeld(chunk: chunk, node: node, peer: peer, replaced: replaced)]
            + finish(position, merges, now: now)
    }

    /// Adds what can be added, and updates the chunk once its root is there.
    private mutating func finish(
        _ position: Int, _ merges: [NodeSet.Merge], now: Moment
    ) -> [Action] {
        guard var versions else { return [] }
        let step = versions[position]
        let chunk = configuration.chunks[position]
        var actions: [Action] = merges.map { .add(chunk: chunk, $0) }
        guard let root = sums[position].rootTotals else { return actions }
        let version = step.next
        versions[position] = version
        self.versions = versions
        sums[position] = NodeSet(tree: configuration.tree)
        boards[position] = AuditBoard()
        arrivals[position] = Arrivals()
        actions.append(.update(chunk: chunk, step: step, sampleCount: root.sampleCount))
        actions.append(
            .send(
                chunk: chunk, version: version, placement: placement,
                to: subscribers.peers(ofChunk: chunk)))
        let isCheckpoint =
            configuration.checkpointEvery > 0
            && version.value.isMultiple(of: configuration.checkpointEvery)
        if isCheckpoint { actions.append(.snapshot(chunk: chunk, step: version)) }
        if position == 0, configuration.shard == ShardIndex(0) {
            finished.append(StepReport(step: step, totals: root))
        }
        if versions.min() == version {
            isReportDue = true
            actions += flushReport(now: now, force: isCheckpoint || version == stepLimit)
        }
        return actions
    }

    /// A worker wants version `step`, or whatever is newer; the version before the present one is
    /// still here, for a worker that must finish a step which another shard has not finished.
    private mutating func fetch(
        _ peer: PeerIdentity, _ step: Step, _ wanted: Int?
    ) -> [Action] {
        subscribers.add(peer, chunk: wanted)
        guard let versions else { return [] }
        return zip(configuration.chunks, versions).flatMap { chunk, version -> [Action] in
            guard wanted == nil || wanted == chunk else { return [] }
            let previous = Step(version.value - 1)
            var actions: [Action] = []
            if step <= previous, previous >= restoredVersion, version > restoredVersion {
                actions.append(
                    .send(chunk: chunk, version: previous, placement: placement, to: [peer]))
            }
            return actions
                + [.send(chunk: chunk, version: version, placement: placement, to: [peer])]
        }
    }

    /// A worker with nothing to do may compute what others are late with.
    private func answer(_ peer: PeerIdentity, _ step: Step, now: Moment) -> [Action] {
        guard let versions else { return [] }
        let open = sums.indices.filter {
            versions[$0] == step && !arrivals[$0].areComing(at: now)
        }
        let leaves = Set(open.flatMap { sums[$0].missingLeaves }).sorted()
            .prefix(Self.maximumMissingCount)
        return leaves.isEmpty ? [] : [.tellMissing(step: step, leaves: Array(leaves), to: peer)]
    }

    /// Most workers served.
    public static let maximumSubscriberCount = 4096
    /// Virtual workers named in one answer.
    private static let maximumMissingCount = 1024

    private mutating func unsubscribe(_ peer: PeerIdentity) -> [Action] {
        subscribers.remove(peer)
        return []
    }

    /// The coordinator is there: what it has in its ledger need not be kept, what it lacks is sent
    /// again, and it hears where this shard is.
    private mutating func heard(_ alive: Alive, now: Moment) -> [Action] {
        stepLimit = alive.stepLimit
        finished.removeAll { $0.step < alive.recorded }
        // Sent a whole heartbeat ago and still not there: lost.
        let received = max(alive.recorded, alive.received)
        if received < sentBefore { sentThrough = min(sentThrough, received) }
        sentBefore = sentThrough
        let audits = auditAgain(workerCount: alive.workerCount, now: now)
        guard let version else { return audits }
        isReportDue = true
        return audits + flushReport(now: now, force: version == stepLimit)
    }

    /// Disputes are told again; with nobody left to compare with, first opinions are taken.
    private mutating func auditAgain(workerCount: Int, now: Moment) -> [Action] {
        guard configuration.audit != nil, let versions else { return [] }
        isAuditing = workerCount >= 2
        var actions: [Action] = []
        for position in boards.indices {
            if isAuditing {
                actions += boards[position].disputes.map { leaf, peers in
                    .report(
                        .disputed(
                            AuditFinding(
                                step: versions[position], virtualWorker: leaf, peers: peers)))
                }
                continue
            }
            for (leaf, peer, vote) in boards[position].firstOpinions {
                let node = configuration.tree.canonical(.leaf(leaf))
                actions += accept(
                    vote, by: peer, of: node, leaf: leaf, at: position, now: now)
            }
        }
        return actions
    }

    private func snapshot(_ step: Step) -> [Action] {
        guard let versions, versions.allSatisfy({ $0 == step }) else { return [] }
        return configuration.chunks.map { .snapshot(chunk: $0, step: step) }
    }

    private mutating func flushReport(now: Moment, force: Bool) -> [Action] {
        guard isReportDue, let version else { return [] }
        if !force, let lastReport, now < lastReport + configuration.reportInterval { return [] }
        // A step counts once every chunk of this shard has it. Reports are kept until the coordinator
        // says that they are in its ledger.
        let reports = finished.filter { $0.step >= sentThrough && $0.step < version }
        sentThrough = max(sentThrough, version)
        isReportDue = false
        lastReport = now
        return stride(from: 0, to: max(1, reports.count), by: Self.maximumReportCount).map { first in
            let part = reports[first..<min(reports.count, first + Self.maximumReportCount)]
            return .report(
                .progress(
                    Progress(
                        shard: configuration.shard, placement: placement, step: version,
                        reports: Array(part))))
        }
    }

    /// Step reports in one message.
    private static let maximumReportCount = 1000
}
