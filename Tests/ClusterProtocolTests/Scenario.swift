import ClusterProtocol

/// A small cluster of machines without clock, network or floats, for transcripts.
///
/// Messages arrive at once and in order, and time passes only when told. Workers compute steps only
/// up to the one that the transcript names.
struct Scenario {
    struct Member {
        var machine: MemberMachine
        var shards: ShardHostMachine
        var hosts: [ShardIndex: PeerIdentity] = [:]
        var fingerprint = "data"
        var role: Role
        /// Nodes that wait to be computed.
        var parked: [(step: Step, node: TreeNode)] = []
    }

    enum Delivery {
        case toCoordinator(CoordinatorMachine.Event)
        case toMember(PeerIdentity, MemberMachine.Event)
        case toShards(PeerIdentity, ShardHostMachine.Event)
    }

    static let coordinatorName = "coordinator"

    let tree: ReductionTree
    let plan: SlicePlan
    let checkpointEvery: Int
    var coordinator: CoordinatorMachine
    var members: [PeerIdentity: Member] = [:]
    var now: Moment = .zero
    var queue: [Delivery] = []
    /// Lines since `lines` was last emptied.
    var lines: [String] = []
    /// Workers compute the steps below this one.
    var gate = Step(0)
    private var limits: [PeerIdentity: Int] = [:]
    private var snapshots: [Step: Set<ChunkIndex>] = [:]
    private var written: Set<Step> = []

    init(_ settings: [String: String]) {
        func number(_ name: String, _ fallback: Int) -> Int {
            settings[name].flatMap(Int.init) ?? fallback
        }
        tree = ReductionTree(leafCount: number("virtual-workers", 4))
        let servers = number("servers", 1)
        plan = SlicePlan(parameterCount: 32 * max(1, servers), shardCount: max(1, servers))
        checkpointEvery = number("checkpoint-every", 0)
        coordinator = CoordinatorMachine(
            .init(
                run: "run-1", tree: tree, plan: plan, serverCount: servers,
                workerCount: number("workers", 2), startStep: Step(0),
                totalSteps: Step(number("steps", 4)), stepsPerEpoch: number("steps-per-epoch", 4),
                evaluationChunkCount: 2, heartbeatInterval: .seconds(1), build: "b1",
                backend: "reference", instructionSet: settings["instruction-set"],
                data: DataSummary(
                    name: "sample", shape: [1, 4, 4], classCount: 2, testCount: 20,
                    fingerprint: "data", partitionRecordCounts: [100]),
                modelFingerprint: "model", configurationText: "", bulkEndpoint: "c"))
    }

    // MARK: What a transcript can say

    mutating func start(_ name: String, _ settings: [String: String]) {
        let identity = PeerIdentity(rawValue: name)
        let role = name.hasPrefix("server") ? Role.server : .worker
        let machine = MemberMachine(
            .init(
                heartbeatInterval: .seconds(1), coordinatorTimeout: .seconds(60),
                connectTimeout: .seconds(30)))
        let shards = ShardHostMachine(
            .init(
                tree: tree, plan: plan, partCount: 1, checkpointEvery: checkpointEvery,
                retryInterval: .seconds(1)))
        var member = Member(machine: machine, shards: shards, role: role)
        member.fingerprint = settings["data"] ?? "data"
        members[identity] = member
        let hello = Hello(
            identity: identity, role: role, host: "host", processIdentifier: 1,
            threadCount: settings["threads"].flatMap(Int.init) ?? 1, build: settings["build"] ?? "b1",
            backends: [settings["backend"] ?? "reference"],
            instructionSet: settings["instruction-set"] ?? "avx2", bulkEndpoint: "ipc://\(name)")
        deliver(.toMember(identity, .started(hello)))
    }

    /// Ends a process; the coordinator sees the connection close only when `isSeen`.
    mutating func kill(_ name: String, isSeen: Bool) {
        let identity = PeerIdentity(rawValue: name)
        members[identity] = nil
        if isSeen { deliver(.toCoordinator(.disconnected(identity))) }
    }

    mutating func tick(milliseconds: Int) {
        let end = now + .milliseconds(milliseconds)
        while now < end {
            now += .milliseconds(100)
            deliver(.toCoordinator(.tick))
            for peer in members.keys.sorted() {
                guard let member = members[peer]?.machine else { continue }
                let heartbeat = Heartbeat(generation: member.generation, step: member.currentStep)
                deliver(.toMember(peer, .tick(heartbeat)))
                deliver(.toShards(peer, .everyShard(.tick)))
            }
        }
    }

    /// Lets every worker compute all steps below `step`.
    mutating func run(to step: Int) {
        gate = Step(step)
        for peer in members.keys.sorted() { compute(peer) }
    }

    /// Computes what one worker has begun.
    mutating func compute(_ peer: PeerIdentity) {
        let work = members[peer]?.parked ?? []
        members[peer]?.parked = []
        for (step, node) in work {
            deliver(.toMember(peer, .work(.nodeComputed(step: step, node: node))))
        }
    }

    mutating func deliver(_ delivery: Delivery) {
        queue.append(delivery)
        // The budget makes a machine that talks to itself fail a test rather than hang it.
        var budget = 100_000
        while !queue.isEmpty, budget > 0 {
            budget -= 1
            switch queue.removeFirst() {
            case .toCoordinator(let event):
                for action in coordinator.step(event, now: now) { carryOut(action) }
            case .toMember(let peer, let event):
                for action in members[peer]?.machine.step(event, now: now) ?? [] {
                    carryOut(action, at: peer)
                }
            case .toShards(let peer, let event):
                for action in members[peer]?.shards.step(event, now: now) ?? [] {
                    carryOut(action, at: peer)
                }
            }
        }
        if budget == 0 { lines.append("the machines never come to rest") }
    }

    // MARK: Carrying out

    private mutating func carryOut(_ action: CoordinatorMachine.Action) {
        switch action {
        case .send(let message, let peer):
            note(message, from: Self.coordinatorName, to: peer.rawValue)
            queue.append(.toMember(peer, .control(message)))
        case .record(let report): lines.append("coordinator: record step \(report.step)")
        case .journal: break
        case .writeCheckpoint(let step):
            lines.append("coordinator: write checkpoint of step \(step)")
            queue.append(.toCoordinator(.checkpointWritten(step)))
        default: lines.append("coordinator: \(Rendering.text(action))")
        }
    }

    private mutating func carryOut(_ action: MemberMachine.Action, at peer: PeerIdentity) {
        switch action {
        case .send(let message):
            note(message, from: peer.rawValue, to: Self.coordinatorName)
            queue.append(.toCoordinator(.message(message, from: peer)))
        case .prepare:
            guard let member = members[peer] else { return }
            let run = WorkerMachine.Run(
                identity: peer, tree: tree, plan: plan, retryInterval: .milliseconds(500))
            let ready = Ready(
                dataFingerprint: member.role == .worker ? member.fingerprint : nil,
                modelFingerprint: "model")
            queue.append(.toMember(peer, .prepared(ready, run, heartbeatInterval: .seconds(1))))
        case .work(let action): carryOut(action, at: peer)
        case .shards(let event): queue.append(.toShards(peer, event))
        case .end(let shutdown):
            lines.append("\(peer): end: \(shutdown.exitCode), \(shutdown.reason)")
            members[peer] = nil
        default: lines.append("\(peer): \(Rendering.text(action))")
        }
    }

    private mutating func carryOut(_ action: WorkerMachine.Action, at peer: PeerIdentity) {
        switch action {
        case .connect(let placements, _, _):
            members[peer]?.hosts = Dictionary(
                uniqueKeysWithValues: placements.map { ($0.shard, $0.host) })
        case .fetch(let shard, let chunk, let version):
            guard let host = members[peer]?.hosts[shard] else { return }
            queue.append(
                .toShards(
                    host, .shard(shard, .fetch(peer: peer, step: version, chunk: chunk))))
        case .compute(let step, let nodes):
            lines.append("\(peer): compute step \(step): \(Rendering.text(nodes))")
            for node in nodes {
                guard step < gate else {
                    members[peer]?.parked.append((step, node))
                    continue
                }
                queue.append(.toMember(peer, .work(.nodeComputed(step: step, node: node))))
            }
        case .inquire(let shard, let step):
            guard let host = members[peer]?.hosts[shard] else { return }
            lines.append("\(peer): ask shard \(shard) what step \(step) misses")
            queue.append(.toShards(host, .shard(shard, .inquiry(peer: peer, step: step))))
        case .contribute(let contribution): contribute(contribution, from: peer)
        case .evaluate(let evaluate):
            let results = evaluate.chunks.map {
                EvaluationResult(chunk: $0, recordCount: 10, correctCount: 5, lossSum: 1.5)
            }
            let evaluated = Evaluated(step: evaluate.step, results: results)
            queue.append(.toMember(peer, .work(.evaluated(evaluated))))
        default: break
        }
    }

    private mutating func contribute(
        _ contribution: WorkerMachine.Contribution, from peer: PeerIdentity
    ) {
        let totals = ContributionTotals(
            sampleCount: tree.virtualWorkers(below: contribution.node).count)
        for shard in contribution.shards {
            guard let host = members[peer]?.hosts[shard] else { continue }
            for chunk in plan.chunks(of: shard) where contribution.chunks.contains(chunk.index) {
                let event = ShardMachine.Contribution(
                    placement: contribution.placement, step: contribution.step,
                    chunk: chunk.index, node: contribution.node, totals: totals, peer: peer,
                    digest: 0)
                queue.append(.toShards(host, .shard(shard, .contribution(event))))
            }
        }
    }

    private mutating func carryOut(_ action: ShardHostMachine.Action, at peer: PeerIdentity) {
        switch action {
        case .fetchState(let shard, let step, let placement):
            for chunk in plan.chunks(of: shard) {
                queue.append(
                    .toShards(
                        peer,
                        .state(
                            .init(
                                shard: shard, chunk: chunk.index, part: 0, step: step,
                                placement: placement))))
            }
        case .shard(let shard, .send(let chunk, let version, let placement, let peers)):
            for worker in peers {
                queue.append(
                    .toMember(
                        worker,
                        .work(
                            .weights(
                                shard: shard, chunk: chunk, version: version, placement: placement))))
            }
        case .shard(_, .tellMissing(let step, let missing, let worker)):
            queue.append(.toMember(worker, .work(.missing(step: step, virtualWorkers: missing))))
        case .shard(_, .report(let message)): queue.append(.toMember(peer, .report(message)))
        case .shard(_, .snapshot(let chunk, let step)):
            snapshots[step, default: []].insert(chunk)
            if snapshots[step]?.count == plan.chunks.count, written.insert(step).inserted {
                queue.append(.toCoordinator(.snapshotArrived(step)))
            }
        default: break
        }
    }

    /// Notes a message as a line, except heartbeats, progress and signs of life without a new
    /// limit.
    private mutating func note(_ message: ControlMessage, from source: String, to target: String) {
        switch message {
        case .heartbeat, .progress: return
        case .hello(let hello):
            lines.append("\(source) > \(target) hello: \(hello.role), \(hello.instructionSet)")
        case .alive(let alive):
            let peer = PeerIdentity(rawValue: target)
            guard limits[peer] != alive.stepLimit.value else { return }
            limits[peer] = alive.stepLimit.value
            lines.append("\(source) > \(target) alive: stepLimit \(alive.stepLimit)")
        default: lines.append("\(source) > \(target) \(Rendering.text(message))")
        }
    }
}
