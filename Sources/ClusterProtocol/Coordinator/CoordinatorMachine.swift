/// Decides for the cluster: which processes are members, which worker computes what, where the slices
/// are, how far steps may run, and when to evaluate, to checkpoint and to end.
///
/// The machine takes no part in a step: workers and shards go on by themselves up to the step limit. It
/// has no clock, no socket and no file. It returns what it wants done as actions.
public struct CoordinatorMachine: Sendable {
    /// What the coordinator knows about its run from the beginning.
    public struct Configuration: Hashable, Sendable {
        /// The run's name, which is the path of its run directory.
        public var run: String
        /// The tree along which gradient sums are added; its leaves are the virtual workers'
        /// gradients.
        public var tree: ReductionTree
        /// How the flat parameter vector is cut into slices and chunks.
        public var plan: SlicePlan
        /// The number of dedicated servers. With 0, the workers host the shards.
        public var serverCount: Int
        /// The number of workers to wait for before the first step.
        public var workerCount: Int
        /// The step from which the run starts: 0, or that of a checkpoint.
        public var startStep: Step
        /// The number of steps in the whole run.
        public var totalSteps: Step
        /// The number of steps in an epoch.
        public var stepsPerEpoch: Int
        /// The number of chunks that the test records are evaluated in; 0 without test records.
        public var evaluationChunkCount: Int
        /// The numbers of these chunks.
        var evaluationChunks: Range<EvaluationChunkIndex> {
            EvaluationChunkIndex(0)..<EvaluationChunkIndex(evaluationChunkCount)
        }
        /// The time between two heartbeats; a member that is silent for three of them counts as lost.
        public var heartbeatInterval: Duration
        /// How long to wait for the other workers once there is at least one.
        public var startTimeout: Duration
        /// How long to wait without a worker, or without a process that can host a slice, before the
        /// run ends with exit code 69.
        public var lossTimeout: Duration
        /// The fingerprint of the coordinator's build, which all members must share.
        public var build: String
        /// The name of the backend that workers compute with.
        public var backend: String
        /// The instruction set that workers compute with; nil chooses the best that all workers have at
        /// the start.
        public var instructionSet: String?
        /// The data set as the coordinator read it.
        public var data: DataSummary
        /// The fingerprint of the model, which all members must share.
        public var modelFingerprint: String
        /// The fingerprint of the settings that decide bits; a member with another one is refused.
        public var settingsFingerprint = ""
        /// The settings that decide bits and were changed during the run.
        public var history = SettingsHistory()
        /// The run file's text as workers get it.
        public var configurationText: String
        /// Where shards send and fetch their state.
        public var bulkEndpoint: String
        /// Where workers get partitions that are not on their host; nil when nothing serves them.
        public var dataEndpoint: String?
        /// Whether the run goes on with another plan after `totalSteps`.
        public var goesOn = false
        /// Whether what was frozen at the start of the run is trained by now.
        public var isUnfrozen = false
        /// Whether members of the plan before join anew. One that fails is then lost, as in training,
        /// and does not end the run.
        public var membersRejoin = false
        /// The fingerprint of members that still follow the plan before this one; nil where there was
        /// none. They join anew.
        public var formerSettingsFingerprint: String?
        /// The highest number of members; further processes are refused.
        public var maximumPeerCount = 4096
        /// The number of workers beyond which they relay for the servers; 0 for no relays. With nil,
        /// the number is `RelayPlanner.usualFanIn`, and there are no relays when all workers are on one
        /// host.
        public var fanIn: Int?
        /// The endpoint at which other hosts reach the coordinator, for messages to people; nil when
        /// only this host can reach it.
        public var openEndpoint: String?
        /// Whether the run goes on when a loss or the weights are no longer finite numbers.
        public var keepsGoing = false
        /// Whether hosts of shards exchange the norm of the gradient, and so must know one another.
        public var exchangesNorms = false
        /// When the run ends early, and when the learning rate is reduced.
        public var rules = EvaluationRules()

        /// Creates a configuration; properties without a parameter keep their defaults.
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

    /// Something that happened outside of the machine.
    public enum Event: Hashable, Sendable {
        /// A message has arrived from a peer.
        case message(ControlMessage, from: PeerIdentity, over: Connection = Connection())
        /// The connection over which the peer last spoke is gone.
        case disconnected(PeerIdentity)
        /// All parts of the state at this version have arrived.
        case snapshotArrived(Step)
        /// The checkpoint of this step is on disk.
        case checkpointWritten(Step)
        /// The checkpoint of this step could not be written.
        case checkpointFailed(Step)
        /// The snapshot holds a number that is not finite, so it was not written.
        case checkpointNotFinite(Step)
        /// The user has asked the run to stop.
        case stopRequested
        /// Time has passed; see `nextDeadline(now:)`.
        case tick
    }

    /// Something that the machine wants done.
    public enum Action: Hashable, Sendable {
        /// Send a message to a peer.
        case send(ControlMessage, to: PeerIdentity)
        /// Append a line to the journal.
        case journal(JournalEntry)
        /// Write the report of a finished step to the ledger. Each step comes once, in order.
        case record(StepReport)
        /// Write the snapshot that has arrived: the ledger has every step before it.
        case writeCheckpoint(Step)
        /// Workers begin to train, for the first time or after the shards were put back.
        case began(Plan)
        /// The test records were evaluated.
        case evaluated(EvaluationSummary)
        /// Log a transition.
        case note(Note)
        /// End the process: the run is over.
        case end(Outcome)
    }

    /// What the run is about to do, for the start line.
    public struct Plan: Hashable, Sendable {
        /// The number of workers.
        public var workers: Int
        /// The number of compute threads of all workers together.
        public var threads: Int
        /// The instruction set that all workers compute with.
        public var instructionSet: String
        /// The number of shards.
        public var shardCount: Int
    }

    /// The result of an evaluation of the test records.
    public typealias EvaluationSummary = ClusterProtocol.EvaluationSummary

    /// How the run ended.
    public struct Outcome: Hashable, Sendable {
        /// The step of the last checkpoint.
        public var step: Step
        /// The exit code: 0 for a run that is done.
        public var exitCode: Int
        /// Why the run ended, for people.
        public var reason: String
        /// The time spent in training steps, in seconds.
        public var trainingSeconds: Double
        /// The number of workers that were ready when the run ended.
        public var workerCount: Int
        /// The instruction set that the workers computed with.
        public var instructionSet: String
        /// Whether the run goes on with another plan.
        public var goesOn: Bool

        /// Creates an outcome.
        public init(
            step: Step, exitCode: Int, reason: String, trainingSeconds: Double, workerCount: Int,
            instructionSet: String, goesOn: Bool = false
        ) {
            self.goesOn = goesOn
            self.step = step
            self.exitCode = exitCode
            self.reason = reason
            self.trainingSeconds = trainingSeconds
            self.workerCount = workerCount
            self.instructionSet = instructionSet
        }
    }

    /// A transition that is worth a line in the log and, for some, on the screen.
    public enum Note: Hashable, Sendable {
        /// A process has joined and now loads what it needs.
        case joined(PeerSummary)
        /// A member is ready to work.
        case ready(PeerSummary)
        /// A process was refused, for this reason.
        case refused(PeerIdentity, Failure)
        /// A member is gone. The virtual workers `moved` had been its share; `step` is the first that
        /// is not in the ledger.
        case lost(PeerSummary, reason: String, moved: [VirtualWorkerIndex], step: Step)
        /// A member leaves because its user stopped it.
        case left(PeerSummary)
        /// Virtual workers were dealt; the shares are given by the workers' names.
        case assigned(Generation, [String: [VirtualWorkerIndex]])
        /// Sums and weights go by relays from now on.
        case relayed([RelayGroup])
        /// The shards are being put in place, with their state at the checkpoint of `step`.
        case placing(shards: [ShardIndex], step: Step, placement: Placement)
        /// Shards were lost with the member that hosted them, so that all shards go back to a
        /// checkpoint.
        case shardsLost([ShardIndex], PeerSummary, backTo: Step)
        /// The run waits; the text says for what.
        case waiting(String)
        /// All workers compute with this instruction set.
        case settled(instructionSet: String)
        /// All members stop at this step.
        case stopping(step: Step)
        /// Two workers computed different gradients for the same records; the workers in `asked`
        /// compute it again.
        case disputed(
            step: Step, virtualWorker: VirtualWorkerIndex, [PeerSummary], asked: [PeerSummary])
        /// Two others have contradicted a worker's gradient.
        case contradicted(PeerSummary, step: Step, virtualWorker: VirtualWorkerIndex)
        /// Virtual workers move from slow to fast workers. `factor` is the slowest worker's time
        /// relative to the fastest one's, and `phase` is where the slowest worker spends most of its
        /// time.
        case rebalanced(slowest: PeerSummary, factor: Double, phase: String, shares: [String: Int])
        /// A peer has sent a message of a kind that does not belong here.
        case unexpected(kind: String, PeerIdentity)
        /// The loss of a step is not a finite number. The virtual worker is the first with such a loss,
        /// and the peer is the worker that has it now.
        case flawedLoss(step: Step, virtualWorker: VirtualWorkerIndex?, PeerSummary?)
        /// The weights of a version are not finite numbers.
        case flawedWeights(Step)
        /// The run goes back to its last checkpoint, to end with the last finite weights.
        case goingBack(to: Step)
        /// The run ends early, for this reason; the weights of step `best` are the best.
        case endingEarly(String, best: Step)
        /// From a step on, the learning rate is multiplied by this factor.
        case rateReduced(RateChange)
    }

    /// What log lines say about a member.
    public struct PeerSummary: Hashable, Sendable {
        /// The name of the member's process.
        public var identity: PeerIdentity
        /// The member's role.
        public var role: Role
        /// The member's number among those of its role, in the order in which they joined, from 1.
        public var ordinal: Int
        /// The name of the member's host.
        public var host: String
        /// The member's process identifier on its host.
        public var processIdentifier: Int
        /// The name that the launcher gave the member, if any.
        public var label: String?

        /// The member's name for people: its label, cut to 32 characters, or its role and ordinal.
        public var name: String { label.map { String($0.prefix(32)) } ?? "\(role.rawValue) \(ordinal)" }
    }

    /// A process that has joined.
    struct Peer: Hashable, Sendable {
        /// How far the process has come; a preparing process still loads what it needs.
        enum State: Hashable, Sendable {
            case preparing, ready
        }
        var hello: Hello
        var ordinal: Int
        var state = State.preparing
        /// When the last message of the process arrived.
        var lastHeard: Moment
        /// The virtual workers dealt to it, ascending.
        var virtualWorkers: [VirtualWorkerIndex] = []
        /// The share until the newest deal holds, from `dealtFrom` on.
        var interimVirtualWorkers: [VirtualWorkerIndex] = []
        /// Its last heartbeat.
        var heartbeat: Heartbeat?
        /// Its last heartbeat that reports computed virtual workers.
        var busyHeartbeat: Heartbeat?
        /// The time of one virtual worker on one of its threads, smoothed, in microseconds; nil before
        /// the first step.
        var virtualWorkerMicroseconds: Double?

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

    /// What the run is doing.
    enum Phase: Hashable, Sendable {
        /// Waiting for enough workers and servers to begin.
        case gathering(since: Moment)
        /// A coordinator that has restarted waits for the members of its run to come back.
        case recovering(since: Moment, Recovery)
        /// The shards in `waiting` do not have their state yet.
        case placing(since: Moment, waiting: Set<ShardIndex>)
        /// Steps run, up to the limit.
        case training(since: Moment)
        /// Workers evaluate the test records.
        case evaluating(Evaluation)
        /// The user stops the run: the coordinator finds the step at which all members can rest.
        case holding(Holding)
        /// Waiting for the last checkpoint.
        case finishing(since: Moment, exitCode: Int, reason: String)
        /// The coordinator before this one had brought the run to its end; the members that are left
        /// are sent home.
        case dismissing(since: Moment, count: Int, told: Set<PeerIdentity>)
        /// The run is over.
        case ended
    }

    /// An evaluation of the test records that is under way.
    struct Evaluation: Hashable, Sendable {
        var step: Step
        /// When chunks were last dealt.
        var dealtAt: Moment
        /// The worker that each chunk was last dealt to.
        var owners: [EvaluationChunkIndex: PeerIdentity] = [:]
        /// The results that have arrived, by chunk.
        var results: [EvaluationChunkIndex: EvaluationResult] = [:]
    }

    /// A search for the step at which all members can rest.
    struct Holding: Hashable, Sendable {
        /// The number of the `hold` message, which answers repeat.
        var number: Int
        /// When the present stretch of training began.
        var trainingSince: Moment
        /// The workers that have not answered yet.
        var waiting: Set<PeerIdentity>
        /// The highest step that a worker has said it will not begin.
        var highest: Step?
    }

    /// What the coordinator knows about a shard.
    struct Shard: Hashable, Sendable {
        /// The member that hosts the shard; nil after its loss.
        var host: PeerIdentity?
        /// The version that the shard has reached.
        var version: Step
        /// Whether the shard's state is in place.
        var isReady = false
    }

    /// What was known about the run from the beginning.
    public let configuration: Configuration
    var phase: Phase
    var peers: [PeerIdentity: Peer] = [:]
    /// The members that are ready, by role, in the order in which they joined.
    var readyOrder: [Role: [PeerIdentity]] = [:]
    /// The ordinal that was last given, by role.
    var nextOrdinal: [Role: Int] = [:]
    /// The number of the present membership.
    public internal(set) var generation = Generation(0)
    /// The relays of the present generation.
    var relayGroups: [RelayGroup] = []
    /// The first step of the newest deal of virtual workers.
    var dealtFrom = Step(0)
    /// The number of the present placement of the shards.
    var placement = Placement(0)
    /// The checkpoint that all shards were put back to. A later checkpoint may be written before all
    /// shards have heard of this one.
    var placementStep: Step
    var shards: [Shard]
    /// The step limit: steps below it may run.
    var limit: Step
    /// Why the run is to stop before its end, if it is.
    var stop: (exitCode: Int, reason: String)?
    /// Where the run ends after numbers that are not finite; nil when all are finite.
    var divergence: Divergence?
    /// Whether a number that is not finite was noted in the log.
    var hasNotedFlaw = false
    var instructionSet: String?
    /// The step of the newest checkpoint.
    var lastCheckpoint: Step
    /// The steps in the ledger: all below this one.
    var lastRecorded: Step
    /// A snapshot that has arrived but is ahead of the ledger.
    var arrivedSnapshot: Step?
    /// The last step whose weights were evaluated.
    var evaluated: Step?
    /// The number of test records that the best weights so far classified correctly.
    var bestCorrectCount = -1
    /// The step of the best weights that the coordinator before this one found.
    var bestStep: Step?
    /// What was decided from the evaluations.
    var course = EvaluationCourse()
    /// When lost messages were last asked for again.
    var lastAsked: Moment = .zero
    /// The time spent in training steps, without the present stretch.
    var training = Duration.zero
    /// The number of workers of a run that had ended before this coordinator began.
    var workerCountAtEnd: Int?
    var holdCount = 0
    /// Since when the run has had no worker; nil while it has one.
    var waitingSince: Moment?
    var lastAlive: Moment = .zero
    /// When a note last said what the run waits for.
    var lastNotice: Moment?
    var lastRebalance: Moment = .zero
    /// Whether heartbeats have reported speeds since the speeds were last compared.
    var areSpeedsNew = false
    var lastComparison: Moment = .zero
    var lastSilenceCheck: Moment = .zero
    let startedAt: Moment
    var recent = RecentSteps()
    var tally = RunTally()
    var statusBudget = StatusBudget()

    /// Creates a coordinator's state machine.
    ///
    /// - Parameters:
    ///   - configuration: What is known about the run from the beginning.
    ///   - recovery: What the journal says about the run, for a coordinator that goes on with it.
    ///   - now: The present time.
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
        var recovery = recovery
        // Without members the run goes on from its checkpoint, and later evaluations are done again.
        if !recovery.mayHaveMembers { recovery.goBack(to: configuration.startStep) }
        generation = recovery.generation
        placement = recovery.placement
        instructionSet = instructionSet ?? recovery.instructionSet
        bestCorrectCount = recovery.bestCorrectCount
        bestStep = recovery.best?.step
        // Evaluations beyond the checkpoint are done again.
        evaluated = recovery.evaluated.map { min($0, configuration.startStep) }
        tally.lostMembers = recovery.lostMemberCount
        tally.takeovers = recovery.takeoverCount
        if let diverged = recovery.diverged, !configuration.keepsGoing {
            divergence = Divergence(after: diverged)
            stop = (ExitCode.data, Self.lossReason(diverged))
            hasNotedFlaw = true
        }
        course = recovery.course
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

    /// Returns the first step limit of steps that begin at a checkpoint. It is the checkpoint itself
    /// when the checkpoint ends an epoch that is still to be evaluated, since the run was stopped
    /// before.
    func firstLimit(from step: Step) -> Step {
        let isEpochEnd = step > Step(0) && step.value.isMultiple(of: configuration.stepsPerEpoch)
        return isEpochEnd && evaluated ?? Step(0) < step ? step : nextLimit(after: step)
    }

    /// Returns the next step limit: the end of the epoch, or of the run.
    func nextLimit(after step: Step) -> Step {
        let epochEnd = (step.value / configuration.stepsPerEpoch + 1) * configuration.stepsPerEpoch
        return min(Step(epochEnd), lastStep)
    }

    /// The step at which the run ends.
    var lastStep: Step {
        let end = min(course.end ?? configuration.totalSteps, configuration.totalSteps)
        return divergence.map { min($0.target, end) } ?? end
    }

    /// Why the run ends at its last step.
    var endReason: String {
        guard course.end != nil, let watch = course.last?.stopping,
            let stopping = configuration.rules.stopping
        else { return "finished" }
        return stopping.reason(watch, stepsPerEpoch: configuration.stepsPerEpoch)
    }

    /// Takes in an event, and returns what is to be done, in order.
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
            // The snapshot is from before the run went back.
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
        case .hello, .statusRequest, .welcome, .refused, .host, .assignment, .hold, .snapshot,
            .evaluate, .recompute, .alive, .introduce, .shutdown, .status:
            return [.note(.unexpected(kind: message.kind, peer))]
        }
    }

    /// Returns the time at which `tick` is due at the latest.
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

    /// Removes members that have been silent for three heartbeats. The cost grows with the number of
    /// members, so this is not done at every tick.
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

    /// The coordinator's sign of life.
    var alive: ControlMessage {
        .alive(
            Alive(
                stepLimit: limit, recorded: lastRecorded, received: lastRecorded,
                workerCount: readyCount(.worker), rates: rates))
    }

    /// The changes of the learning rate's factor, for members; nil when there is none.
    var rates: [RateChange]? { course.rates.isEmpty ? nil : course.rates }

    /// Asks again for whatever the run waits for, since messages can be lost with a connection that
    /// broke unnoticed. Asking twice changes nothing.
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

    /// The state as text, for the reports of simulations.
    public var stateText: String {
        "\(phase), limit \(limit), recorded \(lastRecorded), checkpoint \(lastCheckpoint), "
            + "placement \(placement), shards \(shards)"
    }

    /// Returns a duration in seconds, rounded down to tenths.
    static func seconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds * 10 + attoseconds / 100_000_000_000_000_000) / 10
    }

    /// Returns a duration in seconds.
    static func exactSeconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }

    /// Returns the members that are ready, in the order in which they joined; without a role, servers
    /// come before workers.
    func readyPeers(_ role: Role? = nil) -> [Peer] {
        guard let role else { return readyPeers(.server) + readyPeers(.worker) }
        return (readyOrder[role] ?? []).compactMap { peers[$0] }
    }

    /// Returns how many members of a role are ready, in constant time.
    func readyCount(_ role: Role) -> Int { readyOrder[role]?.count ?? 0 }

    /// Returns the position of a ready member among those of its role; nil when the member is not
    /// ready.
    func readyIndex(of peer: Peer) -> Int? {
        let order = readyOrder[peer.hello.role] ?? []
        let index = readyPosition(peer.ordinal, in: order)
        return index < order.count && order[index] == peer.hello.identity ? index : nil
    }

    /// Puts a member among those that are ready.
    mutating func makeReady(_ identity: PeerIdentity) {
        guard let peer = peers[identity], peer.state == .preparing else { return }
        peers[identity]?.state = .ready
        let index = readyPosition(peer.ordinal, in: readyOrder[peer.hello.role] ?? [])
        readyOrder[peer.hello.role, default: []].insert(identity, at: index)
    }

    /// Removes a process from the members, and returns what was known about it.
    mutating func remove(_ identity: PeerIdentity) -> Peer? {
        guard let peer = peers[identity] else { return nil }
        if let index = readyIndex(of: peer) { readyOrder[peer.hello.role]?.remove(at: index) }
        return peers.removeValue(forKey: identity)
    }

    /// Returns the first position whose member has this ordinal or a higher one.
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
