import Buffers
import ClusterProtocol
import Glibc
import Logging
import Partitions
import RunFiles
import Threads
import ZeroMQ

/// The loop of the socket thread of a worker or a server.
///
/// Threading: the socket thread only, from `make` on.
final class MemberLoop {
    /// What other threads ask the socket thread to do.
    enum Order: Sendable {
        /// Take in what was loaded for the run, or the reason why it could not be loaded.
        case prepared(Result<Prepared, RunError>)
        /// Take in what a compute thread has computed.
        case computed(ComputePool.Result)
        /// Send a message of the shards to the coordinator.
        case report(ControlMessage)
        /// Send a sum that this worker's relay has added up to its shard.
        case passOn(BulkHeader, Payload)
        /// Leave the run.
        case stop
    }

    /// What was loaded for the run.
    struct Prepared: Sendable {
        /// The run.
        var material: RunMaterial
        /// The data; nil in a server, which opens none.
        var dataSet: DataSet?
        /// The frozen weights; nil where nothing is frozen, and in a server.
        var frozen: FloatBuffer?
        /// The message with which the coordinator took this process in.
        var welcome: Welcome
    }

    /// The stream that fetches the data, as soon as there is one. The thread that prepares puts it
    /// here.
    private struct Streams {
        var stream: PartitionStream?
        /// The endpoint that the stream is to use from now on; nil for the one that it began with.
        var movedTo: String?
        /// Whether this process ends.
        var isStopped = false
    }

    /// The highest number of messages taken from a socket before the other sockets get their turn.
    private static let batch = 64

    private let settings: MemberProcess.Settings
    private let context: Context
    private let identity: PeerIdentity
    /// The connection to the coordinator.
    private let control: OutgoingConnection
    private let mailbox: Mailbox<Order>
    private let shards: ShardService
    private var log: Logger
    private var machine: MemberMachine
    private var worker: WorkerRuntime?
    /// The stream that fetches the data.
    private let streams = Monitor(Streams())
    /// The thread that loads the run; nil before there is one.
    private var preparation: WorkThread?
    /// Why this process ends; nil as long as it does not.
    private var end: Shutdown?
    private var flaws = FlawCounter()

    /// Creates the loop, the poll set that it runs on, and the mailbox for its orders.
    ///
    /// - Throws: the reason why a socket cannot be opened or connected.
    static func make(
        _ settings: MemberProcess.Settings, log: Logger
    ) throws(RunError) -> (MemberLoop, PollBox, Mailbox<Order>) {
        let poll: PollBox
        do throws(ZeroMQError) { poll = try PollBox() } catch { throw .lost("\(error)") }
        let mailbox = Mailbox<Order>(waker: poll.waker)
        let loop = try MemberLoop(settings, mailbox: mailbox, log: log)
        return (loop, poll, mailbox)
    }

    private init(
        _ settings: MemberProcess.Settings, mailbox: Mailbox<Order>, log: Logger
    ) throws(RunError) {
        self.settings = settings
        self.mailbox = mailbox
        self.log = log
        do throws(ZeroMQError) { context = try Context() } catch { throw .lost("\(error)") }
        identity = PeerIdentity(
            role: settings.role, random: UInt64.random(in: .min ... .max))
        self.log[metadataKey: LogKey.peerID] = "\(identity)"
        shards = try ShardService(
            context: context, identity: identity, addresses: settings.addresses,
            transport: settings.transport, log: self.log,
            passOn: { header, payload in mailbox.post(.passOn(header, payload)) },
            report: { message in mailbox.post(.report(message)) })
        do throws(ZeroMQError) {
            control = try settings.transport.connect(
                context, SocketSettings.controlDealer(identity), to: "\(settings.coordinator)",
                of: .coordinator)
        } catch {
            shards.stop()
            throw .usage("--coordinator: \(error)")
        }
        machine = MemberMachine(
            .init(
                heartbeatInterval: .seconds(1), coordinatorTimeout: .seconds(120),
                connectTimeout: settings.connectTimeout,
                coordinatorPlace: settings.coordinatorPlace))
    }

    /// Runs until the process has ended, closes everything, and returns the reason and the exit
    /// code.
    func run(_ poll: PollBox) -> Shutdown {
        let hello = HostFacts.hello(
            identity: identity, role: settings.role, threadCount: settings.threadCount,
            bulkEndpoint: shards.endpoint, publicKey: settings.transport.keys?.publicKey,
            label: settings.label)
        do throws(ZeroMQError) {
            try step(.started(hello))
            while end == nil { try turn(poll) }
        } catch {
            log.error("socket thread failed", metadata: [LogKey.errorDetail: "\(error)"])
            end = Shutdown(reason: "\(error)", exitCode: ExitCode.internalError)
        }
        LifeSigns.finish()
        shards.stop()
        stopStream()
        worker?.close()
        noteTraffic()
        preparation?.join()
        control.close()
        context.terminate()
        return end ?? Shutdown(reason: "ended", exitCode: ExitCode.done)
    }

    /// Waits until something happens or is due, and does what follows from it.
    private func turn(_ poll: PollBox) throws(ZeroMQError) {
        let connections = worker?.links.connections ?? []
        var items =
            [control.socket.pollItem] + connections.map(\.pollItem) + control.pollItems
        items += worker?.links.monitorPollItems ?? []
        let pipe = worker?.links.pipePollItem
        if let pipe { items.append(pipe) }
        let now = SteadyClock.now
        let result = try poll.wait(for: items, timeout: machine.nextDeadline(now: now) - now)
        if result.wasWoken {
            for order in mailbox.takeAll() { try obey(order) }
        }
        try watchConnection()
        if result.isReady(0) {
            for _ in 0..<Self.batch {
                guard let frames = try control.socket.receive() else { break }
                try receive(frames)
            }
        }
        for (index, socket) in connections.enumerated() where result.isReady(index + 1) {
            for _ in 0..<Self.batch {
                guard end == nil, socket.isOpen, let frames = try socket.receive() else { break }
                try receiveWeights(frames)
            }
        }
        if pipe != nil, result.isReady(items.count - 1) {
            let received = worker?.links.receiveFromPipe()
            for record in received?.records ?? [] where end == nil {
                try receiveWeights(BulkMessage(record))
            }
            if received?.isSpoiled == true { log.warning("\(PipeInbox.spoiledSentence)") }
        }
        LifeSigns.turn()
        try beat()
    }

    /// Takes in what the other ends, or the network, did to the connections.
    private func watchConnection() throws(ZeroMQError) {
        switch try control.attend() {
        case .whole: try step(.trouble(nil))
        case .troubled(let text): try step(.trouble(text))
        case nil: break
        }
        for (endpoint, text) in try worker?.links.attend() ?? [] {
            log.warning(
                "cannot reach a shard or a relay",
                metadata: [LogKey.endpoint: "\(endpoint)", LogKey.reason: "\(text)"])
        }
    }

    /// Hands a tick to the machine, at most once a millisecond.
    private func beat() throws(ZeroMQError) {
        let now = SteadyClock.now
        guard now >= nextBeat else { return }
        nextBeat = now + .milliseconds(1)
        try step(.tick(heartbeat))
    }

    /// Logs how many bytes of sums and weights were exchanged. Checkpoints do not count, and
    /// neither does what shards of the same process are lent by inproc.
    private func noteTraffic() {
        let meters = [shards.meter, worker?.links.meter].compactMap { $0 }
        let sent = meters.reduce(0) { $0 + $1.sent.value }
        let received = meters.reduce(0) { $0 + $1.received.value }
        // A process that never took part says why it ends, and nothing else.
        guard sent + received > 0 else { return }
        log.info(
            "exchanged",
            metadata: [
                LogKey.step: "\(machine.currentStep)", LogKey.sentByteCount: "\(sent)",
                LogKey.receivedByteCount: "\(received)",
                LogKey.contributions: "\(worker?.contributionCount ?? 0)",
                LogKey.relayed: "\(worker?.relayedCount ?? 0)",
                LogKey.piped: "\((worker?.links.pipedCount.value ?? 0) + shards.pipedCount.value)",
            ])
    }

    /// The moment when the next tick is due.
    private var nextBeat: Duration = .zero
    /// The last step for which the log says that weights were asked for again.
    private var lastRetried: Step?
    /// Whether the log has said that sums and weights go through shared memory.
    private var isSharing = false

    /// A heartbeat without times.
    private var heartbeat: Heartbeat {
        Heartbeat(generation: machine.generation, step: machine.currentStep)
    }

    // MARK: Arrivals

    /// Carries out an order.
    private func obey(_ order: Order) throws(ZeroMQError) {
        switch order {
        case .stop: try step(.stopRequested)
        case .report(let message): try step(.report(message))
        case .passOn(let header, let payload): try worker?.passOn(header, payload)
        case .prepared(.failure(let error)): try step(.failed(Failure(error)))
        case .prepared(.success(let prepared)): try take(prepared)
        case .computed(.failed(let error)): try step(.failed(Failure(error)))
        case .computed(.evaluated(let evaluated)): try step(.work(.evaluated(evaluated)))
        case .computed(.node(let step, let node, let part)):
            worker?.keep(part, node: node, step: step)
            let event: WorkerMachine.Event =
                part.isLast
                ? .nodeComputed(step: step, node: node)
                : .chunksComputed(step: step, node: node, chunks: part.chunks)
            try self.step(.work(event))
        }
    }

    /// Takes in what was loaded: sets up the shards and, with data, the worker.
    private func take(_ prepared: Prepared) throws(ZeroMQError) {
        let material = prepared.material
        guard let state = Endpoint(prepared.welcome.bulkEndpoint) else {
            let text = "the coordinator's state endpoint is none: \(prepared.welcome.bulkEndpoint)"
            return try step(.failed(Failure(.fault(text))))
        }
        shards.post(
            .configure(material, stateEndpoint: "\(state.reached(like: settings.coordinator))"))
        if let dataSet = prepared.dataSet {
            let mailbox = mailbox
            let links = ShardLinks(
                material, context: context, transport: settings.transport, identity: identity,
                own: .init(outside: shards.endpoint, inside: shards.insideEndpoint))
            worker = WorkerRuntime(
                material, links: links,
                compute: .init(
                    dataSet: dataSet, frozen: prepared.frozen, threadCount: settings.threadCount,
                    makeEngine: settings.makeEngine, report: { mailbox.post(.computed($0)) },
                    log: log))
        }
        let ready = Ready(
            dataFingerprint: prepared.dataSet?.description.fingerprint,
            modelFingerprint: material.network.fingerprint,
            settingsFingerprint: material.settingsFingerprint)
        try step(
            .prepared(
                ready,
                material.worker(
                    identity, salt: Int(getpid()), threadCount: settings.threadCount),
                heartbeatInterval: material.configuration.cluster.heartbeatInterval))
    }

    /// Takes in a message from the coordinator.
    private func receive(_ frames: [Frame]) throws(ZeroMQError) {
        guard frames.count == 1, let message = try? ControlCodec.decode(frames[0].bytes) else {
            if flaws.isFirst(from: nil) { log.warning("dropped a malformed control message") }
            return
        }
        try step(.control(message))
    }

    /// Logs the first malformed bulk message.
    private func note(flaw: String) {
        guard flaws.isFirst(from: nil) else { return }
        log.warning(
            "dropped a malformed bulk message", metadata: [LogKey.errorDetail: "\(flaw)"])
    }

    /// Takes in a message from a shard or a relay.
    private func receiveWeights(_ frames: [Frame]) throws(ZeroMQError) {
        let message: BulkMessage
        do throws(BulkMessage.Flaw) { message = try BulkMessage(frames[...]) } catch {
            return note(flaw: "\(error)")
        }
        try receiveWeights(message)
    }

    private func receiveWeights(_ message: BulkMessage) throws(ZeroMQError) {
        guard let worker else { return }
        let arrival = try worker.arrival(of: message) {
            self.machine.wants(
                shard: $0.shard, chunk: $0.chunk, version: $0.step, placement: $0.placement)
        }
        if case .flawed(let flaw) = arrival { return note(flaw: flaw) }
        if worker.links.isSharing, !isSharing {
            isSharing = true
            log.info("sums and weights go through shared memory")
        }
        guard case .weights(let header, let payload) = arrival else {
            if case .missing(let step, let virtualWorkers) = arrival {
                let possible = virtualWorkers.filter {
                    worker.hasData(step: step, virtualWorker: $0)
                }
                try self.step(.work(.missing(step: step, virtualWorkers: possible)))
            }
            return
        }
        // Other workers may lack weights that this worker has already.
        if worker.links.isRelay(ofChunk: header.chunk), header.placement == machine.sendingPlacement,
            case .frame(let frame) = payload
        {
            shards.post(.weights(header, frame))
        }
        let event = WorkerMachine.Event.weights(
            shard: header.shard, chunk: header.chunk, version: header.step,
            placement: header.placement)
        let actions = machine.step(.work(event), now: SteadyClock.now)
        for action in actions {
            if case .work(.store(let chunk, let version)) = action {
                worker.store(payload, chunk: chunk, version: version)
            } else {
                try perform(action)
            }
        }
    }

    // MARK: Decisions

    private func step(_ event: MemberMachine.Event) throws(ZeroMQError) {
        for action in machine.step(event, now: SteadyClock.now) { try perform(action) }
    }

    private func perform(_ action: MemberMachine.Action) throws(ZeroMQError) {
        switch action {
        case .send(.heartbeat(let beat)):
            var full = worker?.takeHeartbeat(generation: beat.generation, step: beat.step) ?? beat
            full.residentByteCount = HostFacts.residentByteCount
            _ = try control.socket.send([Frame(ControlCodec.encode(.heartbeat(full)))])
        case .send(let message): _ = try control.socket.send([Frame(ControlCodec.encode(message))])
        case .prepare(let welcome): prepare(welcome)
        case .useDataEndpoint(let text):
            guard let endpoint = reached(text) else { break }
            let stream = streams.change { state in
                state.movedTo = endpoint
                return state.stream
            }
            stream?.move(to: endpoint)
        case .shards(let event): shards.post(.event(event))
        case .note(let note): log.info("\(note.sentence)", metadata: note.metadata)
        case .end(let shutdown): end = shutdown
        case .work(let action):
            if case .assigned(let assignment) = action {
                log.info("assigned", metadata: assignment.metadata)
            }
            if case .retried(let step, let shards) = action, lastRetried != step {
                lastRetried = step
                log.warning(
                    "asked again for weights",
                    metadata: [LogKey.step: "\(step)", LogKey.shards: "\(shards)"])
            }
            try worker?.perform(action, now: SteadyClock.now)
            if case .connect(_, let routes, _) = action {
                shards.post(.relay(level: routes?.level))
            }
        }
    }

    /// Returns an endpoint of the coordinator as this process reaches it; nil when the text is not
    /// an endpoint.
    private func reached(_ text: String?) -> String? {
        text.flatMap { Endpoint($0) }.map { "\($0.reached(like: settings.coordinator))" }
    }

    /// Loads the configuration, the model and the data on another thread, while the socket thread
    /// goes on answering.
    private func prepare(_ welcome: Welcome) {
        let mailbox = mailbox
        let needsData = settings.role == .worker
        let threadCount = needsData ? settings.threadCount : nil
        let source = PartitionStream.Source(
            context: context, transport: settings.transport, identity: identity, log: log)
        var told = welcome
        told.dataEndpoint = reached(told.dataEndpoint)
        let welcome = told
        let (options, streams) = (settings.data, streams)
        preparation = WorkThread(name: "prepare") {
            let result = Self.load(welcome, threadCount: threadCount) {
                (material) throws(RunError) in
                guard needsData else { return (nil, nil) }
                let opening = DataOpening(
                    options: options, configuration: material.configuration, welcome: welcome,
                    source: source)
                var stream: PartitionStream?
                let adopt = { (new: PartitionStream) in
                    stream = new
                    Self.adopt(new, streams)
                }
                let dataSet = try opening.open(adopt)
                return (
                    dataSet, try opening.frozenWeights(material.network.parameters, stream, adopt)
                )
            }
            mailbox.post(.prepared(result))
        }
    }

    /// Takes in the stream. If the coordinator moved before there was a stream, or the process is
    /// ending, the stream learns of it here.
    private static func adopt(_ stream: PartitionStream, _ streams: Monitor<Streams>) {
        let (endpoint, isStopped) = streams.change { state in
            state.stream = stream
            return (state.movedTo, state.isStopped)
        }
        if let endpoint { stream.move(to: endpoint) }
        if isStopped { stream.stop() }
    }

    private func stopStream() {
        let stream = streams.change { state in
            state.isStopped = true
            return state.stream
        }
        stream?.stop()
    }

    /// Loads the configuration, the model and the data.
    ///
    /// - Parameter threadCount: the number of compute threads of a worker; nil in a server.
    private static func load(
        _ welcome: Welcome, threadCount: Int?,
        data: (RunMaterial) throws(RunError) -> (DataSet?, frozen: FloatBuffer?)
    ) -> Result<Prepared, RunError> {
        do throws(RunError) {
            let configuration = try RunConfiguration.parse(
                welcome.configuration, fileName: "the coordinator's configuration")
            let material = try RunMaterial(
                configuration, data: welcome.data, isUnfrozen: welcome.isUnfrozen)
            if let threadCount {
                let count = material.usefulThreadCount(threadCount)
                try material.requireMemoryOfWorker(threadCount: count)
                if !material.isUnfrozen, material.unfreezeStep != nil {
                    try material.unfrozen().requireMemoryOfWorker(threadCount: count)
                }
            }
            let (dataSet, frozen) = try data(material)
            return .success(
                Prepared(material: material, dataSet: dataSet, frozen: frozen, welcome: welcome))
        } catch {
            return .failure(error)
        }
    }
}
