/// Decides how a process takes part in a cluster: how it joins, stays known and leaves.
///
/// Workers and servers are both members. The `WorkerMachine` inside decides what a worker does in
/// its steps, and a `ShardHostMachine` beside this machine decides what a process does with its
/// shards.
public struct MemberMachine: Sendable {
    /// The times that a member keeps, and where it looks for the coordinator.
    public struct Configuration: Hashable, Sendable {
        /// The time between two heartbeats. The run's own interval replaces it once the run is
        /// loaded.
        public var heartbeatInterval: Duration
        /// How long the coordinator may be silent before the member gives up.
        public var coordinatorTimeout: Duration
        /// How long a new member waits for its first welcome before it gives up.
        public var connectTimeout: Duration
        /// The place where the member looks for the coordinator, for messages to people; nil leaves
        /// the place out.
        public var coordinatorPlace: String?

        /// Creates a configuration.
        public init(
            heartbeatInterval: Duration, coordinatorTimeout: Duration, connectTimeout: Duration,
            coordinatorPlace: String? = nil
        ) {
            self.coordinatorPlace = coordinatorPlace
            self.heartbeatInterval = heartbeatInterval
            self.coordinatorTimeout = coordinatorTimeout
            self.connectTimeout = connectTimeout
        }
    }

    /// An event that a member takes in.
    public enum Event: Hashable, Sendable {
        /// The process has started; it introduces itself with this message.
        case started(Hello)
        /// A message from the coordinator has come.
        case control(ControlMessage)
        /// The configuration and, in a worker, the data are loaded. The interval is the run's.
        case prepared(Ready, WorkerMachine.Run, heartbeatInterval: Duration)
        /// This process cannot go on.
        case failed(Failure)
        /// An event for the worker inside.
        case work(WorkerMachine.Event)
        /// The shards of this process have a message for the coordinator.
        case report(ControlMessage)
        /// Time has passed; the heartbeat is sent when one is due.
        case tick(Heartbeat)
        /// What is wrong with the connection to the coordinator; nil when it is whole again.
        case trouble(String?)
        /// A user asked this process to stop, for instance with Ctrl-C.
        case stopRequested
    }

    /// An action that the runtime carries out for a member.
    public enum Action: Hashable, Sendable {
        /// Send a message to the coordinator.
        case send(ControlMessage)
        /// Load the configuration, the model and the data, then hand in the event `prepared` or
        /// `failed`.
        case prepare(Welcome)
        /// Fetch partitions from this endpoint from now on.
        case useDataEndpoint(String)
        /// An action of the worker inside.
        case work(WorkerMachine.Action)
        /// An event for the shards of this process.
        case shards(ShardHostMachine.Event)
        /// Write a line to the log.
        case note(Note)
        /// End the process.
        case end(Shutdown)
    }

    /// A transition that is worth a line in the log.
    public enum Note: Hashable, Sendable {
        /// The coordinator took this process into a run.
        case welcomed(run: String)
        /// Nothing has come from the coordinator for this many seconds.
        case coordinatorSilent(seconds: Int)
        /// A silent coordinator was heard again.
        case coordinatorBack
        /// The coordinator asked this process to introduce itself again.
        case introducedAgain
        /// A message of a kind that no member takes was dropped.
        case refusedMessage(kind: String)
    }

    private enum Phase: Hashable, Sendable {
        /// The process has introduced itself and waits for a welcome.
        case joining(since: Moment)
        /// The process is loading the run.
        case preparing
        /// The process takes part.
        case ready
        /// The process has asked to leave and waits for the answer.
        case leaving(since: Moment)
        /// The process has ended.
        case ended
    }

    private var configuration: Configuration
    private var phase = Phase.joining(since: .zero)
    private var hello: Hello?
    private var ready: Ready?
    private var runName: String?
    /// Whether the plan that this process was told trains what was frozen at the start.
    private var isUnfrozen = false
    /// The placement of the shards that this process was told to host; 0 before that.
    private var placement = Placement(0)
    private var worker: WorkerMachine?
    private var lastHeard: Moment = .zero
    private var lastHeartbeat: Moment = .zero
    private var lastHello: Moment = .zero
    private var isCoordinatorSilent = false
    /// Why the last attempt to reach the coordinator failed, as far as this side knows; nil after a
    /// success.
    private var trouble: String?

    /// Creates a member that has not started.
    public init(_ configuration: Configuration) { self.configuration = configuration }

    /// Whether the member has ended; it takes in no more events then.
    public var hasEnded: Bool { phase == .ended }
    /// The step that the worker is at; 0 without a worker.
    public var currentStep: Step { worker?.currentStep ?? Step(0) }
    /// The generation of the worker's assignment; 0 without one.
    public var generation: Generation { worker?.generation ?? Generation(0) }
    /// The placement of the shards that the worker sends to; 0 without an assignment.
    public var sendingPlacement: Placement { worker?.placement ?? Placement(0) }

    /// Returns whether a chunk of the weights that has come would be stored.
    public func wants(
        shard: ShardIndex, chunk: ChunkIndex, version: Step, placement: Placement
    ) -> Bool {
        guard !hasEnded, let worker else { return false }
        return worker.wants(shard: shard, chunk: chunk, version: version, placement: placement)
    }

    /// The state as text, for reports of simulations.
    public var stateText: String { "\(phase), \(worker?.stateText ?? "no worker")" }

    /// Returns when `tick` is wanted at the latest. It is never more than a tenth of the heartbeat
    /// interval away.
    public func nextDeadline(now: Moment) -> Moment {
        let regular = now + configuration.heartbeatInterval / 10
        return worker?.nextDeadline.map { max(now, min($0, regular)) } ?? regular
    }

    /// Takes in an event and returns the actions to carry out, in order.
    public mutating func step(_ event: Event, now: Moment) -> [Action] {
        if phase == .ended { return [] }
        switch event {
        case .started(let hello):
            self.hello = hello
            phase = .joining(since: now)
            lastHeard = now
            lastHello = now
            return [.send(.hello(hello))]
        case .control(let message):
            let back: [Action] = isCoordinatorSilent ? [.note(.coordinatorBack)] : []
            isCoordinatorSilent = false
            lastHeard = now
            return back + receive(message, now: now)
        case .prepared(let ready, let run, let interval):
            return prepared(ready, run, interval, now: now)
        // A process whose shards cannot go on must not look alive.
        case .failed(let failure), .report(.failed(let failure)):
            phase = .ended
            return [
                .send(.failed(failure)),
                .end(Shutdown(reason: failure.text, exitCode: failure.exitCode)),
            ]
        case .work(let event): return work(event, now: now)
        case .report(let message): return [.send(message)]
        case .tick(let heartbeat): return tick(heartbeat, now: now)
        case .trouble(let text):
            trouble = text
            return []
        case .stopRequested: return leave(now: now)
        }
    }

    private mutating func work(_ event: WorkerMachine.Event, now: Moment) -> [Action] {
        (worker?.step(event, now: now) ?? []).map { action in
            if case .tell(let message) = action { return .send(message) }
            return .work(action)
        }
    }

    private mutating func receive(_ message: ControlMessage, now: Moment) -> [Action] {
        switch message {
        case .welcome(let welcome): return welcomed(welcome, now: now)
        case .introduce: return introduce(now: now)
        case .refused(let failure): return end(failure.text, exitCode: failure.exitCode)
        case .shutdown(let shutdown):
            phase = .ended
            return [.end(shutdown)]
        case .alive(let alive):
            return [.shards(.everyShard(.alive(alive)))]
                + work(.stepLimit(alive.stepLimit), now: now)
        case .host(let host):
            placement = max(placement, host.placement)
            return [.shards(.host(host))]
        case .snapshot(let snapshot): return [.shards(.everyShard(.snapshot(snapshot.step)))]
        case .assignment(let assignment):
            guard phase == .ready else { return [] }
            return work(.assignment(assignment), now: now)
        case .hold(let hold): return work(.hold(hold), now: now)
        case .evaluate(let evaluate): return work(.evaluate(evaluate), now: now)
        case .recompute(let order): return work(.recompute(order), now: now)
        case .hello, .ready, .heartbeat, .shardReady, .progress, .holding, .evaluated, .leaving,
            .failed, .disputed, .contradicted, .statusRequest, .status:
            return [.note(.refusedMessage(kind: message.kind))]
        }
    }

    private mutating func welcomed(_ welcome: Welcome, now: Moment) -> [Action] {
        let move = welcome.dataEndpoint.map { [Action.useDataEndpoint($0)] } ?? []
        if phase == .preparing, runName == welcome.run {
            if isUnfrozen == welcome.isUnfrozen { return move }
            // What is being loaded belongs to the plan before.
            phase = .ended
            return [.end(CoordinatorMachine.nextPlan)]
        }
        guard case .joining = phase else { return [] }
        guard let runName else {
            runName = welcome.run
            isUnfrozen = welcome.isUnfrozen
            phase = .preparing
            return [.note(.welcomed(run: welcome.run)), .prepare(welcome)]
        }
        guard runName == welcome.run else {
            return end("the coordinator now runs another job, \(welcome.run)", exitCode: ExitCode.lost)
        }
        guard let ready else { return [] }
        phase = .ready
        return [.send(.ready(ready))] + move
    }

    /// Joins once more, with everything that is loaded. The work in hand goes on meanwhile.
    private mutating func introduce(now: Moment) -> [Action] {
        // The data that is being loaded may have to come from the new coordinator, whose welcome
        // says where.
        if phase == .preparing { return hello.map { [.send(.hello($0))] } ?? [] }
        guard phase == .ready, var hello, let runName else { return [] }
        hello.session = Hello.Session(
            run: runName, generation: generation, placement: placement)
        self.hello = hello
        phase = .joining(since: now)
        lastHello = now
        return [.note(.introducedAgain), .send(.hello(hello))]
    }

    private mutating func prepared(
        _ ready: Ready, _ run: WorkerMachine.Run, _ interval: Duration, now: Moment
    ) -> [Action] {
        guard phase == .preparing else { return [] }
        configuration.heartbeatInterval = interval
        self.ready = ready
        if hello?.role == .worker { worker = WorkerMachine(run) }
        phase = .ready
        lastHeard = now
        return [.send(.ready(ready))]
    }

    private mutating func leave(now: Moment) -> [Action] {
        if case .leaving = phase { return end("stopped at once", exitCode: ExitCode.interrupted) }
        guard phase == .ready else { return end("stopped before it joined", exitCode: ExitCode.interrupted) }
        phase = .leaving(since: now)
        return [.send(.leaving(Leaving(reason: "stopped by its user")))]
    }

    private mutating func end(_ reason: String, exitCode: Int) -> [Action] {
        phase = .ended
        return [.end(Shutdown(reason: reason, exitCode: exitCode))]
    }

    private mutating func tick(_ heartbeat: Heartbeat, now: Moment) -> [Action] {
        switch phase {
        case .joining(let since):
            let patience =
                runName == nil
                ? configuration.connectTimeout
                : configuration.coordinatorTimeout
            if now - since > patience {
                return end(
                    "no coordinator answered\(place) within \(patience)\(cause)", exitCode: ExitCode.lost)
            }
            let again = now - lastHello >= configuration.heartbeatInterval
            if again { lastHello = now }
            return (again ? hello.map { [.send(.hello($0))] } ?? [] : []) + work(.tick, now: now)
        case .leaving(let since) where now - since > configuration.heartbeatInterval * 3:
            return end("left without an answer from the coordinator", exitCode: ExitCode.interrupted)
        case .preparing, .ready, .leaving:
            return beat(heartbeat, now: now) + watch(now: now) + work(.tick, now: now)
        case .ended: return []
        }
    }

    private mutating func beat(_ heartbeat: Heartbeat, now: Moment) -> [Action] {
        guard now - lastHeartbeat >= configuration.heartbeatInterval else { return [] }
        lastHeartbeat = now
        var heartbeat = heartbeat
        heartbeat.isReady = ready != nil
        return [.send(.heartbeat(heartbeat))]
    }

    private var place: String { configuration.coordinatorPlace.map { " at \($0)" } ?? "" }

    private var cause: String { trouble.map { ": \($0)" } ?? "" }

    /// Notes a silence of the coordinator. Steps go on meanwhile; only a very long silence ends the
    /// member.
    private mutating func watch(now: Moment) -> [Action] {
        let silence = now - lastHeard
        if silence > configuration.coordinatorTimeout {
            return end(
                "the coordinator\(place) has been silent for \(silence)\(cause)", exitCode: ExitCode.lost)
        }
        guard !isCoordinatorSilent, silence > configuration.heartbeatInterval * 3 else { return [] }
        isCoordinatorSilent = true
        return [.note(.coordinatorSilent(seconds: Int(silence.components.seconds)))]
    }
}
