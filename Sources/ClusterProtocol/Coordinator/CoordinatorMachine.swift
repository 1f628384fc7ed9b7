/// Decides for the cluster: who is in, who computes what, where the slices are, how far steps may run,
/// when to evaluate, to checkpoint and to end.
///
/// The machine takes no part in a step: workers and shards go on by themselves up to the step limit.
/// It has no clock, no socket and no file; what it wants done it returns as actions.
public struct CoordinatorMachine: Sendable {
    public struct Configuration: Hashable, Sendable {
        public var run: String
        public var tree: ReductionTree
        public var plan: SlicePlan
        /// Dedicated servers; 0 puts a shard into each of the first workers.
        public var serverCount: Int
        /// Workers to wait for before the first step.
        public var workerCount: Int
        public var startStep: Step
        public var totalSteps: Step
        public var stepsPerEpoch: Int
        public var evaluationChunkCount: Int
        public var heartbeatInterval: Duration
        /// With at least one worker there, how long to wait for the rest.
        public var startTimeout: Duration
        /// With nobody to work or to hold a slice, how long to wait before the run ends with 69.
        public var lossTimeout: Duration
        public var build: String
        public var backend: String
        /// Nil: the best that all workers of the start have.
        public var instructionSet: String?
        public var data: DataSummary
        public var modelFingerprint: String
        /// Of the settings that decide bits; a member with other ones is turned away.
        public var settingsFingerprint = ""
        /// What was changed in these on the way.
        public var history = SettingsHistory()
        /// The run file as workers get it.
        public var configurationText: String
        public var bulkEndpoint: String
        /// Where workers can have partitions that are not on their host.
        public var dataEndpoint: String?
        public var maximumPeerCount = 4096
        /// Beyond so many workers they relay for the servers; 0 for never. Nil: as many as usual,
        /// and never within one host.
        public var fanIn: Int?
        /// Where it listens when other hosts can reach it, for people; nil: this host alone can.
        public var openEndpoint: String?
        /// Goes on when a loss or weights are not finite numbers any more.
        public var keepsGoing = false

        public init(
            run: String, tree: ReductionTree, plan: SlicePlan, serverCount: Int, workerCount: Int,
            startStep: Step, totalSteps: Step, stepsPerEpoch: Int, evaluationChunkCount: Int,
            heartbeatInterval: Duration, startTimeout: Duration = .seconds(30),
            lossTimeout: Duration = .seconds(60), build: String, backend: String,
            instructionSet: String? = nil, data: DataSummary, modelFingerprint: String,
            configurationText: String, bulkEndpoint: String
        ) {
            self.run = run
            self.tree = tree
            self.plan = plan
            self.serverCount = serverCount
            self.workerCount = workerCount
            self.startStep = startStep
            self.totalSteps = totalSteps
            self.stepsPerEpoch = stepsPerEpoch
            self.evaluationChunkCount = evaluationChunkCount
            self.heartbeatInterval = heartbeatInterval
            self.startTimeout = startTimeout
            self.lossTimeout = lossTimeout
            self.build = build
            self.backend = backend
            self.instructionSet = instructionSet
            self.data = data
            self.modelFingerprint = modelFingerprint
            self.configurationText = configurationText
            self.bulkEndpoint = bulkEndpoint
        }
    }

    public enum Event: Hashable, Sendable {
        case message(ControlMessage, from: PeerIdentity, over: Connection = Connection())
        /// The connection over which the peer last spoke is gone.
        case disconnected(PeerIdentity)
        /// Every part of the state at this version has arrived.
        case snapshotArrived(Step)
        case checkpointWritten(Step)
        case checkpointFailed(Step)
        /// The snapshot holds something that is not a finite number, so it was not written.
        case checkpointNotFinite(Step)
        case stopRequested
        case tick
    }

    public enum Action: Hashable, Sendable {
        case send(ControlMessage, to: PeerIdentity)
        case journal(JournalEntry)
        /// A step is finished everywhere it is reported from; each step comes once, in order.
        case record(StepReport)
        /// Write the snapshot that has arrived: the ledger has every step before it.
        case writeCheckpoint(Step)
        /// The workers begin (again) to train; the time until `rested` counts as training time.
        case began(Plan)
        case evaluated(EvaluationSummary)
        case note(Note)
        case end(Outcome)
    }

    /// What the run is about to do, for the start line.
    public struct Plan: Hashable, Sendable {
        public var workers: Int
        public var threads: Int
        public var instructionSet: String
        public var shardCount: Int
    }

    public typealias EvaluationSummary = ClusterProtocol.EvaluationSummary

    public struct Outcome: Hashable, Sendable {
        public var step: Step
        public var exitCode: Int
        public var reason: String
        public var trainingSeconds: Double
        public var workerCount: Int
        public var instructionSet: String

        public init(
            step: Step, exitCode: Int, reason: String, trainingSeconds: Double, workerCount: Int,
            instructionSet: String
        ) {
            self.step = step
            self.exitCode = exitCode
            self.reason = reason
            self.trainingSeconds = trainingSeconds
            self.workerCount = workerCount
            self.instructionSet = instructionSet
        }
    }

    /// A transition worth a line in the log and, for some, on the screen.
    public enum Note: Hashable, Sendable {
        case joined(PeerSummary)
        case ready(PeerSummary)
        case refused(PeerIdentity, Failure)
        case lost(PeerSummary, reason: String, moved: [Int], step: Step)
        case left(PeerSummary)
        case assigned(Generation, [String: [Int]])
        /// Sums and weights go by relays from now on.
        case relayed([RelayGroup])
        case placing(shards: [ShardIndex], step: Step, placement: Int)
        case shardsLost([ShardIndex], PeerSummary, backTo: Step)
        case waiting(String)
        case settled(instructionSet: String)
        case stopping(step: Step)
        /// Two workers computed different gradients for the same records; who else is asked.
        case disputed(step: Step, virtualWorker: Int, [PeerSummary], asked: [PeerSummary])
        /// A worker's gradient was contradicted by two others.
        case contradicted(PeerSummary, step: Step, virtualWorker: Int)
        /// Virtual workers move from slow to fast workers; factors are against the fastest.
        case rebalanced(slowest: PeerSummary, factor: Double, phase: String, shares: [String: Int])
        case unexpected(kind: String, PeerIdentity)
        /// The loss of a step is not a finite number. The virtual worker is the first with such a
        /// loss, the peer is who has it now.
        case flawedLoss(step: Step, virtualWorker: Int?, PeerSummary?)
        /// The weights of a version are not finite numbers.
        case flawedWeights(Step)
        /// The run goes back, to end with the last weights that are finite.
        case goingBack(to: Step)
    }

    public struct PeerSummary: Hashable, Sendable {
        public var identity: PeerIdentity
        public var role: Role
        public var ordinal: Int
        public var host: String
        public var processIdentifier: Int
        public var label: String?

        public var name: String { label.map { String($0.prefix(32)) } ?? "\(role.rawValue) \(ordinal)" }
    }

    struct Peer: Hashable, Sendable {
        enum State: Hashable, Sendable {
            case preparing, ready
        }
        var hello: Hello
        var ordinal: Int
        var state = State.preparing
        var lastHeard: Moment
        var virtualWorkers: [Int] = []
        var heartbeat: Heartbeat?
        /// The last one that tells of work.
        var busyHeartbeat: Heartbeat?
        /// Time of one virtual worker on one of its threads, smoothed; nil before the first step.
        var leafMicroseconds: Double?

        /// Where most of its time goes.
        var slowPhase: String {
            busyHeartbeat.map { $0.inputMicroseconds > $0.computeMicroseconds } ?? false
                ? "input" : "compute"
        }

        var summary: PeerSummary {
            PeerSummary(
                identity: hello.identity, role: hello.role, ordinal: ordinal, host: hello.host,
                processIdentifier: hello.processIdentifier, label: hello.label)
        }
    }

    enum Phase: Hashable, Sendable {
        case gathering(since: Moment)
        /// A coordinator that has restarted waits for the members of its run to come back.
        case recovering(since: Moment, Recovery)
        /// Slices are being put in place.
        case placing(since: Moment, waiting: Set<ShardIndex>)
        case training(since: Moment)
        case evaluating(Evaluation)
        /// Ctrl-C: finding the step at which everyone can rest.
        case holding(Holding)
        /// Waiting for the last checkpoint.
        case finishing(since: Moment, exitCode: Int, reason: String)
        /// The coordinator before this one had brought the run to its end: whoever is still there
        /// is sent home.
        case dismissing(since: Moment, count: Int, told: Set<PeerIdentity>)
        case ended
    }

    struct Evaluation: Hashable, Sendable {
        var step: Step
        var dealtAt: Moment
        var owners: [Int: PeerIdentity] = [:]
        var results: [Int: EvaluationResult] = [:]
    }

    struct Holding: Hashable, Sendable {
        var number: Int
        var trainingSince: Moment
        var waiting: Set<PeerIdentity>
        var highest: Step?
    }

    struct Shard: Hashable, Sendable {
        var host: PeerIdentity?
        var version: Step
        var isReady = false
    }

    public let configuration: Configuration
    var phase: Phase
    var peers: [PeerIdentity: Peer] = [:]
    /// Those of them that are ready, by role, in the order in which they joined.
    var readyOrder: [Role: [PeerIdentity]] = [:]
    var nextOrdinal: [Role: Int] = [:]
    public internal(set) var generation = Generation(0)
    /// Of the present generation.
    var relayGroups: [RelayGroup] = []
    var placement = 0
    /// The checkpoint that all shards were put back to. A later one may be written while some of them
    /// have yet to hear of it.
    var placementStep: Step
    var shards: [Shard]
    var limit: Step
    var stop: (exitCode: Int, reason: String)?
    /// The run has come to numbers that are none.
    var divergence: Divergence?
    /// A loss that is not finite was noted.
    var hasNotedFlaw = false
    var instructionSet: String?
    var lastCheckpoint: Step
    /// Steps in the ledger: all below this one.
    var lastRecorded: Step
    /// A snapshot that is here, but ahead of the ledger.
    var arrivedSnapshot: Step?
    /// The last step whose weights were evaluated.
    var evaluated: Step?
    /// Test records that the best weights so far classified correctly.
    var bestCorrectCount = -1
    var lastAsked: Moment = .zero
    var training = Duration.zero
    /// Workers of a run that had ended before this coordinator began.
    var workerCountAtEnd: Int?
    var holdCount = 0
    var waitingSince: Moment?
    var lastAlive: Moment = .zero
    var lastNotice: Moment?
    var lastRebalance: Moment = .zero
    /// Heartbeats have told of speeds since those were compared.
    var areSpeedsNew = false
    var lastComparison: Moment = .zero
    var lastSilenceCheck: Moment = .zero
    let startedAt: Moment
    var recent = RecentSteps()
    var tally = RunTally()
    var statusBudget = StatusBudget()

    /// - Parameter recovery: what is known of the run, for a coordinator that goes on with it.
    public init(
        _ configuration: Configuration, recovery: Recovery? = nil, now: Moment = .zero
    ) {
        self.configuration = configuration
        startedAt = now
        phase = .gathering(since: now)
        shards = configuration.plan.shards.map { _ in
            Shard(host: nil, version: configuration.startStep)
        }
        lastCheckpoint = configuration.startStep
        placementStep = configuration.startStep
        lastRecorded = configuration.startStep
        instructionSet = configuration.instructionSet
        limit = configuration.startStep
        if let recovery { recover(recovery, now: now) }
        limit = max(limit, firstLimit(from: configuration.startStep))
    }

    private mutating func recover(_ recovery: Recovery, now: Moment) {
        generation = recovery.generation
        placement = recovery.placement
        instructionSet = instructionSet ?? recovery.instructionSet
        bestCorrectCount = recovery.bestCorrectCount
        // What was evaluated beyond the checkpoint is evaluated again.
        evaluated = recovery.evaluated.map { min($0, configuration.startStep) }
        tally.lostMembers = recovery.lostMemberCount
        tally.takeovers = recovery.takeoverCount
        if let diverged = recovery.diverged, !configuration.keepsGoing {
            divergence = Divergence(after: diverged)
            stop = (65, Self.lossReason(diverged))
            hasNotedFlaw = true
        }
        if recovery.isComplete(steps: configuration.totalSteps, checkpoint: lastCheckpoint) {
            training = .seconds(recovery.trainingSeconds)
            workerCountAtEnd = recovery.workers.count
            let count =
                recovery.mayHaveMembers
                ? recovery.members.count : configuration.workerCount + configuration.serverCount
            phase = .dismissing(since: now, count: count, told: [])
            return
        }
        guard recovery.mayHaveMembers else { return }
        tally.takeovers += 1
        training = .seconds(recovery.trainingSeconds)
        evaluated = recovery.evaluated
        lastRecorded = max(lastRecorded, recovery.recorded)
        limit = max(limit, recovery.limit ?? limit)
        phase = .recovering(since: now, recovery)
    }

    /// Where steps rest first when they begin at a checkpoint: at once, when it is the end of an epoch
    /// that is still to be evaluated, since the run was stopped before.
    func firstLimit(from step: Step) -> Step {
        let isEpochEnd = step > Step(0) && step.value.isMultiple(of: configuration.stepsPerEpoch)
        return isEpochEnd && evaluated ?? Step(0) < step ? step : nextLimit(after: step)
    }

    /// The next place where steps rest: the end of the epoch, or of the run.
    func nextLimit(after step: Step) -> Step {
        let epochEnd = (step.value / configuration.stepsPerEpoch + 1) * configuration.stepsPerEpoch
        return min(Step(epochEnd), lastStep)
    }

    /// Where the run ends.
    var lastStep: Step {
        divergence.map { min($0.target, configuration.totalSteps) } ?? configuration.totalSteps
    }

    public mutating func step(_ event: Event, now: Moment) -> [Action] {
        if phase == .ended { return [] }
        let actions = react(to: event, now: now)
        tally.count(actions)
        return actions
    }

    private mutating func react(to event: Event, now: Moment) -> [Action] {
        if case .dismissing(let since, let count, let told) = phase {
            return dismiss(event, since: since, count: count, told: told, now: now)
        }
        switch event {
        case .message(let message, let peer, let connection):
            return receive(message, from: peer, over: connection, now: now)
        case .disconnected(let peer): return lose(peer, reason: "connection closed", now: now)
        case .snapshotArrived(let step):
            // From before the run went back.
            if step > lastStep { return [] }
            arrivedSnapshot = max(arrivedSnapshot ?? step, step)
            return writeWhenRecorded()
        case .checkpointWritten(let step): return checkpointed(step, now: now)
        case .checkpointFailed(let step): return checkpointFailed(step)
        case .checkpointNotFinite(let step): return checkpointNotFinite(step, now: now)
        case .stopRequested: return requestStop(now: now)
        case .tick: return tick(now: now)
        }
    }

    private mutating func receive(
        _ message: ControlMessage, from peer: PeerIdentity, over connection: Connection,
        now: Moment
    ) -> [Action] {
        if case .hello(let hello) = message {
            return join(hello, from: peer, over: connection, now: now)
        }
        if case .statusRequest(let request) = message {
            return answer(request, to: peer, now: now)
        }
        guard peers[peer] != nil else { return [.send(.introduce(Introduce()), to: peer)] }
        peers[peer]?.lastHeard = now
        switch message {
        case .ready(let ready): return becomeReady(peer, ready, now: now)
        case .heartbeat(let heartbeat): return hear(heartbeat, from: peer, now: now)
        case .shardReady(let ready): return shardReady(ready, from: peer, now: now)
        case .progress(let progress): return progressed(progress, from: peer, now: now)
        case .holding(let holding): return held(holding, by: peer, now: now)
        case .evaluated(let evaluated): return take(evaluated, from: peer, now: now)
        case .leaving: return leave(peer, now: now)
        case .failed(let failure): return failed(peer, failure, now: now)
        case .disputed(let dispute): return settle(dispute)
        case .contradicted(let verdict): return expel(verdict, now: now)
        default: return [.note(.unexpected(kind: message.kind, peer))]
        }
    }

    /// When `tick` is wanted at the latest.
    public func nextDeadline(now: Moment) -> Moment { now + configuration.heartbeatInterval / 10 }

    private mutating func tick(now: Moment) -> [Action] {
        var actions = loseSilent(now: now) + rebalance(now: now)
        if now - lastAlive >= configuration.heartbeatInterval {
            lastAlive = now
            for peer in readyPeers() {
                actions.append(.send(alive, to: peer.hello.identity))
            }
        }
        if now - lastAsked >= max(.seconds(1), configuration.heartbeatInterval) {
            lastAsked = now
            actions += askAgain(now: now)
        }
        return actions + advance(now: now)
    }

    /// Looking at everyone costs more the more there are, so it is not done in every tick.
    private mutating func loseSilent(now: Moment) -> [Action] {
        guard now - lastSilenceCheck >= configuration.heartbeatInterval / 10 else { return [] }
        lastSilenceCheck = now
        let patience = configuration.heartbeatInterval * 3
        let silent = peers.values.lazy.filter { now - $0.lastHeard > patience }
            .map { (ordinal: $0.ordinal, identity: $0.hello.identity, lastHeard: $0.lastHeard) }
        return silent.sorted { $0.ordinal < $1.ordinal }.flatMap { peer in
            lose(
                peer.identity, reason: "silent for \(Self.seconds(now - peer.lastHeard)) s",
                now: now)
        }
    }

    var alive: ControlMessage {
        .alive(
            Alive(
                stepLimit: limit, recorded: lastRecorded, received: lastRecorded,
                workerCount: readyCount(.worker)))
    }

    /// Messages can be lost with a connection that broke unnoticed: whatever is waited for is asked
    /// for again. Asking twice changes nothing.
    private mutating func askAgain(now: Moment) -> [Action] {
        switch phase {
        case .placing: return hostMessages()
        case .holding(let holding):
            return holding.waiting.sorted().map {
                .send(.hold(Hold(number: holding.number)), to: $0)
            }
        case .finishing: return askForSnapshot()
        case .evaluating(let evaluation):
            let patience = max(.seconds(5), configuration.heartbeatInterval * 5)
            return now - evaluation.dealtAt > patience ? dealEvaluation(again: true, now: now) : []
        case .gathering, .recovering, .training, .dismissing, .ended: return []
        }
    }

    /// For reports of simulations.
    public var stateText: String {
        "\(phase), limit \(limit), recorded \(lastRecorded), checkpoint \(lastCheckpoint), "
            + "placement \(placement), shards \(shards)"
    }

    static func seconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds * 10 + attoseconds / 100_000_000_000_000_000) / 10
    }

    static func exactSeconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }

    /// Peers that are ready, in the order in which they joined.
    func readyPeers(_ role: Role? = nil) -> [Peer] {
        guard let role else { return readyPeers(.server) + readyPeers(.worker) }
        return (readyOrder[role] ?? []).compactMap { peers[$0] }
    }

    /// How many there are, without looking at each.
    func readyCount(_ role: Role) -> Int { readyOrder[role]?.count ?? 0 }

    /// Where a ready peer stands among those of its role; nil for others.
    func readyIndex(of peer: Peer) -> Int? {
        let order = readyOrder[peer.hello.role] ?? []
        let index = readyPosition(peer.ordinal, in: order)
        return index < order.count && order[index] == peer.hello.identity ? index : nil
    }

    /// Puts a peer among those that are ready.
    mutating func makeReady(_ identity: PeerIdentity) {
        guard let peer = peers[identity], peer.state == .preparing else { return }
        peers[identity]?.state = .ready
        let index = readyPosition(peer.ordinal, in: readyOrder[peer.hello.role] ?? [])
        readyOrder[peer.hello.role, default: []].insert(identity, at: index)
    }

    /// Takes a peer off the list of members.
    mutating func remove(_ identity: PeerIdentity) -> Peer? {
        guard let peer = peers[identity] else { return nil }
        if let index = readyIndex(of: peer) { readyOrder[peer.hello.role]?.remove(at: index) }
        return peers.removeValue(forKey: identity)
    }

    /// The first place whose peer joined at `ordinal` or later.
    private func readyPosition(_ ordinal: Int, in order: [PeerIdentity]) -> Int {
        var (low, high) = (0, order.count)
        while low < high {
            let middle = (low + high) / 2
            let isBefore = (peers[order[middle]]?.ordinal ?? 0) < ordinal
            if isBefore { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
