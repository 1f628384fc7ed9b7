import ClusterProtocol
import CounterRandom

/// Runs coordinator, servers and workers in one thread, on a simulated clock and network.
///
/// Everything that happens is a function of the seed. After each update the chunk is compared bit
/// for bit with the result of the serial computation.
package struct Simulation {
    /// An event in the simulation's queue.
    enum Happening {
        case deliver(SimulatedPacket, from: PeerIdentity, to: PeerIdentity)
        case computed(PeerIdentity, step: Step, nodes: [TreeNode])
        case evaluated(PeerIdentity, Evaluate)
        case tick(PeerIdentity)
        case written(Step, incarnation: Int)
        case fault
        case start(Role)
        case closed(PeerIdentity, seenBy: PeerIdentity)
        case restartCoordinator
        /// The next line of the journal has reached the disk.
        case durable(incarnation: Int)
        /// A launcher ends a process that hangs.
        case endHung(PeerIdentity, incarnation: Int)
    }

    let settings: SimulationSettings
    let problem: SimulatedProblem
    /// The run, computed serially.
    let serial: SerialRun
    /// The weights of every version, computed serially.
    var oracle: [[Float]] { serial.versions }
    /// The last step of the run.
    var lastStep: Int { serial.stepCount }
    var queue = EventQueue<Happening>()
    var random: RandomStream
    var now: Duration = .zero
    var members: [PeerIdentity: SimulatedMember] = [:]
    var coordinator: CoordinatorMachine
    var coordinatorConfiguration: CoordinatorMachine.Configuration
    var isCoordinatorDown = false
    /// The number of coordinators that died so far. Writes begun by an earlier coordinator are
    /// lost.
    var incarnation = 0
    var disk = SimulatedDisk()
    /// Whether the coordinator dies while it carries out its next decision.
    var isToDieInAction = false
    /// Holds back the actions that wait for the journal.
    var gate = DurabilityGate()
    /// Journal entries on their way to the disk.
    var unwritten: [JournalEntry] = []
    var diskStallsUntil: Duration = .zero
    var coordinatorPausesUntil: Duration = .zero
    var hangs = 0
    var diskStalls = 0
    var helds = 0
    /// Checkpoints that are being written.
    var writing: Set<Step> = []
    /// The number of ledger lines that would survive a crash.
    var durableCount = 0
    /// The complete state of each step that has arrived for a checkpoint.
    var arrived: [Step: [ChunkIndex: [[Float]]]] = [:]
    var coordinatorIdentity = PeerIdentity(rawValue: "coordinator")
    /// The parts of snapshots that have arrived so far: step, chunk, part.
    var snapshots: [Step: [ChunkIndex: [Int: [Float]]]] = [:]
    var lastControl: [SimulatedLink: Duration] = [:]
    var cuts: [SimulatedLink: Duration] = [:]
    var clogs: [SimulatedLink: Duration] = [:]
    /// The number of steps that the coordinator has reported.
    var recorded = 0
    var outcome: CoordinatorMachine.Outcome?
    var violation: String?
    var delivered = 0
    var crashes = 0
    var retries = 0
    /// The number of answers to workers that asked which contributions are missing.
    var helps = 0
    var flips = 0
    /// The number of updates with a gradient that was scaled.
    var clips = 0
    /// The number of questions for sums of squares that had not come.
    var squareQuestions = 0
    var relayedSums = 0
    var traffic = SimulatedTraffic()
    var tornCheckpoints = 0
    var nextIdentity: UInt64 = 1
    /// The last events. They are put into words only after a violation.
    var trace: [(time: Duration, text: () -> String)] = []

    /// Creates a cluster with a checkpoint of step 0. No process has started yet.
    package init(_ settings: SimulationSettings) {
        self.settings = settings
        let shardCount = settings.serverCount > 0 ? settings.serverCount : settings.workerCount
        let plan = SlicePlan(
            parameterCount: settings.parameterCount, shardCount: shardCount,
            chunkElementCount: settings.chunkElementCount)
        problem = SimulatedProblem(
            seed: settings.seed, virtualWorkerCount: settings.virtualWorkerCount, plan: plan,
            clipNorm: settings.clipNorm)
        serial = problem.serialRun(settings)
        random = RandomStream(seed: settings.seed, purpose: .simulation, 0xFA17)
        coordinatorConfiguration = .init(
            run: "simulated", tree: problem.tree, plan: plan,
            serverCount: settings.serverCount, workerCount: settings.workerCount,
            startStep: Step(0), totalSteps: Step(settings.totalSteps),
            stepsPerEpoch: settings.stepsPerEpoch,
            evaluationChunkCount: settings.evaluationChunkCount,
            heartbeatInterval: settings.heartbeatInterval, startTimeout: .seconds(20),
            lossTimeout: .seconds(120), build: "build", backend: "simulated",
            data: DataSummary(
                name: "simulated", shape: [1, 1, 1], classCount: 2, testCount: 30,
                fingerprint: "data", partitionRecordCounts: [1]), modelFingerprint: "model",
            configurationText: "",
            bulkEndpoint: "coordinator")
        coordinatorConfiguration.fanIn = settings.fanIn
        coordinatorConfiguration.exchangesNorms = settings.clipNorm != nil
        coordinatorConfiguration.rules = settings.rules
        coordinator = CoordinatorMachine(coordinatorConfiguration)
        disk.write(chunked([problem.initialWeights, zeros]), step: Step(0))
    }

    var audit: AuditPlan? {
        settings.auditRate > 0 ? AuditPlan(seed: settings.seed, rate: settings.auditRate) : nil
    }

    private var zeros: [Float] { [Float](repeating: 0, count: problem.plan.parameterCount) }

    private func chunked(_ parts: [[Float]]) -> [ChunkIndex: [[Float]]] {
        var result: [ChunkIndex: [[Float]]] = [:]
        for chunk in problem.plan.chunks {
            result[chunk.index] = parts.map { Array($0[chunk.range]) }
        }
        return result
    }

    /// Runs to the end of the run, to a violation, or to the time limit.
    package mutating func run() -> SimulationResult {
        for _ in 0..<settings.serverCount { start(.server) }
        for _ in 0..<settings.workerCount { start(.worker) }
        queue.insert(.tick(coordinatorIdentity), at: .zero)
        queue.insert(.fault, at: .milliseconds(10))
        while violation == nil, outcome == nil, let next = queue.popFirst() {
            now = next.time
            if now > settings.timeLimit {
                violation = "not finished after \(settings.timeLimit) of simulated time"
                noteStates()
                break
            }
            happen(next.element)
        }
        if violation == nil, outcome == nil { violation = "nothing left to happen" }
        return SimulationResult(
            exitCode: outcome?.exitCode, finalStep: outcome?.step.value ?? -1,
            violation: violation, simulatedTime: now, deliveredMessageCount: delivered,
            crashCount: crashes, retryCount: retries, helpCount: helps, bitFlipCount: flips,
            relayedSumCount: relayedSums, clipCount: clips, squareQuestionCount: squareQuestions,
            tornLineCount: disk.tornLineCount, tornCheckpointCount: tornCheckpoints,
            hangCount: hangs, diskStallCount: diskStalls, heldCount: helds,
            traffic: traffic, finalWeights: finalWeights,
            reductionCount: serial.reductionCount,
            endsEarly: serial.judgement?.endsRun ?? false,
            trace: violation == nil ? [] : trace.map { "\($0.time) \($0.text())" })
    }

    private var finalWeights: [Float] {
        guard let state = disk.checkpoint(Step(lastStep)) else { return [] }
        return problem.plan.chunks.flatMap { state[$0.index]?[0] ?? [] }
    }

    /// Notes the state of every process, for the report of a stuck run.
    mutating func noteStates() {
        let (text, count) = (coordinator.stateText, recorded)
        let waiting = "\(gate.heldCount) actions wait for \(unwritten.count) lines"
        note("coordinator: \(text), recorded \(count), \(waiting)")
        for peer in members.keys.sorted() {
            guard let member = members[peer] else { continue }
            let step = member.member.currentStep
            note("\(peer): at \(step), \(member.member.stateText), \(member.shards.stateText)")
        }
    }

    mutating func note(_ text: @escaping @autoclosure () -> String) {
        if trace.count == 200 { trace.removeFirst(50) }
        trace.append((now, text))
    }

    private mutating func happen(_ happening: Happening) {
        switch happening {
        case .deliver(let packet, let source, let target): deliver(packet, source, target)
        case .computed(let peer, let step, let nodes):
            guard waitOutPause(peer, happening) else { return }
            finishCompute(peer, step, nodes)
        case .evaluated(let peer, let evaluate):
            guard waitOutPause(peer, happening) else { return }
            finishEvaluation(peer, evaluate)
        case .tick(let peer): tick(peer)
        case .written(let step, let incarnation):
            guard incarnation == self.incarnation else { return }
            if diskStallsUntil > now { return queue.insert(happening, at: diskStallsUntil) }
            if coordinatorPausesUntil > now {
                return queue.insert(happening, at: coordinatorPausesUntil)
            }
            guard let state = arrived.removeValue(forKey: step) else { return }
            writing.remove(step)
            if isFlawed(step) { return actOnCoordinator(.checkpointNotFinite(step)) }
            disk.write(state, step: step)
            actOnCoordinator(.checkpointWritten(step))
        case .durable(let incarnation): becomeDurable(incarnation, happening)
        case .endHung(let peer, let incarnation): endHung(peer, incarnation)
        case .restartCoordinator: restartCoordinator()
        case .fault: makeFaults()
        case .start(let role): start(role)
        case .closed(let peer, let observer):
            if observer == coordinatorIdentity {
                if coordinatorPausesUntil > now {
                    return queue.insert(happening, at: coordinatorPausesUntil)
                }
                actOnCoordinator(.disconnected(peer))
            } else {
                actOnShards(observer, .everyShard(.unsubscribe(peer: peer)))
                actOnRelay(observer, .unsubscribe(peer: peer))
            }
        }
    }

    /// Returns whether an event of a process may happen now. An event of a paused process is put
    /// back into the queue for the end of the pause; an event of a dead process is dropped.
    private mutating func waitOutPause(_ peer: PeerIdentity, _ happening: Happening) -> Bool {
        guard let until = members[peer]?.isPausedUntil else { return false }
        guard until > now else { return true }
        queue.insert(happening, at: until)
        return false
    }

    // MARK: Processes

    mutating func start(_ role: Role) {
        let identity = PeerIdentity(role: role, random: nextIdentity)
        nextIdentity += 1
        let plan = problem.plan
        var shardHost = ShardHostMachine.Configuration(
            tree: problem.tree, plan: plan, partCount: SimulatedProblem.partCount,
            checkpointEvery: settings.checkpointEvery, retryInterval: .milliseconds(500),
            audit: audit, ownPeer: role == .worker ? identity : nil,
            needsNorm: settings.clipNorm != nil)
        shardHost.waitsForLimit = settings.rules.plateau != nil
        members[identity] = SimulatedMember(
            identity: identity, role: role,
            member: MemberMachine(
                .init(
                    heartbeatInterval: settings.heartbeatInterval,
                    coordinatorTimeout: .seconds(300), connectTimeout: .seconds(120))),
            shards: ShardHostMachine(shardHost),
            slowness: role == .worker && nextIdentity % 2 == 0
                ? settings.faults.slowWorkerFactor : 1,
            relay: RelayMachine(tree: problem.tree, audit: audit))
        let hello = Hello(
            identity: identity, role: role, host: "host", processIdentifier: Int(nextIdentity),
            threadCount: 1, build: "build", backends: ["simulated"], instructionSet: "generic",
            bulkEndpoint: "ipc://\(identity)")
        note("start \(identity)")
        actOnMember(identity, .started(hello))
        queue.insert(.tick(identity), at: now + .milliseconds(1))
    }

    private mutating func tick(_ peer: PeerIdentity) {
        if peer == coordinatorIdentity {
            if coordinatorPausesUntil > now {
                return queue.insert(.tick(peer), at: coordinatorPausesUntil)
            }
            actOnCoordinator(.tick)
            checkBounds()
            queue.insert(.tick(peer), at: now + settings.heartbeatInterval / 10)
            return
        }
        guard let member = members[peer] else { return }
        if member.isPausedUntil > now {
            queue.insert(.tick(peer), at: member.isPausedUntil)
            return
        }
        let heartbeat = Heartbeat(
            generation: member.member.generation, step: member.member.currentStep,
            computeMicroseconds: member.role == .worker ? Int(2000 * member.slowness) : 0)
        actOnMember(peer, .tick(heartbeat))
        actOnShards(peer, .everyShard(.tick))
        actOnRelay(peer, .tick)
        queue.insert(.tick(peer), at: now + settings.heartbeatInterval / 20)
    }

    // MARK: Network

    mutating func delay() -> Duration {
        let faults = settings.faults
        let span = faults.maximumDelay - faults.minimumDelay
        return faults.minimumDelay + span * Double(random.nextUniform())
    }

    mutating func send(_ packet: SimulatedPacket, from source: PeerIdentity, to target: PeerIdentity) {
        let isCalm = now > settings.faults.calmAfter
        traffic.count(packet, from: source, to: target, coordinator: coordinatorIdentity)
        let link = SimulatedLink(source: source, target: target)
        if let until = cuts[link], until > now { return }
        var copies = 1
        if !isCalm {
            if Double(random.nextUniform()) < settings.faults.lossProbability { return }
            if Double(random.nextUniform()) < settings.faults.duplicateProbability { copies = 2 }
        }
        let opens = max(now, clogs[link] ?? now)
        for _ in 0..<copies {
            var time = opens + delay()
            if case .control = packet {
                // Control messages share one connection, so they arrive in order.
                time = max(time, (lastControl[link] ?? .zero) + .microseconds(1))
                lastControl[link] = time
            }
            queue.insert(.deliver(packet, from: source, to: target), at: time)
        }
    }

    private mutating func deliver(
        _ packet: SimulatedPacket, _ source: PeerIdentity, _ target: PeerIdentity
    ) {
        delivered += 1
        if target == coordinatorIdentity {
            if isCoordinatorDown { return }
            if coordinatorPausesUntil > now {
                delivered -= 1
                let again = Happening.deliver(packet, from: source, to: target)
                return queue.insert(again, at: coordinatorPausesUntil)
            }
            switch packet {
            case .control(let message): actOnCoordinator(.message(message, from: source))
            case .bulk(let header, let payload): takeState(header, payload, from: source)
            }
            return
        }
        guard waitOutPause(target, .deliver(packet, from: source, to: target)) else { return }
        switch packet {
        case .control(let message): actOnMember(target, .control(message))
        case .bulk(let header, let payload): takeBulk(header, payload, from: source, at: target)
        }
    }
}
