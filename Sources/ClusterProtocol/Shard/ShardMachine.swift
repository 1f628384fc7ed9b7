/// Decides what one shard does: which contributions count, when a chunk is updated, and what is
/// sent to which peer.
///
/// The machine never sees a payload. It tells the runtime which of the sums to keep, to add and to
/// apply; the runtime owns the floats. The chunks of a shard proceed on their own: a chunk may be
/// one version ahead of another but never two, because no worker begins a step before it has every
/// chunk.
///
/// Where the gradient is clipped by its norm, a chunk whose sum is complete is measured and waits.
/// All chunks are updated together when the norm of the whole gradient is known (`NormExchange`).
public struct ShardMachine: Sendable {
    /// What a shard must know of the run.
    public struct Configuration: Hashable, Sendable {
        /// The shard.
        public var shard: ShardIndex
        /// The numbers of this shard's chunks in the slice plan, ascending.
        public var chunks: [ChunkIndex]
        /// The run's reduction tree.
        public var tree: ReductionTree
        /// A snapshot is taken at every multiple of this version; 0 for never.
        public var checkpointEvery: Int
        /// The least time between two reports of progress, except at the step limit and at
        /// checkpoints.
        public var reportInterval: Duration
        /// The choice of audited virtual workers; nil without audits.
        public var audit: AuditPlan?
        /// The worker in this process; nil when there is none.
        public var ownPeer: PeerIdentity?
        /// Whether an update needs the norm of the whole gradient.
        public var needsNorm: Bool
        /// Whether no step is updated before the limit is beyond it.
        public var waitsForLimit: Bool

        /// Creates a configuration.
        public init(
            shard: ShardIndex, chunks: [ChunkIndex], tree: ReductionTree, checkpointEvery: Int,
            reportInterval: Duration = .milliseconds(20), audit: AuditPlan? = nil,
            ownPeer: PeerIdentity? = nil, needsNorm: Bool = false, waitsForLimit: Bool = false
        ) {
            self.waitsForLimit = waitsForLimit
            self.shard = shard
            self.chunks = chunks
            self.tree = tree
            self.checkpointEvery = checkpointEvery
            self.reportInterval = reportInterval
            self.audit = audit
            self.ownPeer = ownPeer
            self.needsNorm = needsNorm
        }
    }

    /// What a worker says with a sum that it sends; the floats stay with the runtime.
    public struct Contribution: Hashable, Sendable {
        /// The placement of the shards that the sender knows.
        public var placement: Placement
        /// The step that the sum belongs to.
        public var step: Step
        /// The chunk's number in the slice plan.
        public var chunk: ChunkIndex
        /// The tree node whose sum it is.
        public var node: TreeNode
        /// The figures that are added along with the sum.
        public var totals: ContributionTotals
        /// The worker that sent the sum.
        public var peer: PeerIdentity
        /// A digest of the payload's bits; it is looked at only where the virtual worker is
        /// audited.
        public var digest: UInt64

        /// Creates a contribution.
        public init(
            placement: Placement, step: Step, chunk: ChunkIndex, node: TreeNode,
            totals: ContributionTotals, peer: PeerIdentity, digest: UInt64
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

    /// An event that a shard takes in.
    public enum Event: Hashable, Sendable {
        /// The state of all chunks at `step` is in memory.
        case restored(step: Step, placement: Placement, stepLimit: Step)
        /// A worker's sum of one node over one chunk has come.
        case contribution(Contribution)
        /// A worker subscribes to weights from this version on: to one chunk, or to all chunks of
        /// the shard (nil).
        case fetch(peer: PeerIdentity, step: Step, chunk: ChunkIndex?)
        /// A worker asks which contributions to a step are missing.
        case inquiry(peer: PeerIdentity, step: Step)
        /// A worker ends its subscriptions.
        case unsubscribe(peer: PeerIdentity)
        /// The coordinator's sign of life has come.
        case alive(Alive)
        /// The coordinator asks for the state at the version at which the shard rests.
        case snapshot(Step)
        /// The coordinator asks whether this shard is in place.
        case announce
        /// The norm of the whole gradient of the present step is known.
        case normKnown
        /// Time has passed; see `nextDeadline`.
        case tick
    }

    /// The reason why a payload is dropped.
    ///
    /// - `covered`: the shard has all virtual workers below the node already.
    /// - `stale`: the step is over, or the state was not asked for.
    /// - `early`: the step is ahead of the chunk's version.
    /// - `foreignChunk`: the chunk is not the shard's, or a subscription has no room.
    /// - `foreignNode`: the node is not in the tree.
    /// - `notReady`: the shard is not in place.
    /// - `unaudited`: the sum contains an audited virtual worker, which must come by itself.
    /// - `formerPlacement`: the sum was sent for another placement of the shards.
    public enum Refusal: String, Hashable, Sendable {
        case covered, stale, early, foreignChunk, foreignNode, notReady, unaudited,
            formerPlacement
    }

    /// An action that the runtime carries out for a shard.
    public enum Action: Hashable, Sendable {
        /// Keep the payload just received as the sum of `node`, in place of the nodes `replaced`.
        case keep(chunk: ChunkIndex, node: TreeNode, replaced: [TreeNode])
        /// Put the payload just received aside, as this worker's vote on an audited virtual worker.
        case hold(chunk: ChunkIndex, node: TreeNode, peer: PeerIdentity)
        /// Keep the payload that was put aside for this worker as the sum of `node`, and drop the
        /// other votes.
        case keepHeld(chunk: ChunkIndex, node: TreeNode, peer: PeerIdentity, replaced: [TreeNode])
        /// Drop the payload just received.
        case drop(Refusal)
        /// Add two kept sums, parent := left + right. Left and right are not needed any more.
        case add(chunk: ChunkIndex, NodeSet.Merge)
        /// Compute the sums of squares of the root's blocks.
        case measure(chunk: ChunkIndex, step: Step)
        /// Divide the root by the weight sum (and statistics by the sample count), apply the
        /// optimizer as update number `step` + 1, and keep the result beside the version before it.
        case update(chunk: ChunkIndex, step: Step, sampleCount: Int, weightSum: Double)
        /// Send this version of the chunk's weights.
        case send(chunk: ChunkIndex, version: Step, placement: Placement, to: [PeerIdentity])
        /// Tell a worker which virtual workers' contributions to a step are missing.
        case tellMissing(step: Step, virtualWorkers: [VirtualWorkerIndex], to: PeerIdentity)
        /// Copy the state of a chunk, which is at `step`, and send it to the coordinator.
        case snapshot(chunk: ChunkIndex, step: Step)
        /// Send a message to the coordinator.
        case report(ControlMessage)
    }

    /// What this shard knows of the run.
    public let configuration: Configuration
    /// The version of each chunk, in the order of `configuration.chunks`; nil before the state is
    /// here.
    private var versions: [Step]?
    /// The sums of the present step that each chunk has.
    private var sums: [NodeSet]
    /// The votes on each chunk's audited virtual workers in the present step.
    private var boards: [AuditBoard]
    /// How the contributions to each chunk come in.
    private var arrivals: [Arrivals]
    /// The chunks whose sum is complete, measured, and waits for the norm.
    private var measured: Set<Int> = []
    /// Whether audits take place. An audit takes two workers; when there is only one, its results
    /// are accepted as they are.
    private var isAuditing = true
    /// The placement that the shard's state belongs to.
    private(set) var placement = Placement(0)
    private var stepLimit = Step(0)
    private var subscribers: Subscriptions
    /// The reports of finished steps that are not known to be in the ledger, in order.
    private var finished: [StepReport] = []
    /// Reports below this step were sent.
    private var sentThrough = Step(0)
    /// The value of `sentThrough` when the coordinator was last heard.
    private var sentBefore = Step(0)
    /// Whether there is progress that was not reported.
    private var isReportDue = false
    private var lastReport: Moment?
    /// The version at which the shard was put in place.
    private var restoredVersion = Step(0)

    /// Creates a shard that has no state yet.
    public init(_ configuration: Configuration) {
        self.configuration = configuration
        subscribers = Subscriptions(ownPeer: configuration.ownPeer)
        sums = configuration.chunks.map { _ in NodeSet(tree: configuration.tree) }
        boards = configuration.chunks.map { _ in AuditBoard() }
        arrivals = configuration.chunks.map { _ in Arrivals() }
    }

    /// The moments when peers began to contribute to a chunk in the present step.
    private struct Arrivals: Hashable, Sendable {
        private var peers: Set<PeerIdentity> = []
        private var first: Moment = .zero
        private var last: Moment = .zero

        /// A gap between arrivals is unusual when it is this many times as long as the mean gap.
        private static let unusual = 3
        /// With fewer peers, a gap says how fast the peers are and nothing about the network.
        private static let leastPeerCount = 3
        /// A contribution that is on its way for longer is not waited for.
        private static let longestGap = Duration.seconds(2)

        /// Notes a peer's contribution. Only a peer's first one counts.
        mutating func add(_ peer: PeerIdentity, at now: Moment) {
            guard peers.insert(peer).inserted else { return }
            if peers.count == 1 { first = now }
            last = now
        }

        /// Returns whether contributions still come in one after the other. They do so for a while
        /// where many of them pass a slow network. What is missing is then on its way, and no
        /// worker is late.
        func areComing(at now: Moment) -> Bool {
            guard peers.count >= Self.leastPeerCount, now - last < Self.longestGap else {
                return false
            }
            return (now - last) * (peers.count - 1) < (last - first) * Self.unusual
        }
    }

    /// Whether all chunks wait for the norm of the whole gradient.
    public var isMeasured: Bool {
        configuration.needsNorm && measured.count == configuration.chunks.count
    }

    /// The version that every chunk has reached; nil before the state is here.
    public var version: Step? { versions.map { $0.min() ?? stepLimit } }

    /// The moment when `tick` is wanted next; nil when it is not.
    public var nextDeadline: Moment? {
        isReportDue ? (lastReport ?? .zero) + configuration.reportInterval : nil
    }

    /// Takes in an event and returns the actions to carry out, in order.
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
        case .normKnown: updateAll(now: now)
        case .tick: flushReport(now: now, force: false)
        }
    }

    /// The state as text, for reports of simulations.
    public var stateText: String {
        "placement \(placement), versions \(versions ?? []), "
            + "missing \(sums.map(\.missingVirtualWorkers))"
    }

    private mutating func restore(
        _ step: Step, placement: Placement, stepLimit: Step, now: Moment
    ) -> [Action] {
        versions = configuration.chunks.map { _ in step }
        sums = configuration.chunks.map { _ in NodeSet(tree: configuration.tree) }
        boards = configuration.chunks.map { _ in AuditBoard() }
        arrivals = configuration.chunks.map { _ in Arrivals() }
        measured = []
        restoredVersion = step
        self.placement = placement
        self.stepLimit = stepLimit
        finished = []
        sentThrough = step
        sentBefore = step
        isReportDue = false
        return announce()
    }

    /// Tells the coordinator that the shard is in place, if it is.
    private func announce() -> [Action] {
        guard versions != nil else { return [] }
        let ready = ShardReady(
            shard: configuration.shard, placement: placement, step: restoredVersion)
        return [.report(.shardReady(ready))]
    }

    private mutating func take(_ contribution: Contribution, now: Moment) -> [Action] {
        guard let versions else { return [.drop(.notReady)] }
        // The floats of a former placement would be the same. But a shard that takes what was sent
        // before the shards were put back could get further ahead of the others than weights are
        // kept for.
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
        let span = configuration.tree.virtualWorkers(below: canonical)
        if isAuditing, let audit = configuration.audit {
            if span.count == 1, audit.isAudited(step: step, virtualWorker: span.lowerBound) {
                let vote = AuditBoard.Vote(
                    digest: contribution.digest, totals: contribution.totals)
                return consider(
                    vote, by: contribution.peer, of: canonical, at: position, now: now)
            }
            // Audited virtual workers are compared one by one, so a sum that contains one is not
            // taken.
            if span.contains(where: { audit.isAudited(step: step, virtualWorker: $0) }) {
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

    /// Takes in a vote on an audited virtual worker. A vote counts when another worker's vote is
    /// the same.
    ///
    /// - Parameter position: the chunk's index in `configuration.chunks`.
    private mutating func consider(
        _ vote: AuditBoard.Vote, by peer: PeerIdentity, of node: TreeNode, at position: Int,
        now: Moment
    ) -> [Action] {
        guard let step = versions?[position] else { return [] }
        let virtualWorker = configuration.tree.virtualWorkers(below: node).lowerBound
        guard sums[position].missingVirtualWorkers.contains(virtualWorker) else {
            return [.drop(.covered)]
        }
        let chunk = configuration.chunks[position]
        let held = Action.hold(chunk: chunk, node: node, peer: peer)
        switch boards[position].add(vote, virtualWorker: virtualWorker, by: peer) {
        case .waiting: return [held]
        case .disputed(let peers):
            let dispute = AuditFinding(step: step, virtualWorker: virtualWorker, peers: peers)
            return [held, .report(.disputed(dispute))]
        case .agreed(let by, let liars):
            let verdict = AuditFinding(step: step, virtualWorker: virtualWorker, peers: liars)
            return [held] + accept(vote, by: by, of: node, at: position, now: now)
                + (liars.isEmpty ? [] : [.report(.contradicted(verdict))])
        }
    }

    /// Takes the sum that a vote stands for as the sum of a virtual worker's node.
    private mutating func accept(
        _ vote: AuditBoard.Vote, by peer: PeerIdentity, of node: TreeNode, at position: Int,
        now: Moment
    ) -> [Action] {
        boards[position].settle(configuration.tree.virtualWorkers(below: node).lowerBound)
        guard
            case .accepted(let replaced, let merges) =
                sums[position].insert(node, totals: vote.totals)
        else { return [] }
        let chunk = configuration.chunks[position]
        return [.keepHeld(chunk: chunk, node: node, peer: peer, replaced: replaced)]
            + finish(position, merges, now: now)
    }

    /// Carries out the additions that became possible. Once the root is there, updates the chunk, or
    /// measures it where an update needs the norm of the whole gradient.
    private mutating func finish(
        _ position: Int, _ merges: [NodeSet.Merge], now: Moment
    ) -> [Action] {
        guard let versions else { return [] }
        let chunk = configuration.chunks[position]
        let additions: [Action] = merges.map { .add(chunk: chunk, $0) }
        guard let root = sums[position].rootTotals else { return additions }
        // A worker may hear of a higher limit first. The step's learning rate comes with the limit.
        if configuration.waitsForLimit, versions[position] >= stepLimit { return additions }
        guard configuration.needsNorm else {
            return additions + update(position, root, now: now)
        }
        guard measured.insert(position).inserted else { return additions }
        return additions + [.measure(chunk: chunk, step: versions[position])]
    }

    /// Updates all chunks, because the norm of the whole gradient is known.
    private mutating func updateAll(now: Moment) -> [Action] {
        guard isMeasured else { return [] }
        measured = []
        var actions: [Action] = []
        for position in sums.indices {
            guard let root = sums[position].rootTotals else { continue }
            actions += update(position, root, now: now)
        }
        return actions
    }

    /// Updates a chunk whose root is there.
    private mutating func update(
        _ position: Int, _ root: ContributionTotals, now: Moment
    ) -> [Action] {
        guard var versions else { return [] }
        let step = versions[position]
        let chunk = configuration.chunks[position]
        let version = step.next
        versions[position] = version
        self.versions = versions
        sums[position] = NodeSet(tree: configuration.tree)
        boards[position] = AuditBoard()
        arrivals[position] = Arrivals()
        var actions: [Action] = [
            .update(
                chunk: chunk, step: step, sampleCount: root.sampleCount, weightSum: root.weightSum),
            .send(
                chunk: chunk, version: version, placement: placement,
                to: subscribers.peers(ofChunk: chunk)),
        ]
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

    /// Subscribes a worker, and sends it the present version of the weights. A worker that asks for
    /// an older version gets the version before the present one too: the worker may have to finish
    /// a step that another shard has not finished.
    private mutating func fetch(
        _ peer: PeerIdentity, _ step: Step, _ wanted: ChunkIndex?
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

    /// Says which contributions to a step are missing, so that a worker with nothing to do can
    /// compute what others are late with.
    private func answer(_ peer: PeerIdentity, _ step: Step, now: Moment) -> [Action] {
        guard let versions else { return [] }
        let open = sums.indices.filter {
            versions[$0] == step && !arrivals[$0].areComing(at: now)
        }
        let missing = Set(open.flatMap { sums[$0].missingVirtualWorkers }).sorted()
            .prefix(Self.maximumMissingCount)
        if missing.isEmpty { return [] }
        return [.tellMissing(step: step, virtualWorkers: Array(missing), to: peer)]
    }

    /// The highest number of workers that can subscribe to a shard or to one of its chunks.
    public static let maximumSubscriberCount = 4096
    /// The highest number of virtual workers in one answer.
    private static let maximumMissingCount = 1024

    private mutating func unsubscribe(_ peer: PeerIdentity) -> [Action] {
        subscribers.remove(peer)
        return []
    }

    /// Takes in the coordinator's sign of life. Reports that are in the ledger are dropped, reports
    /// that the coordinator lacks are sent again, and the coordinator hears which version this
    /// shard is at.
    private mutating func heard(_ alive: Alive, now: Moment) -> [Action] {
        stepLimit = alive.stepLimit
        finished.removeAll { $0.step < alive.recorded }
        // A report that was sent a whole heartbeat ago and has not arrived is lost.
        let received = max(alive.recorded, alive.received)
        if received < sentBefore { sentThrough = min(sentThrough, received) }
        sentBefore = sentThrough
        let audits =
            updateWaiting(now: now) + auditAgain(workerCount: alive.workerCount, now: now)
        guard let version else { return audits }
        isReportDue = true
        return audits + flushReport(now: now, force: version == stepLimit)
    }

    /// Updates the chunks that have the whole sum of a step and have waited for the limit.
    private mutating func updateWaiting(now: Moment) -> [Action] {
        guard configuration.waitsForLimit else { return [] }
        return sums.indices.flatMap { finish($0, [], now: now) }
    }

    /// Reports disputes again. When only one worker is left, accepts the first vote on each virtual
    /// worker, since no other worker can confirm it.
    private mutating func auditAgain(workerCount: Int, now: Moment) -> [Action] {
        guard configuration.audit != nil, let versions else { return [] }
        isAuditing = workerCount >= 2
        var actions: [Action] = []
        for position in boards.indices {
            if isAuditing {
                let step = versions[position]
                actions += boards[position].disputes.map { virtualWorker, peers in
                    .report(
                        .disputed(
                            AuditFinding(step: step, virtualWorker: virtualWorker, peers: peers)))
                }
                continue
            }
            for (virtualWorker, peer, vote) in boards[position].firstOpinions {
                let node = configuration.tree.canonical(.leaf(virtualWorker))
                actions += accept(vote, by: peer, of: node, at: position, now: now)
            }
        }
        return actions
    }

    /// Copies the state of all chunks, if all of them are at this version.
    private func snapshot(_ step: Step) -> [Action] {
        guard let versions, versions.allSatisfy({ $0 == step }) else { return [] }
        return configuration.chunks.map { .snapshot(chunk: $0, step: step) }
    }

    /// Sends the report that is due, unless the last one was sent a short time ago and `force` is
    /// false.
    private mutating func flushReport(now: Moment, force: Bool) -> [Action] {
        guard isReportDue, let version else { return [] }
        if !force, let lastReport, now < lastReport + configuration.reportInterval { return [] }
        // A step counts once every chunk of this shard has it. Reports are kept until the
        // coordinator says that they are in its ledger.
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

    /// The highest number of step reports in one message.
    private static let maximumReportCount = 1000
}
