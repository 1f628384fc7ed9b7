/// Decides what a worker computes: which tree nodes, on which version of the weights, what it sends
/// and what it sends again.
///
/// The machine never sees a float. Everything it asks for twice is harmless: a contribution is a pure
/// function of (run, step, node).
public struct WorkerMachine: Sendable {
    /// What a worker must know of the run.
    public struct Run: Hashable, Sendable {
        public var identity: PeerIdentity
        public var tree: ReductionTree
        public var plan: SlicePlan
        /// A wait for weights that lasts longer than this is answered by asking again.
        public var retryInterval: Duration
        /// Differs from worker to worker, so that two who help do not help with the same.
        public var salt: Int
        /// Leaves this worker computes at a time.
        public var threadCount: Int
        public var audit: AuditPlan?

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

    public enum Event: Hashable, Sendable {
        case assignment(Assignment)
        case stepLimit(Step)
        case hold(Hold)
        case evaluate(Evaluate)
        case recompute(Recompute)
        /// `placement` is the sender's: what shards sent before they were put back does not count.
        case weights(shard: ShardIndex, chunk: Int, version: Step, placement: Int)
        case nodeComputed(step: Step, node: TreeNode)
        /// These chunks of a node that is being computed are final; the rest follows.
        case chunksComputed(step: Step, node: TreeNode, chunks: Range<Int>)
        /// A shard's answer: the virtual workers it still waits for.
        case missing(step: Step, leaves: [Int])
        case evaluated(Evaluated)
        case tick
    }

    /// Chunks of a computed node that are to be sent.
    public struct Contribution: Hashable, Sendable {
        /// The step that the node belongs to.
        public var step: Step
        /// The node whose sum is sent.
        public var node: TreeNode
        /// The chunks of the sum that are sent, as far as they belong to `shards`.
        public var chunks: Range<Int>
        /// The shards that are sent to.
        public var shards: [ShardIndex]
        /// The placement of the shards that the sum is for.
        public var placement: Int
        /// Whether the chunks go to the shards directly, and not by relays where there are some.
        public var isStraight: Bool

        /// Creates a contribution.
        public init(
            step: Step, node: TreeNode, chunks: Range<Int>, shards: [ShardIndex], placement: Int,
            isStraight: Bool
        ) {
            self.step = step
            self.node = node
            self.chunks = chunks
            self.shards = shards
            self.placement = placement
            self.isStraight = isStraight
        }
    }

    public enum Action: Hashable, Sendable {
        case tell(ControlMessage)
        /// Connect to these shards, and to relays where there are some; drop connections to others.
        /// With `isRerouted`, first unsubscribe from everything: the relays are others now.
        case connect([ShardPlacement], RelayRoutes?, isRerouted: Bool)
        /// Create the compute engines; comes once, before anything is computed.
        case useInstructionSet(String)
        /// Ask a shard for weights, of all its chunks (nil) or of one.
        case fetch(shard: ShardIndex, chunk: Int?, version: Step)
        /// Ask the relay for a chunk's weights.
        case follow(chunk: Int, version: Step)
        case inquire(shard: ShardIndex, step: Step)
        /// Copy the chunk just received into the buffer of its version.
        case store(chunk: Int, version: Step)
        case abandonWeights(version: Step)
        /// Compute with this version from now on; what belongs to older steps is not needed any more.
        /// The virtual workers are this worker's in the step.
        case adopt(Step, virtualWorkers: [Int])
        /// Forget all weights and results.
        case reset
        case compute(step: Step, nodes: [TreeNode])
        case contribute(Contribution)
        case evaluate(Evaluate)
        case assigned(Assignment)
        case retried(step: Step, shards: [ShardIndex])
    }

    /// The work on one step.
    struct Round: Hashable, Sendable {
        var step: Step
        /// Leaves that were asked for in this step.
        var leaves: Set<Int> = []
        var pending: Set<TreeNode> = []
        var contributed: [TreeNode] = []
        /// Nodes that are pending and have sent their last chunks already: the first chunk sent.
        var sentFrom: [TreeNode: Int] = [:]
        /// When it began, and when everything asked for so far was done.
        var begun: Moment
        var idleSince: Moment?
        /// When its own share was done.
        var ownDone: Moment?
        /// How often work of others was taken, for lack of other work.
        var helpCount = 0
        var lastInquiry: Moment?
        /// Inquiries so far.
        var inquiryCount = 0
    }

    public let run: Run
    var weights: WeightAssembly
    var assignment: Assignment?
    var round: Round?
    /// Nil where there are no relays.
    private var routes: RelayRoutes?
    /// How often the next weights were asked for again.
    private var retryCount = 0
    private var isHolding = false
    private var evaluation: Evaluate?
    private var lastArrival: Moment = .zero
    /// How long its own share takes this worker, smoothed.
    var ownTime: Duration?
    /// How long after that the next weights come, smoothed.
    var usualWait: Duration?
    /// Of how many steps that is known.
    var waitCount = 0
    /// The last step in which work of others that it took was of use; nil when it was of none
    /// since.
    var lastHelped: Step?

    public init(_ run: Run) {
        self.run = run
        weights = WeightAssembly(chunkCount: run.plan.chunks.count)
    }

    /// The step in work, or the one that would be next.
    public var currentStep: Step { weights.complete ?? Step(0) }
    public var generation: Generation { assignment?.generation ?? Generation(0) }
    public var placement: Int { assignment?.placement ?? 0 }

    /// For reports of simulations.
    public var stateText: String {
        "generation \(generation), virtual workers \(assignment?.virtualWorkers ?? []), "
            + "limit \(assignment?.stepLimit ?? Step(0)), placement \(assignment?.placement ?? 0), "
            + "hosts \(assignment?.shards.map(\.host) ?? []), holding \(isHolding), "
            + "from \(assignment?.fromStep ?? Step(0)), round \(round.map { "\($0)" } ?? "none")"
    }

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
        case .missing(let step, let leaves): help(step, leaves)
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

    /// Whether a chunk of the weights that has come would be stored.
    public func wants(shard: ShardIndex, chunk: Int, version: Step, placement: Int) -> Bool {
        placement == assignment?.placement && isPart(chunk, of: shard)
            && weights.wants(chunk: chunk, version: version)
    }

    private func isPart(_ chunk: Int, of shard: ShardIndex) -> Bool {
        run.plan.chunks.indices.contains(chunk) && run.plan.chunks[chunk].shard == shard
    }

    private mutating func receive(
        _ shard: ShardIndex, _ chunk: Int, _ version: Step, now: Moment
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
        actions.append(.adopt(version, virtualWorkers: assignment?.virtualWorkers ?? []))
        return actions + work(now: now) + startEvaluation()
    }

    /// Begins the current step, or takes up leaves that were added to it.
    private mutating func work(now: Moment) -> [Action] {
        guard let assignment, let step = weights.complete, step < assignment.stepLimit,
            !isHolding || round != nil
        else { return [] }
        var round = self.round ?? Round(step: step, begun: now, idleSince: now)
        let share = assignment.share(in: step)
        let duties = assignment.audits(in: step).filter { isAudited($0, in: step) }
        let added = Set(share + duties).sorted().filter {
            run.tree.hasLeaf($0) && !round.leaves.contains($0)
        }
        let nodes = self.nodes(covering: added, in: step)
        round.leaves.formUnion(added)
        round.pending.formUnion(nodes)
        if !nodes.isEmpty {
            round.idleSince = nil
        } else if round.pending.isEmpty {
            round.ownDone = round.ownDone ?? now
        }
        self.round = round
        return nodes.isEmpty ? [] : [.compute(step: step, nodes: nodes)]
    }

    private func isAudited(_ leaf: Int, in step: Step) -> Bool {
        run.audit?.isAudited(step: step, leaf: leaf) ?? false
    }

    /// The fewest sums for these leaves; what is compared leaf by leaf travels leaf by leaf.
    func nodes(covering leaves: [Int], in step: Step) -> [TreeNode] {
        run.tree.maximalNodes(covering: leaves.filter { !isAudited($0, in: step) })
            + leaves.filter { isAudited($0, in: step) }.map { run.tree.canonical(.leaf($0)) }
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
        let end = round.sentFrom.removeValue(forKey: node) ?? run.plan.chunks.count
        self.round = round
        return [contribution(step, node, 0..<end)] + inquire(now: now)
    }

    /// Chunks leave as soon as they are final, the last ones first; the rest leaves with the node.
    private mutating func chunksComputed(
        _ step: Step, _ node: TreeNode, _ chunks: Range<Int>
    ) -> [Action] {
        guard round?.step == step, round?.pending.contains(node) == true else { return [] }
        round?.sentFrom[node] = chunks.lowerBound
        return [contribution(step, node, chunks)]
    }

    private func contribution(
        _ step: Step, _ node: TreeNode, _ chunks: Range<Int>, to shards: [ShardIndex]? = nil,
        isStraight: Bool? = nil
    ) -> Action {
        .contribute(
            Contribution(
                step: step, node: node, chunks: chunks, shards: shards ?? run.plan.shards,
                placement: placement, isStraight: isStraight ?? self.isStraight(node, in: step)))
    }

    /// A relay would hide whose opinion on an audited leaf it is; and where help is wanted it may be
    /// what is late.
    private func isStraight(_ node: TreeNode, in step: Step) -> Bool {
        guard let assignment, routes != nil else { return true }
        let leaves = run.tree.leaves(of: node)
        return leaves.count == 1 && isAudited(leaves.lowerBound, in: step)
            || !assignment.share(in: step).contains(leaves.lowerBound)
    }

    /// Others disagree about a leaf: one more opinion.
    private mutating func recompute(_ order: Recompute) -> [Action] {
        guard var round, round.step == order.step, run.tree.hasLeaf(order.virtualWorker)
        else { return [] }
        let node = run.tree.canonical(.leaf(order.virtualWorker))
        guard round.pending.insert(node).inserted else { return [] }
        round.leaves.insert(order.virtualWorker)
        round.idleSince = nil
        self.round = round
        return [.compute(step: round.step, nodes: [node])]
    }

    // MARK: Waiting

    private func contributeAgain(to shards: [ShardIndex]) -> [Action] {
        guard let round, !shards.isEmpty else { return [] }
        return round.contributed.map {
            contribution(
                round.step, $0, run.plan.chunks.indices, to: shards, isStraight: true)
        }
    }

    /// Chunks of pending nodes may be with a relay that is gone.
    private func contributeEarlyChunksAgain() -> [Action] {
        guard let round else { return [] }
        return round.sentFrom.sorted { $0.key < $1.key }.map { node, first in
            contribution(
                round.step, node, first..<run.plan.chunks.count, isStraight: true)
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

    /// Weights that do not come are asked for, and what they wait for is sent again.
    private mutating func retry(now: Moment) -> [Action] {
        guard let assignment, !assignment.shards.isEmpty, isWaitingForWeights,
            now - max(lastArrival, round?.ownDone ?? .zero) >= retryInterval
        else { return [] }
        lastArrival = now
        let late = Set(weights.missing.map { run.plan.chunks[$0].shard }).sorted()
        let wanted = weights.wanted ?? Step(0)
        let again = Action.retried(step: wanted, shards: late)
        retryCount += 1
        if let routes, !routes.isStraight {
            // A relay may be what is missing; at first it is given a chance.
            guard retryCount == 1 else {
                return connect(assignment.shards, routes.straight, now: now) + [again]
            }
            return subscribe(to: late) + contributeAgain(to: late) + [again]
        }
        return late.map { .fetch(shard: $0, chunk: nil, version: wanted) }
            + contributeAgain(to: late) + [again]
    }

    /// Where exchanges take long, asking sooner would make them longer; at first nobody knows.
    private var retryInterval: Duration {
        waitCount < Self.firstWaitCount
            ? run.retryInterval * 4 : max(run.retryInterval, (usualWait ?? .zero) * 4)
    }

    var isWaitingForWeights: Bool {
        guard let assignment else { return false }
        guard let step = weights.complete else { return true }
        if let evaluation, evaluation.step > step { return true }
        return step < assignment.stepLimit && (round?.pending.isEmpty ?? true)
    }
}
