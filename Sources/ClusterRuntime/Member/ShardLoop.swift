import ClusterProtocol
import Logging
import RunFiles
import Threads
import ZeroMQ

/// The loop of the shard service's thread. It takes in messages, hands them to the machines, and
/// carries out what the machines decide about floats and messages.
///
/// Threading: the shard service's thread only.
final class ShardLoop {
    /// The highest number of messages taken from a socket before the other socket gets its turn.
    private static let batch = 64

    private let context: Context
    private let identity: PeerIdentity
    private let transport: Transport
    private let gatekeeper: Gatekeeper
    private let listener: Gatekeeper.Listener
    /// The socket that workers send contributions to and get weights from.
    private let router: SocketBox
    private let mailbox: Mailbox<ShardService.Order>
    /// Receives sums that are to be sent on to their shard.
    private let passOn: @Sendable (BulkHeader, Payload) -> Void
    /// Receives messages for the coordinator.
    private let report: @Sendable (ControlMessage) -> Void
    private var log: Logger
    /// The connection to the coordinator's state socket; nil before the run is loaded.
    private var coordinator: OutgoingConnection?
    private var machine: ShardHostMachine?
    private var storage: ShardStorage?
    private var relay: Relay?
    private var material: RunMaterial?
    private var isRunning = true
    private var flaws = FlawCounter()
    private var neighbours: HostNeighbours<PeerIdentity>
    /// The connections to other hosts of shards, in a run that clips the gradient.
    private let norms: NormLinks

    /// Creates a loop that has no run yet.
    init(
        context: Context, identity: PeerIdentity, transport: Transport, gatekeeper: Gatekeeper,
        listener: Gatekeeper.Listener, neighbours: HostNeighbours<PeerIdentity>,
        mailbox: Mailbox<ShardService.Order>, log: Logger,
        passOn: @escaping @Sendable (BulkHeader, Payload) -> Void,
        report: @escaping @Sendable (ControlMessage) -> Void
    ) {
        self.context = context
        self.identity = identity
        self.transport = transport
        self.gatekeeper = gatekeeper
        self.listener = listener
        router = listener.socket
        norms = NormLinks(context: context, transport: transport, identity: identity)
        self.neighbours = neighbours
        self.mailbox = mailbox
        self.log = log
        self.passOn = passOn
        self.report = report
    }

    /// Runs until an order to stop or an error, then closes everything.
    func run(_ poll: PollBox) {
        while isRunning {
            do throws(ZeroMQError) {
                try turn(poll)
            } catch {
                log.error("shard service failed", metadata: [LogKey.errorDetail: "\(error)"])
                report(.failed(Failure(.fault("the shard service failed: \(error)"))))
                isRunning = false
            }
        }
        gatekeeper.close()
        coordinator?.close()
        norms.close()
        neighbours.close()
    }

    /// Waits until something happens or is due, and does what follows from it.
    private func turn(_ poll: PollBox) throws(ZeroMQError) {
        var items = [router.pollItem]
        if let coordinator { items.append(coordinator.socket.pollItem) }
        items += gatekeeper.pollItems + (coordinator?.pollItems ?? []) + norms.pollItems
        if let pipe = neighbours.pollItem { items.append(pipe) }
        let now = SteadyClock.now
        let deadlines = [machine?.nextDeadline(now: now), relay?.nextDeadline].compactMap { $0 }
        let deadline = deadlines.min().map { max(.zero, $0 - now) }
        let result = try poll.wait(for: items, timeout: min(deadline ?? .seconds(1), .seconds(1)))
        if result.wasWoken {
            for order in mailbox.takeAll() { try obey(order) }
        }
        try gatekeeper.attend(willHear: result.isReady(0))
        if case .troubled(let text) = try coordinator?.attend() {
            log.warning(
                "cannot reach the coordinator's state socket",
                metadata: [LogKey.reason: "\(text)"])
        }
        for (endpoint, trouble) in try norms.attend() {
            log.warning(
                "cannot reach another host of shards",
                metadata: [LogKey.endpoint: "\(endpoint)", LogKey.reason: "\(trouble)"])
        }
        // The pipe comes before the socket: a worker that unsubscribes by the socket may have
        // contributed by the pipe before that.
        try receiveFromPipe()
        if result.isReady(0) {
            for _ in 0..<Self.batch {
                guard let frames = try router.receive() else { break }
                try receive(frames)
            }
        }
        if coordinator != nil, result.isReady(1) {
            for _ in 0..<Self.batch {
                guard let frames = try coordinator?.socket.receive() else { break }
                try receiveState(frames)
            }
        }
        try step(.everyShard(.tick))
        try relay?.step(.tick)
    }

    /// Carries out an order.
    private func obey(_ order: ShardService.Order) throws(ZeroMQError) {
        switch order {
        case .stop: isRunning = false
        case .configure(let material, let endpoint):
            guard self.material == nil else { return }
            self.material = material
            var configuration = material.shardHost
            configuration.ownPeer = identity
            machine = ShardHostMachine(configuration)
            storage = ShardStorage(material)
            if material.configuration.cluster.sharedMemory { neighbours.open() }
            relay = Relay(material, router: router, passOn: passOn)
            var options = SocketSettings.bulkDealer(identity)
            let snapshotMessages = material.slicePlan.chunks.count * material.partCount * 2
            options.sendHighWaterMark += snapshotMessages
            options.receiveHighWaterMark += snapshotMessages
            coordinator = try transport.connect(
                context, options, to: endpoint, of: .coordinator)
        case .event(let event): try step(event)
        case .relay(let level): try relay?.step(.configured(level: level))
        case .weights(let header, let frame):
            let event = RelayMachine.Event.weights(
                chunk: header.chunk, version: header.step, placement: header.placement)
            try relay?.step(event, header, .frame(frame))
        }
    }

    // MARK: Messages

    /// Takes in a message from a worker.
    private func receive(_ frames: [Frame]) throws(ZeroMQError) {
        listener.hear(frames)
        let address = frames.last?.peerAddress
        guard let peer = frames.first?.peerIdentity else {
            return note(flaw: "identity", nil, at: address)
        }
        let message: BulkMessage
        do throws(BulkMessage.Flaw) {
            message = try BulkMessage(frames.dropFirst())
        } catch {
            return note(flaw: "\(error)", peer, at: address)
        }
        try receive(message, from: peer, at: address)
    }

    /// Takes in what workers have put into the pipe.
    private func receiveFromPipe() throws(ZeroMQError) {
        let received = neighbours.receive()
        for record in received.records {
            try receive(BulkMessage(record), from: record.sender, at: nil)
        }
        if received.isSpoiled { log.warning("\(PipeInbox.spoiledSentence)") }
    }

    /// Takes in a message from a worker, by the socket or by the pipe.
    private func receive(
        _ message: BulkMessage, from peer: PeerIdentity, at address: String?
    ) throws(ZeroMQError) {
        func note(_ flaw: String, _ peer: PeerIdentity?) {
            self.note(flaw: flaw, peer, at: address)
        }
        let header = message.header
        switch header.kind {
        case .contribution, .combine:
            guard hasRightCounts(header) else {
                return note("contribution of a wrong size", peer)
            }
            guard let payload = payload(of: message, from: peer, note) else { return }
            if header.kind == .combine {
                let event = RelayMachine.Event.contribution(
                    placement: header.placement, step: header.step, chunk: header.chunk,
                    node: header.node, totals: header.totals)
                try relay?.step(event, header, payload)
                return
            }
            let contribution = ShardMachine.Contribution(
                placement: header.placement, step: header.step, chunk: header.chunk,
                node: header.node, totals: header.totals, peer: peer,
                digest: digest(header, payload))
            try step(.shard(header.shard, .contribution(contribution)), payload: payload)
        case .follow:
            guard material?.slicePlan.contains(header.chunk) == true else {
                return note("\(header.kind) of an unknown chunk", peer)
            }
            try relay?.step(.follow(peer: peer, chunk: header.chunk, version: header.step))
        case .inquiry:
            try step(.shard(header.shard, .inquiry(peer: peer, step: header.step)))
        case .fetch, .fetchChunk:
            subscribe(peer, message.neighbour)
            let chunk = header.kind == .fetchChunk ? header.chunk : nil
            try step(.shard(header.shard, .fetch(peer: peer, step: header.step, chunk: chunk)))
        case .unsubscribe:
            neighbours.dismiss(peer)
            try step(.everyShard(.unsubscribe(peer: peer)))
            try relay?.step(.unsubscribe(peer: peer))
        case .squares:
            guard let expected = storage?.squares?.byteCount(of: header.shard),
                let payload = message.payload, header.payloadType == .float64,
                payload.byteCount == expected
            else { return note("sums of squares of a wrong size", peer) }
            let event = ShardHostMachine.Event.squares(
                shard: header.shard, step: header.step, placement: header.placement)
            try step(event, payload: .frame(payload))
        case .fetchSquares:
            try step(
                .squaresWanted(
                    by: header.shard, step: header.step, placement: header.placement))
        case .weights, .state, .missing: note("unexpected \(header.kind)", peer)
        }
    }

    /// Lets a worker of this host read weights where they lie, unless reading its memory has
    /// failed.
    private func subscribe(_ peer: PeerIdentity, _ neighbour: Neighbour?) {
        neighbours.dismiss(peer)
        if let neighbour, neighbour.hostKey == HostFacts.sharingKey {
            neighbours.admit(peer, pipe: neighbour.pipe)
        }
    }

    /// Returns the elements of a contribution, from the message or out of the sender's memory; nil
    /// when they cannot be had.
    private func payload(
        of message: BulkMessage, from peer: PeerIdentity, _ note: (String, PeerIdentity?) -> Void
    ) -> Payload? {
        guard let storage, let precision = material?.wire.precision else { return nil }
        if let flaw = flaw(message, precision) {
            note(flaw, peer)
            return nil
        }
        if let frame = message.payload { return .frame(frame) }
        guard let place = message.sharedPayload, neighbours.contains(peer) else {
            note("contribution in memory that was not agreed on", peer)
            return nil
        }
        let (buffer, byteCount) = storage.memory.packed(chunk: message.header.chunk)
        switch neighbours.copy(place, of: peer, to: buffer, byteCount: byteCount) {
        case .copied: return .buffer(buffer, byteCount: byteCount)
        case .stale: return nil
        case .unavailable:
            note("memory of another process that cannot be read", peer)
            return nil
        }
    }

    /// Takes in a part of a shard's state from the coordinator.
    private func receiveState(_ frames: [Frame]) throws(ZeroMQError) {
        guard let message = try? BulkMessage(frames[...]), message.header.kind == .state,
            let payload = message.payload
        else { return note(flaw: "state", nil, at: nil) }
        if let flaw = flaw(message, .fp32) { return note(flaw: flaw, nil, at: nil) }
        let header = message.header
        let part = ShardHostMachine.StatePart(
            shard: header.shard, chunk: header.chunk, part: header.part, step: header.step,
            placement: header.placement)
        try step(.state(part), payload: .frame(payload))
    }

    /// Returns a digest of a contribution's bits when its virtual worker is audited, and 0
    /// otherwise.
    private func digest(_ header: BulkHeader, _ payload: Payload) -> UInt64 {
        guard let material, let audit = material.audit else { return 0 }
        let span = material.tree.virtualWorkers(below: header.node)
        guard span.count == 1,
            audit.isAudited(step: header.step, virtualWorker: span.lowerBound)
        else { return 0 }
        return payload.withUnsafeBytes { bytes in
            var value: UInt64 = 0xcbf2_9ce4_8422_2325
            func add(_ word: UInt64) {
                value = (value ^ word) &* 0x100_0000_01b3
                value ^= value >> 29
            }
            let wholeByteCount = bytes.count & ~3
            for offset in stride(from: 0, to: wholeByteCount, by: 4) {
                add(UInt64(bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
            }
            for byte in bytes[wholeByteCount...] { add(UInt64(byte)) }
            return value
        }
    }

    /// Returns whether the counts of a contribution can be right. The number of records that a node
    /// stands for follows from the run.
    private func hasRightCounts(_ header: BulkHeader) -> Bool {
        guard let material, material.tree.contains(header.node),
            header.step.value < material.totalSteps
        else { return false }
        let span = material.tree.virtualWorkers(below: header.node)
        let expected = span.reduce(0) { sum, virtualWorker in
            sum
                + material.batchPlan.microbatchRange(
                    step: header.step.value, virtualWorker: virtualWorker.value
                ).count
        }
        return header.totals.sampleCount == expected && header.totals.correctCount <= expected
            && material.loss.isPossible(
                weightSum: header.totals.weightSum, ofRecords: expected)
    }

    /// Returns why a message does not bring a whole chunk; nil when it does.
    private func flaw(_ message: BulkMessage, _ precision: WirePrecision) -> String? {
        guard let plan = material?.slicePlan, plan.contains(message.header.chunk)
        else { return "\(message.header.kind) of an unknown chunk" }
        let count = plan[message.header.chunk].range.count
        return message.flaw(expecting: precision, elementCount: count)
    }

    /// Counts a malformed message, which is dropped, and logs the first one of each peer.
    private func note(flaw: String, _ peer: PeerIdentity?, at address: String?) {
        guard flaws.isFirst(from: peer, at: address) else { return }
        log.warning(
            "dropped a malformed bulk message",
            metadata: [
                LogKey.peerID: "\(peer?.rawValue ?? "unknown")", LogKey.errorDetail: "\(flaw)",
            ])
    }

    // MARK: Decisions

    /// Hands an event to the machine, and carries out what the machine decides.
    private func step(
        _ event: ShardHostMachine.Event, payload: Payload? = nil
    ) throws(ZeroMQError) {
        guard let actions = machine?.step(event, now: SteadyClock.now) else { return }
        for action in actions { try perform(action, payload) }
    }

    private func perform(
        _ action: ShardHostMachine.Action, _ payload: Payload?
    ) throws(ZeroMQError) {
        switch action {
        case .fetchState(let shard, let step, let placement):
            var header = BulkHeader(kind: .fetch, step: step, shard: shard)
            header.placement = placement
            _ = try coordinator?.socket.send(BulkMessage.frames(header))
        case .storeState(let chunk, let part, let step):
            if let payload { storage?.store(payload, chunk: chunk, part: part, step: step) }
        case .clear: storage?.clear()
        case .connect(let placements): try norms.connect(placements)
        case .sendSquares(let shard, let step, let placement, let hosts):
            var header = BulkHeader(kind: .squares, step: step, shard: shard)
            header.placement = placement
            let sums = storage?.squares?.bytes(of: shard, step: step) ?? []
            try norms.send(BulkMessage.frames(header, doubles: sums), to: hosts)
        case .askSquares(let shard, let step, let placement, let hosts):
            var header = BulkHeader(kind: .fetchSquares, step: step, shard: shard)
            header.placement = placement
            try norms.send(BulkMessage.frames(header), to: hosts)
        case .keepSquares(let shard, let step):
            if let payload { storage?.squares?.keep(payload, of: shard, step: step) }
        case .drop: break
        case .shard(let shard, let action): try perform(action, shard, payload)
        }
    }

    private func perform(
        _ action: ShardMachine.Action, _ shard: ShardIndex, _ payload: Payload?
    ) throws(ZeroMQError) {
        guard let storage else { return }
        switch action {
        case .keep(let chunk, let node, let replaced):
            if let payload {
                storage.keep(payload, chunk: chunk, node: node, replaced: replaced)
            }
        case .hold(let chunk, let node, let peer):
            if let payload { storage.hold(payload, chunk: chunk, node: node, peer: peer) }
        case .keepHeld(let chunk, let node, let peer, let replaced):
            storage.keepHeld(chunk: chunk, node: node, peer: peer, replaced: replaced)
        case .drop: break
        case .add(let chunk, let merge): storage.add(chunk: chunk, merge)
        case .measure(let chunk, let step): storage.measure(chunk: chunk, step: step)
        case .update(let chunk, let step, let sampleCount, let weightSum):
            storage.update(
                chunk: chunk, step: step, sampleCount: sampleCount, weightSum: weightSum,
                rateFactor: machine?.rateFactor(of: step) ?? 1)
        case .send(let chunk, let version, let placement, let peers):
            try sendWeights(shard, chunk, version, placement, to: peers)
        case .tellMissing(let step, let missing, let peer):
            let header = BulkHeader(kind: .missing, step: step, shard: shard)
            let frames = BulkMessage.frames(header, indices: missing.map(\.value))
            _ = try router.send([Frame(peer.rawValue)] + frames)
        case .snapshot(let chunk, let step):
            for (part, buffer) in storage.snapshot(chunk: chunk).enumerated() {
                var header = BulkHeader(kind: .state, step: step, shard: shard)
                header.chunk = chunk
                header.part = part
                _ = try coordinator?.socket.send(
                    BulkMessage.frames(header, payload: buffer.bytes, .fp32, owner: buffer))
            }
        case .report(let message): report(message)
        }
    }

    /// Sends weights to peers. A peer whose queue is full misses this version and asks for it
    /// again. The subscriptions of a peer that is gone are ended.
    private func sendWeights(
        _ shard: ShardIndex, _ chunk: ChunkIndex, _ version: Step, _ placement: Placement,
        to peers: [PeerIdentity]
    ) throws(ZeroMQError) {
        guard !peers.isEmpty, let weights = storage?.weights(chunk: chunk, version: version) else {
            return
        }
        var header = BulkHeader(kind: .weights, step: version, shard: shard)
        header.chunk = chunk
        header.placement = placement
        let precision = weights.precision
        lazy var whole = BulkMessage.frames(
            header, payload: weights.bytes, precision, owner: weights.buffer)
        var place = neighbours.isEmpty ? nil : weights.buffer.sharedPayload()
        place?.pipe = neighbours.place
        for peer in peers {
            let frames = neighbours.frames(
                telling: peer, header, precision, place: place, whole: { whole })
            guard let frames else { continue }
            let outcome = try router.send([Frame(peer.rawValue)] + frames)
            if outcome == .unreachable {
                neighbours.dismiss(peer)
                try step(.everyShard(.unsubscribe(peer: peer)))
            }
        }
    }
}
