/// Decides what a worker computes and sends: which tree nodes, on which version of the weights, and
/// what it sends again.
///
/// The machine never sees a float. Everything that it asks for twice is harmless: a contribution is
/// a pure function of (run, step, node).
public struct WorkerMachine: Sendable {
    /// What a worker must know of the run.
    public struct Run: Hashable, Sendable {
        /// The worker's identity.
        public var identity: PeerIdentity
        /// The run's reduction tree.
        public var tree: ReductionTree
        /// How the flat vector is cut into slices and chunks.
        public var plan: SlicePlan
        /// Weights that have not come after this time are asked for again.
        public var retryInterval: Duration
        /// A number that differs between workers, so that two of them do not help with the same
        /// virtual workers.
        public var salt: Int
        /// The number of virtual workers that the worker computes at a time.
        public var threadCount: Int
        /// The choice of audited virtual workers; nil without audits.
        public var audit: AuditPlan?

        /// Creates the description of a run.
        public init(
            identity: PeerIdentity, tree: ReductionTree, plan: SlicePlan, retryInterval: Duration,
            salt: Int = 0, threadCount: Int = 1, audit: AuditPlan? = nil
        ) {
            self.identity = identity
            self.tree = tree
            self.plan = plan
            self.retryInterval = retryInterval
            self.salt = salt
            self.threadCount = threadCount
            self.audit = audit
        }
    }

    /// An event that a worker takes in.
    public enum Event: Hashable, Sendable {
        /// The coordinator assigns virtual workers.
        case assignment(Assignment)
        /// The coordinator moves the step limit: steps below it may run.
        case stepLimit(Step)
        /// The coordinator asks the worker to begin no further step.
        case hold(Hold)
        /// The coordinator asks for an evaluation of some chunks of the test records.
        case evaluate(Evaluate)
        /// The coordinator asks for one virtual worker once more, because workers disagree about
        /// it.
        case recompute(Recompute)
        /// A chunk of the weights has come. `placement` is the one that the sender knows: weights
        /// from before the shards were put back do not count.
        case weights(shard: ShardIndex, chunk: ChunkIndex, version: Step, placement: Placement)
        /// The sum of a node is complete.
        case nodeComputed(step: Step, node: TreeNode)
        /// These chunks of a node that is being computed are final; the rest follows.
        case chunksComputed(step: Step, node: TreeNode, chunks: Range<ChunkIndex>)
        /// A shard has answered an inquiry: it still waits for these virtual workers.
        case missing(step: Step, virtualWorkers: [VirtualWorkerIndex])
        /// The evaluation is done.
        case evaluated(Evaluated)
        /// Time has passed; see `nextDeadline`.
        case tick
    }

    /// Chunks of a computed node that are to be sent.
    public struct Contribution: Hashable, Sendable {
        /// The step that the node belongs to.
        public var step: Step
        /// The node whose sum is sent.
        public var node: TreeNode
        /// The chunks of the sum that are sent, as far as they belong to `shards`.
        public var chunks: Range<ChunkIndex>
        /// The shards that the chunks are for.
        public var shards: [ShardIndex]
        /// The placement of the shards that the sum is for.
        public var placement: Placement
        /// Whether the chunks go straight to the shards, past the relays.
        public var isStraight: Bool

        /// Creates a contribution.
        public init(
            step: Step, node: TreeNode, chunks: Range<ChunkIndex>, shards: [ShardIndex],
            placement: Placement, isStraight: Bool
        ) {
            self.step = step
            self.node = node
            self.chunks = chunks
            self.shards = shards
            self.placement = placement
            self.isStraight = isStraight
        }
    }

    /// An action that the runtime carries out for a worker.
    public enum Action: Hashable, Sendable {
        /// Send a message to the coordinator.
        case tell(ControlMessage)
        /// Connect to these shards, and to relays where there are some; drop connections to others.
        /// With `isRerouted`, unsubscribe from everything first, because the relays have changed.
        case connect([ShardPlacement], RelayRoutes?, isRerouted: Bool)
        /// Create the compute engines. This comes once, before anything is computed.
        case useInstructionSet(String)
        /// Subscribe to a shard's weights from this version on: to one chunk, or to all chunks
        /// (nil).
        case fetch(shard: ShardIndex, chunk: ChunkIndex?, version: Step)
        /// Subscribe to a chunk's weights at its relay, from this version on.
        case follow(chunk: ChunkIndex, version: Step)
        /// Ask a shard which contributions to a step are missing.
        case inquire(shard: ShardIndex, step: Step)
        /// Copy the chunk just received into the buffer of its version.
        case store(chunk: ChunkIndex, version: Step)
        /// Drop the chunks that have come of this version.
        case abandonWeights(version: Step)
        /// Compute with this version from now on. What belongs to older steps is not needed any
        /// more. The virtual workers are those assigned to this worker.
        case adopt(Step, virtualWorkers: [VirtualWorkerIndex])
        /// Drop all weights and results.
        case reset
        /// Compute the sums of these nodes with the weights in use.
        case compute(step: Step, nodes: [TreeNode])
        /// Send chunks of a sum that is computed.
        case contribute(Contribution)
        /// Evaluate chunks of the test records with the weights in use.
        case evaluate(Evaluate)
        /// An assignment was taken in, for the log and for fetching data ahead.
        case assigned(Assignment)
        /// The weights of these shards are asked for again, for the log.
        case retried(step: Step, shards: [ShardIndex])
    }

    /// The work on one step.
    struct Round: Hashable, Sendable {
        var step: Step
        /// The virtual workers that were asked for in this step, including those computed for
        /// others.
        var virtualWorkers: Set<VirtualWorkerIndex> = []
        /// The nodes that are being computed.
        var pending: Set<TreeNode> = []
        /// The nodes that have been sent.
        var contributed: [TreeNode] = []
        /// The first chunk that was sent of each pending node whose last chunks have been sent
        /// already.
        var sentFrom: [TreeNode: ChunkIndex] = [:]
        /// The moment when the step began.
        var begun: Moment
        /// The moment when everything asked for so far was done; nil while something is being
        /// computed.
        var idleSince: Moment?
        /// The moment when the worker's own share was done; nil before that.
        var ownDone: Moment?
        /// How many times the worker took work of others, for lack of other work.
        var helpCount = 0
        /// The moment when the last inquiry was sent.
        var lastInquiry: Moment?
        /// The number of inquiries so far.
        var inquiryCount = 0
    }

    /// What the worker knows of the run.
    public let run: Run
    var weights: WeightAssembly
    /// The newest assignment; nil before the first one.
    var assignment: Assignment?
    /// The step in work; nil between steps.
    var round: Round?
    /// The ways over relays; nil where there are none.
    private var routes: RelayRoutes?
    /// The number of times that the next weights were asked for again.
    private var retryCount = 0
    /// Whether the coordinator has asked this worker to begin no further step.
    private var isHolding = false
    /// The evaluation that waits for its weights.
    private var evaluation: Evaluate?
    /// The moment when weights last came or were last asked for.
    private var lastArrival: Moment = .zero
    /// How long the worker's own share of a step takes, smoothed.
    var ownTime: Duration?
    /// How long after the worker's own share the next weights come, smoothed.
    var usualWait: Duration?
    /// The number of steps that `usualWait` was learned from.
    var waitCount = 0
    /// The last step in which help was of use; nil when later help was of no use.
    var lastHelped: Step?

    /// Creates a worker without an assignment.
    public init(_ run: Run) {
        self.run = run
        weights = WeightAssembly(chunkCount: run.plan.chunks.count)
    }

    /// The step in work, or the one that would be next.
    public var currentStep: Step { weights.complete ?? Step(0) }
    /// The generation of the assignment; 0 without one.
    public var generation: Generation { assignment?.generation ?? Generation(0) }
    /// The placement of the shards that the worker sends to; 0 without an assignment.
    public var placement: Placement { assignment?.placement ?? Placement(0) }

    /// The state as text, for reports of simulations.
    public var stateText: String {
        "generation \(generation), virtual workers \(assignment?.virtualWorkers ?? []), "
            + "limit \(assignment?.stepLimit ?? Step(0)), placement \(placement), "
            + "hosts \(assignment?.shards.map(\.host) ?? []), holding \(isHolding), "
            + "from \(assignment?.fromStep ?? Step(0)), round \(round.map { "\($0)" } ?? "none")"
    }

    /// Takes in an event and returns the actions to carry out, in order.
    public mutating func step(_ event: Event, now: Moment) -> [Action] {
        switch event {
        case .assignment(let assignment): take(assignment, now: now)
        case .stepLimit(let limit): changeLimit(limit, now: now)
        case .hold(let hold): self.hold(hold)
        case .evaluate(let evaluate): prepareEvaluation(evaluate)
        case .recompute(let order): recompute(order)
        case .weights(let shard, let chunk, let version, let placement):
            placement == assignment?.placement ? receive(shard, chunk, version, now: now) : []
        case .nodeComputed(let step, let node): nodeComputed(step, node, now: now)
        case .chunksComputed(let step, let node, let chunks): chunksComputed(step, node, chunks)
        case .missing(let step, let virtualWorkers): help(step, virtualWorkers)
        case .evaluated(let evaluated): [.tell(.evaluated(evaluated))]
        case .tick: inquire(now: now) + retry(now: now)
        }
    }

    // MARK: Orders

    private mutating func take(_ next: Assignment, now: Moment) -> [Action] {
        guard next.generation > generation else { return [] }
        let former = assignment
        var actions: [Action] = [.assigned(next)]
        if former == nil { actions.append(.useInstructionSet(next.instructionSet)) }
        let isMoved = former?.placement != next.placement
        if isMoved, former != nil {
            weights.reset()
            round = nil
            lastHelped = nil
            evaluation = nil
            actions.append(.reset)
        }
        isHolding = false
        assignment = next
        let routes = RelayRoutes(next.relayGroups, of: run.identity, tree: run.tree)
        if isMoved || former?.shards != next.shards || routes != self.routes {
            actions += connect(next.shards, routes, now: now)
        }
        return actions + work(now: now)
    }

    private mutating func connect(
        _ shards: [ShardPlacement], _ routes: RelayRoutes?, now: Moment
    ) -> [Action] {
        lastArrival = now
        let isRerouted = routes != self.routes
        self.routes = routes
        let names = shards.map(\.shard)
        return [.connect(shards, routes, isRerouted: isRerouted)] + subscribe(to: names)
            + contributeAgain(to: names) + (isRerouted ? contributeEarlyChunksAgain() : [])
    }

    private func subscribe(to shards: [ShardIndex]) -> [Action] {
        let wanted = weights.wanted ?? Step(0)
        guard let routes else {
            return shards.map { .fetch(shard: $0, chunk: nil, version: wanted) }
        }
        return shards.flatMap { shard in
            run.plan.chunks(of: shard).map { chunk in
                routes.source(ofChunk: chunk.index) == nil
                    ? .fetch(shard: shard, chunk: chunk.index, version: wanted)
                    : .follow(chunk: chunk.index, version: wanted)
            }
        }
    }

    private mutating func changeLimit(_ limit: Step, now: Moment) -> [Action] {
        guard let assignment, limit != assignment.stepLimit else { return [] }
        self.assignment?.stepLimit = limit
        return work(now: now)
    }

    private mutating func hold(_ hold: Hold) -> [Action] {
        isHolding = true
        let next = round?.step.next ?? currentStep
        return [.tell(.holding(Holding(number: hold.number, step: next)))]
    }

    // MARK: Steps

    /// Returns whether a chunk of the weights that has come would be stored.
    public func wants(
        shard: ShardIndex, chunk: ChunkIndex, version: Step, placement: Placement
    ) -> Bool {
        placement == assignment?.placement && isPart(chunk, of: shard)
            && weights.wants(chunk: chunk, version: version)
    }

    private func isPart(_ chunk: ChunkIndex, of shard: ShardIndex) -> Bool {
        run.plan.contains(chunk) && run.plan[chunk].shard == shard
    }

    private mutating func receive(
        _ shard: ShardIndex, _ chunk: ChunkIndex, _ version: Step, now: Moment
    ) -> [Action] {
        guard isPart(chunk, of: shard),
            case .store(let complete, let abandoned) = weights.receive(
                chunk: chunk, version: version)
        else { return [] }
        lastArrival = now
        var actions: [Action] = [.store(chunk: chunk, version: version)]
        actions += abandoned.map { .abandonWeights(version: $0) }
        guard complete else { return actions }
        retryCount = 0
        if let round { learn(from: round, now: now) }
        round = nil
        actions.append(.adopt(version, virtualWorkers: assignment?.share(in: version) ?? []))
        return actions + work(now: now) + startEvaluation()
    }

    /// Begins the current step, or takes up virtual workers that were added to it.
    private mutating func work(now: Moment) -> [Action] {
        guard let assignment, let step = weights.complete, step < assignment.stepLimit,
            !isHolding || round != nil
        else { return [] }
        var round = self.round ?? Round(step: step, begun: now, idleSince: now)
        let share = assignment.share(in: step)
        let duties = assignment.audits(in: step).filter { isAudited($0, in: step) }
        let added = Set(share + duties).sorted().filter {
            run.tree.contains($0) && !round.virtualWorkers.contains($0)
        }
        let nodes = self.nodes(covering: added, in: step)
        round.virtualWorkers.formUnion(added)
        round.pending.formUnion(nodes)
        if !nodes.isEmpty {
            round.idleSince = nil
        } else if round.pending.isEmpty {
            round.ownDone = round.ownDone ?? now
        }
        self.round = round
        return nodes.isEmpty ? [] : [.compute(step: step, nodes: nodes)]
    }

    private func isAudited(_ virtualWorker: VirtualWorkerIndex, in step: Step) -> Bool {
        run.audit?.isAudited(step: step, virtualWorker: virtualWorker) ?? false
    }

    /// Returns the fewest nodes that cover these virtual workers. Audited ones are compared one by
    /// one, so each of them is a node by itself.
    func nodes(covering virtualWorkers: [VirtualWorkerIndex], in step: Step) -> [TreeNode] {
        let audited = virtualWorkers.filter { isAudited($0, in: step) }
        let others = virtualWorkers.filter { !isAudited($0, in: step) }
        return run.tree.maximalNodes(covering: others)
            + audited.map { run.tree.canonical(.leaf($0)) }
    }

    private mutating func nodeComputed(_ step: Step, _ node: TreeNode, now: Moment) -> [Action] {
        guard var round, round.step == step, round.pending.remove(node) != nil else { return [] }
        round.contributed.append(node)
        if round.pending.isEmpty {
            round.idleSince = now
            if round.helpCount == 0 {
                let time = now - round.begun
                ownTime = ownTime.map { $0 * 0.8 + time * 0.2 } ?? time
                round.ownDone = now
            }
        }
        let all = run.plan.chunkIndices
        let end = round.sentFrom.removeValue(forKey: node) ?? all.upperBound
        self.round = round
        return [contribution(step, node, all.lowerBound..<end)] + inquire(now: now)
    }

    /// Sends chunks as soon as they are final, the last ones first. The rest is sent with the node.
    private mutating func chunksComputed(
        _ step: Step, _ node: TreeNode, _ chunks: Range<ChunkIndex>
    ) -> [Action] {
        guard round?.step == step, round?.pending.contains(node) == true else { return [] }
        round?.sentFrom[node] = chunks.lowerBound
        return [contribution(step, node, chunks)]
    }

    private func contribution(
        _ step: Step, _ node: TreeNode, _ chunks: Range<ChunkIndex>,
        to shards: [ShardIndex]? = nil, isStraight: Bool? = nil
    ) -> Action {
        .contribute(
            Contribution(
                step: step, node: node, chunks: chunks, shards: shards ?? run.plan.shards,
                placement: placement, isStraight: isStraight ?? self.isStraight(node, in: step)))
    }

    /// Returns whether a node's sum goes past the relays. A relay would hide which worker computed
    /// an audited gradient, and where help is wanted, the relay may be what is late.
    private func isStraight(_ node: TreeNode, in step: Step) -> Bool {
        guard let assignment, routes != nil else { return true }
        let span = run.tree.virtualWorkers(below: node)
        return span.count == 1 && isAudited(span.lowerBound, in: step)
            || !assignment.share(in: step).contains(span.lowerBound)
    }

    /// Computes a virtual worker once more, because other workers disagree about it.
    private mutating func recompute(_ order: Recompute) -> [Action] {
        guard var round, round.step == order.step, run.tree.contains(order.virtualWorker)
        else { return [] }
        let node = run.tree.canonical(.leaf(order.virtualWorker))
        guard round.pending.insert(node).inserted else { return [] }
        round.virtualWorkers.insert(order.virtualWorker)
        round.idleSince = nil
        self.round = round
        return [.compute(step: round.step, nodes: [node])]
    }

    // MARK: Waiting

    /// Sends the sums of the present step to shards again, past the relays.
    private func contributeAgain(to shards: [ShardIndex]) -> [Action] {
        guard let round, !shards.isEmpty else { return [] }
        return round.contributed.map {
            contribution(
                round.step, $0, run.plan.chunkIndices, to: shards, isStraight: true)
        }
    }

    /// Sends the early chunks of pending nodes again, past the relays: they may be with a relay
    /// that is gone.
    private func contributeEarlyChunksAgain() -> [Action] {
        guard let round else { return [] }
        return round.sentFrom.sorted { $0.key < $1.key }.map { node, first in
            contribution(
                round.step, node, first..<run.plan.chunkIndices.upperBound, isStraight: true)
        }
    }

    private mutating func prepareEvaluation(_ evaluate: Evaluate) -> [Action] {
        evaluation = evaluate
        return startEvaluation()
    }

    private mutating func startEvaluation() -> [Action] {
        guard let evaluation, evaluation.step == weights.complete else { return [] }
        self.evaluation = nil
        return [.evaluate(evaluation)]
    }

    /// Asks again for weights that do not come, and sends again the sums that they wait for.
    private mutating func retry(now: Moment) -> [Action] {
        guard let assignment, !assignment.shards.isEmpty, isWaitingForWeights,
            now - max(lastArrival, round?.ownDone ?? .zero) >= retryInterval
        else { return [] }
        lastArrival = now
        let late = Set(weights.missing.map { run.plan[$0].shard }).sorted()
        let wanted = weights.wanted ?? Step(0)
        let again = Action.retried(step: wanted, shards: late)
        retryCount += 1
        if let routes, !routes.isStraight {
            // A relay may be what fails. The first retry asks it again, and the next one goes
            // without relays.
            guard retryCount == 1 else {
                return connect(assignment.shards, routes.straight, now: now) + [again]
            }
            return subscribe(to: late) + contributeAgain(to: late) + [again]
        }
        return late.map { .fetch(shard: $0, chunk: nil, version: wanted) }
            + contributeAgain(to: late) + [again]
    }

    /// How long the worker waits for weights before it asks again. Where exchanges take long,
    /// asking sooner would make them longer, so the usual wait counts four times. Until the usual
    /// wait is known, the run's interval counts four times.
    private var retryInterval: Duration {
        waitCount < Self.firstWaitCount
            ? run.retryInterval * 4 : max(run.retryInterval, (usualWait ?? .zero) * 4)
    }

    /// Whether the worker can do nothing before more weights come.
    var isWaitingForWeights: Bool {
        guard let assignment else { return false }
        guard let step = weights.complete else { return true }
        if let evaluation, evaluation.step > step { return true }
        return step < assignment.stepLimit && (round?.pending.isEmpty ?? true)
    }
}
