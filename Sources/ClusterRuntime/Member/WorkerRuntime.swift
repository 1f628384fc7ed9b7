import Buffers
import ClusterProtocol
import Partitions
import RunFiles
import ZeroMQ

/// Carries out what a worker's machine decides: sockets to the shards, weight buffers, compute.
///
/// Threading: everything but the compute pool's reports happens on the member's socket thread.
final class WorkerRuntime {
    let material: RunMaterial
    private let context: Context
    private let transport: Transport
    private let identity: PeerIdentity
    /// The endpoint of this process's own shards, and their shortcut.
    private let ownEndpoint: (public: String, inside: String)?
    private let dataSet: DataSet
    private let needs: PartitionNeeds?
    private let threadCount: Int
    private let flipBitInStep: Int?
    private let makeEngine: EngineMaker?
    private let report: @Sendable (ComputePool.Result) -> Void
    private let buffers: FloatBufferPool
    private let wire: WirePlan

    /// One version of the weights.
    private struct Weights {
        /// What gradients are computed with: rounded as the wire rounds.
        var training: FloatBuffer
        /// The master weights, where they came because they differ and are to be evaluated.
        var master: FloatBuffer?
    }

    private var pool: ComputePool?
    private var virtualWorkers: [Int] = []
    private var placement = 0
    private var sockets: [String: OutgoingConnection] = [:]
    private var endpoints: [ShardIndex: String] = [:]
    /// Chunks in the order that they are sent in.
    private var sendingOrder: [Int] = []
    /// Nil when everything goes straight to the shards.
    private var routes: RelayRoutes?
    /// Shards of this host that speak of weights in their memory.
    private var neighbours: HostNeighbours<ShardIndex>
    private var chunkBuffers: [Int: FloatBuffer] = [:]
    private var incoming: [Step: Weights] = [:]
    private var current: (step: Step, weights: Weights)?
    /// Sums of this step and, of each, the chunks that are not sent yet: those below.
    private var results: [TreeNode: NodeTask.Part] = [:]
    private var unsent: [TreeNode: Int] = [:]
    /// What it and shards of other processes have sent one another.
    let meter = SocketMeter()
    /// Tree nodes sent, those sent again or computed for others included.
    private(set) var contributionCount = 0
    /// Sums of neighbours sent on to their shards.
    private(set) var relayedCount = 0
    /// Weights that came by the pipe.
    let pipedCount = SocketMeter.Count()
    private var lastContribution: Duration?
    private var waitTotal: Duration = .zero
    private var waitCount = 0

    init(
        material: RunMaterial, context: Context, transport: Transport, identity: PeerIdentity,
        ownEndpoint: (public: String, inside: String)?, dataSet: DataSet, threadCount: Int,
        flipBitInStep: Int?, makeEngine: EngineMaker?,
        report: @escaping @Sendable (ComputePool.Result) -> Void
    ) {
        self.material = material
        self.context = context
        self.transport = transport
        self.identity = identity
        self.ownEndpoint = ownEndpoint
        self.dataSet = dataSet
        needs = PartitionNeeds(dataSet, material: material)
        self.threadCount = threadCount
        self.flipBitInStep = flipBitInStep
        self.makeEngine = makeEngine
        self.report = report
        wire = material.wire
        neighbours = HostNeighbours(
            of: identity, sending: .weights, meter: meter, pipedCount: pipedCount)
        if material.configuration.cluster.sharedMemory { neighbours.open() }
        buffers = FloatBufferPool(count: material.network.parameters.elementCount, bound: 4)
    }

    /// Whether a shard and this worker use one another's memory.
    var isSharing: Bool { !neighbours.isEmpty }

    /// In a fixed order: the sockets to wait for.
    var connections: [SocketBox] { sockets.keys.sorted().compactMap { sockets[$0]?.socket } }

    /// What to wait for besides: the state of connections.
    var monitorPollItems: [PollItem] { sockets.values.flatMap(\.pollItems) }

    /// The pipe to wait for, too.
    var pipePollItem: PollItem? { neighbours.pollItem }

    /// Endpoints whose connection has got into trouble since the last call, and what that is.
    func attend() throws(ZeroMQError) -> [(endpoint: String, trouble: String)] {
        var result: [(endpoint: String, trouble: String)] = []
        for (endpoint, connection) in sockets {
            guard case .troubled(let text) = try connection.attend() else { continue }
            result.append((endpoint, text))
        }
        return result
    }

    func close() {
        pool?.stop()
        pool = nil
        letGo()
        for connection in sockets.values { connection.close() }
        sockets = [:]
        neighbours.close()
    }

    /// Whether what a virtual worker needs in a step is on this host.
    func hasData(step: Step, leaf: Int) -> Bool { needs?.has(step: step, leaf: leaf) ?? true }

    // MARK: Actions

    func perform(_ action: WorkerMachine.Action, now: Duration) throws(ZeroMQError) {
        switch action {
        case .tell, .store, .retried: break
        case .assigned(let assignment):
            virtualWorkers = assignment.virtualWorkers
            placement = assignment.placement
            if let current { needs?.expect(step: current.step, leaves: virtualWorkers) }
        case .connect(let placements, let routes):
            let areNew = routes != self.routes
            if areNew { letGo() }
            try connect(placements, routes)
            if areNew { try sendEarlyChunksAgain() }
        case .useInstructionSet(let name):
            pool = ComputePool(
                material: material, dataSet: dataSet, needs: needs,
                threadCount: material.usefulThreadCount(threadCount), instructionSet: name,
                flipBitInStep: flipBitInStep, makeEngine: makeEngine, report: report)
        case .fetch(let shard, let chunk, let version):
            try fetch(shard, chunk: chunk, version)
        case .follow(let chunk, let version): try follow(chunk, version)
        case .inquire(let shard, let step):
            _ = try send(
                BulkMessage.frames(BulkHeader(kind: .inquiry, step: step, shard: shard)), to: shard)
        case .abandonWeights(let version): incoming[version] = nil
        case .adopt(let step): adopt(step, now: now)
        case .reset:
            incoming = [:]
            current = nil
            forgetResults()
        case .compute(let step, let nodes):
            guard let current, current.step == step else { return }
            pool?.compute(step: step, nodes: nodes, weights: current.weights.training)
        case .contribute(let step, let node, let shards, let isStraight):
            try contribute(step, node, to: shards, isStraight: isStraight)
            contributionCount += 1
            lastContribution = now
        case .contributeChunks(let step, let node, let chunks, let isStraight):
            for chunk in sendingOrder where chunks.contains(chunk) {
                try contribute(step, node, chunk: chunk, isStraight: isStraight)
            }
            unsent[node] = chunks.lowerBound
        case .evaluate(let evaluate):
            guard let current, current.step == evaluate.step else { return }
            needs?.expectTest(evaluate.chunks.map { material.evaluationRecords(chunk: $0) })
            pool?.evaluate(
                evaluate, weights: current.weights.master ?? current.weights.training)
        }
    }

    private func fetch(
        _ shard: ShardIndex, chunk: Int? = nil, _ version: Step
    ) throws(ZeroMQError) {
        var header = BulkHeader(kind: .fetch, step: version, shard: shard)
        header.isOfOneChunk = chunk != nil
        header.chunk = chunk ?? 0
        // What is handed on to others has to be in a message.
        if routes == nil, !isOwn(shard), neighbours.mayAdmit(shard) {
            header.hostKey = HostFacts.sharingKey
            header.inbox = neighbours.place
        }
        _ = try send(BulkMessage.frames(header), to: shard)
    }

    private func follow(_ chunk: Int, _ version: Step) throws(ZeroMQError) {
        guard let relay = routes?.source(ofChunk: chunk) else { return }
        var header = BulkHeader(
            kind: .follow, step: version, shard: material.slicePlan.chunks[chunk].shard)
        header.chunk = chunk
        _ = try send(BulkMessage.frames(header), toEndpoint: reached(relay.endpoint))
    }

    /// Sums of neighbours, on their way to the shard.
    func passOn(_ header: BulkHeader, _ payload: Payload) throws(ZeroMQError) {
        var header = header
        header.kind = .contribution
        relayedCount += 1
        _ = try send(BulkMessage.frames(header, payload: payload, wire.precision), to: header.shard)
    }

    /// Whether others get the weights of a chunk from this worker.
    func isRelay(ofChunk chunk: Int) -> Bool { routes?.isRelay(ofChunk: chunk) ?? false }

    private func adopt(_ step: Step, now: Duration) {
        guard let weights = incoming.removeValue(forKey: step) else { return }
        incoming = incoming.filter { $0.key > step }
        current = (step, weights)
        needs?.expect(step: step, leaves: virtualWorkers)
        forgetResults()
        if let lastContribution {
            waitTotal += now - lastContribution
            waitCount += 1
        }
        lastContribution = nil
    }

    /// Keeps a computed node, until its step is over: it may have to be sent again.
    func keep(_ part: NodeTask.Part, node: TreeNode, step: Step) {
        guard current?.step == step else { return }
        results[node] = part
    }

    private func forgetResults() {
        results = [:]
        unsent = [:]
    }

    /// Of everything that was subscribed to.
    private func letGo() {
        for connection in sockets.values {
            let header = BulkHeader(kind: .unsubscribe, step: Step(0), shard: ShardIndex(0))
            _ = try? connection.socket.send(BulkMessage.frames(header))
        }
    }

    /// Whether this process serves a shard itself.
    private func isOwn(_ shard: ShardIndex) -> Bool {
        endpoints[shard].map { $0 == ownEndpoint?.inside } ?? false
    }

    /// How this process reaches an endpoint: its own by the shortcut.
    private func reached(_ endpoint: String) -> String {
        guard let ownEndpoint, endpoint == ownEndpoint.public else { return endpoint }
        return ownEndpoint.inside
    }

    private func connect(
        _ placements: [ShardPlacement], _ routes: RelayRoutes?
    ) throws(ZeroMQError) {
        self.routes = routes
        endpoints = [:]
        neighbours.forget()
        var keys: [String: String] = [:]
        for placement in placements {
            let endpoint = reached(placement.endpoint)
            endpoints[placement.shard] = endpoint
            keys[endpoint] = placement.publicKey
        }
        sendingOrder = material.slicePlan.sendingOrder(
            own: Set(placements.map(\.shard).filter(isOwn)))
        var wanted = Set(endpoints.values)
        for relay in routes?.relays(chunkCount: material.slicePlan.chunks.count) ?? [] {
            keys[reached(relay.endpoint)] = relay.publicKey
            wanted.insert(reached(relay.endpoint))
        }
        for endpoint in sockets.keys.sorted() where !wanted.contains(endpoint) {
            sockets.removeValue(forKey: endpoint)?.close()
        }
        for endpoint in wanted.sorted() where sockets[endpoint] == nil {
            sockets[endpoint] = try transport.connect(
                context, SocketSettings.bulkDealer(identity), to: endpoint,
                of: .node(publicKey: keys[endpoint]))
            if endpoint != ownEndpoint?.inside { sockets[endpoint]?.socket.meter = meter }
        }
    }

    /// A message that finds its queue full is lost; the retry brings it again.
    private func send(_ frames: [Frame], to shard: ShardIndex) throws(ZeroMQError) -> SendOutcome {
        guard let endpoint = endpoints[shard] else { return .unreachable }
        return try send(frames, toEndpoint: endpoint)
    }

    private func send(
        _ frames: [Frame], toEndpoint endpoint: String
    ) throws(ZeroMQError) -> SendOutcome {
        guard let connection = sockets[endpoint] else { return .unreachable }
        return try connection.socket.send(frames)
    }

    /// Sends what of a node was not sent before; the second time all of it.
    private func contribute(
        _ step: Step, _ node: TreeNode, to shards: [ShardIndex], isStraight: Bool
    ) throws(ZeroMQError) {
        let end = unsent.removeValue(forKey: node) ?? material.slicePlan.chunks.count
        let shards = Set(shards)
        for chunk in sendingOrder
        where chunk < end && shards.contains(material.slicePlan.chunks[chunk].shard) {
            try contribute(step, node, chunk: chunk, isStraight: isStraight)
        }
    }

    /// What of unfinished nodes has left by other routes may be with a relay that is no more.
    private func sendEarlyChunksAgain() throws(ZeroMQError) {
        guard let step = current?.step else { return }
        for (node, first) in unsent {
            for chunk in first..<material.slicePlan.chunks.count {
                try contribute(step, node, chunk: chunk, isStraight: true)
            }
        }
    }

    private func contribute(
        _ step: Step, _ node: TreeNode, chunk index: Int, isStraight: Bool
    ) throws(ZeroMQError) {
        guard let result = results[node], current?.step == step else { return }
        let chunk = material.slicePlan.chunks[index]
        var header = BulkHeader(kind: .contribution, step: step, shard: chunk.shard)
        header.chunk = chunk.index
        header.node = node
        header.placement = placement
        header.totals = result.totals
        let precision = wire.precision
        func whole() -> [Frame] {
            BulkMessage.frames(
                header, payload: result.sum.bytes(chunk.range, precision), precision,
                owner: result.sum)
        }
        if !isStraight, let relay = routes?.relay(of: node, chunk: index) {
            header.kind = .combine
            _ = try send(whole(), toEndpoint: reached(relay.endpoint))
            return
        }
        let frames = neighbours.frames(
            telling: chunk.shard, header, precision,
            place: result.sum.sharedPayload(firstElement: chunk.range.lowerBound), whole: whole)
        if let frames { _ = try send(frames, to: chunk.shard) }
    }

    // MARK: Arrivals

    enum Arrival {
        /// Without a payload they lie where they belong already, or will not be stored.
        case weights(BulkHeader, Payload?)
        /// Weights that lay in a shard's memory and cannot be read there (any more).
        case lost
        case missing(step: Step, leaves: [Int])
        /// The message is none, and why.
        case flawed(String)
    }

    /// What shards have put into the pipe, and whether it has ended with that.
    func receiveFromPipe() -> PipeInbox.Received { neighbours.receive() }

    /// What a shard sent.
    ///
    /// - Parameter isWanted: whether weights will be stored.
    func arrival(
        of message: BulkMessage, isWanted: (BulkHeader) -> Bool
    ) throws(ZeroMQError) -> Arrival {
        if message.header.kind == .missing {
            return .missing(step: message.header.step, leaves: message.indices)
        }
        let header = message.header
        guard header.kind == .weights, material.slicePlan.chunks.indices.contains(header.chunk)
        else { return .flawed("unexpected \(header.kind), or of a chunk that is none") }
        let count = material.slicePlan.chunks[header.chunk].range.count
        let precision = wire.weights(at: header.step)
        if let flaw = message.flaw(expecting: precision, elementCount: count) {
            return .flawed(flaw)
        }
        if header.payloadType.isShared {
            guard let place = message.sharedPayload else { return .flawed("a place that is none") }
            guard isWanted(header) else { return .weights(header, nil) }
            return try sharedWeights(header, place)
        }
        guard let payload = message.payload else { return .flawed("weights without a payload") }
        neighbours.dismiss(header.shard)
        return .weights(header, .frame(payload))
    }

    /// Copied before anything is decided by them: the shard may overwrite them at any time. What is
    /// wanted may be copied to its place, which is written again where that failed.
    private func sharedWeights(
        _ header: BulkHeader, _ place: SharedPayload
    ) throws(ZeroMQError) -> Arrival {
        let range = material.slicePlan.chunks[header.chunk].range
        let precision = wire.weights(at: header.step)
        let isInPlace = precision == .fp32 && wire.precision == .fp32
        let isFirst = incoming[header.step] == nil
        let byteCount = precision.byteCount(elementCount: range.count)
        let target =
            isInPlace
            ? weights(header.step).training : chunkBuffer(byteCount: byteCount)
        let outcome = neighbours.copy(
            place, of: header.shard, to: target, at: isInPlace ? range.lowerBound : 0,
            byteCount: byteCount)
        // Of a version that nothing has come of there is no buffer either.
        if outcome != .copied, isFirst { incoming[header.step] = nil }
        switch outcome {
        case .copied:
            neighbours.admit(header.shard, pipe: header.inbox)
            return .weights(header, isInPlace ? nil : .buffer(target, byteCount: byteCount))
        case .stale: return .lost
        case .unavailable:
            try fetch(header.shard, header.step)
            return .lost
        }
    }

    private func chunkBuffer(byteCount: Int) -> FloatBuffer {
        if let buffer = chunkBuffers[byteCount] { return buffer }
        let buffer = FloatBuffer(count: FloatBuffer.count(forBytes: byteCount))
        chunkBuffers[byteCount] = buffer
        return buffer
    }

    /// The buffers of a version that is arriving.
    private func weights(_ version: Step) -> Weights {
        if let weights = incoming[version] { return weights }
        let isMaster = wire.weights(at: version) != wire.precision
        let weights = Weights(training: buffers.take(), master: isMaster ? buffers.take() : nil)
        incoming[version] = weights
        return weights
    }

    /// Takes in a chunk of a version, which is as long as it should be.
    func store(_ payload: Payload?, chunk: Int, version: Step) {
        let weights = weights(version)
        payload?.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { unpack(base, chunk: chunk, version, into: weights) }
        }
        pool?.expect(weights.training, chunk: chunk)
    }

    private func unpack(
        _ payload: UnsafeRawPointer, chunk: Int, _ version: Step, into weights: Weights
    ) {
        let received = wire.weights(at: version)
        let range = material.slicePlan.chunks[chunk].range
        let training = weights.training.pointer + range.lowerBound
        guard let master = weights.master.map({ $0.pointer + range.lowerBound }) else {
            return received.unpack(payload, into: training, count: range.count)
        }
        received.unpack(payload, into: master, count: range.count)
        wire.precision.round(master, into: training, count: range.count)
    }

    /// What the next heartbeat says about speed.
    func takeHeartbeat(generation: Generation, step: Step) -> Heartbeat {
        let times = pool?.takeTimes() ?? ComputeTimes()
        let leaves = Int64(max(1, times.leafCount))
        let wait = waitCount == 0 ? Duration.zero : waitTotal / waitCount
        waitTotal = .zero
        waitCount = 0
        return Heartbeat(
            generation: generation, step: step,
            computeMicroseconds: Int(times.computeNanoseconds / leaves / 1000),
            inputMicroseconds: Int(times.inputNanoseconds / leaves / 1000),
            waitMicroseconds: Int(wait / .microseconds(1)))
    }
}
