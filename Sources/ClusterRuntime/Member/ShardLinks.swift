import Buffers
import ClusterProtocol
import RunFiles
import ZeroMQ

/// A worker's connections to shards and relays: how each of them is reached, and what it is told.
///
/// Threading: the member's socket thread only.
final class ShardLinks {
    /// The endpoints of the shards in this process.
    struct OwnEndpoint {
        /// The endpoint under which other processes reach the shards.
        var outside: String
        /// The endpoint by which this process reaches the shards.
        var inside: String
    }

    /// Counts the bytes exchanged with shards and relays of other processes.
    let meter = SocketMeter()
    /// Counts the weights that came through the pipe.
    let pipedCount = SocketMeter.Count()
    private let context: Context
    private let transport: Transport
    private let identity: PeerIdentity
    private let own: OwnEndpoint
    private let plan: SlicePlan
    private let precision: WirePrecision
    /// The connections, by endpoint.
    private var sockets: [String: OutgoingConnection] = [:] {
        didSet { ordered = sockets.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
    }
    /// The connections in the order of their endpoints: every turn of the loop goes through them.
    private var ordered: [(endpoint: String, connection: OutgoingConnection)] = []
    /// The endpoint of each shard.
    private var endpoints: [ShardIndex: String] = [:]
    /// The ways over relays; nil when everything goes straight to the shards.
    private var routes: RelayRoutes?
    private var neighbours: HostNeighbours<ShardIndex>
    /// The chunks in the order in which they are sent.
    private(set) var sendingOrder: [ChunkIndex] = []

    /// Creates links without connections.
    init(
        _ material: RunMaterial, context: Context, transport: Transport, identity: PeerIdentity,
        own: OwnEndpoint
    ) {
        self.context = context
        self.transport = transport
        self.identity = identity
        self.own = own
        plan = material.slicePlan
        precision = material.wire.precision
        neighbours = HostNeighbours(
            of: identity, sending: .weights, meter: meter, pipedCount: pipedCount)
        if material.configuration.cluster.sharedMemory { neighbours.open() }
    }

    // MARK: Connections

    /// The sockets to wait for, in a fixed order.
    var connections: [SocketBox] { ordered.map(\.connection.socket) }

    /// The monitors of the connections, to wait for too.
    var monitorPollItems: [PollItem] { ordered.flatMap(\.connection.pollItems) }

    /// The pipe to wait for; nil when there is none.
    var pipePollItem: PollItem? { neighbours.pollItem }

    /// Whether a shard and this worker read each other's memory.
    var isSharing: Bool { !neighbours.isEmpty }

    /// Connects to shards and relays, and closes all other connections.
    ///
    /// - Parameters:
    ///   - placements: where the shards are.
    ///   - routes: the ways over relays; nil when there are none.
    ///   - isRerouted: whether to unsubscribe from everything first.
    func connect(
        _ placements: [ShardPlacement], _ routes: RelayRoutes?, isRerouted: Bool
    ) throws(ZeroMQError) {
        if isRerouted { unsubscribe() }
        self.routes = routes
        endpoints = [:]
        neighbours.forget()
        var keys: [String: String] = [:]
        for placement in placements {
            let endpoint = reached(placement.endpoint)
            endpoints[placement.shard] = endpoint
            keys[endpoint] = placement.publicKey
        }
        sendingOrder = plan.sendingOrder(own: Set(placements.map(\.shard).filter(isOwn)))
        var wanted = Set(endpoints.values)
        for relay in routes?.relays(chunkCount: plan.chunks.count) ?? [] {
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
            if endpoint != own.inside { sockets[endpoint]?.socket.meter = meter }
        }
    }

    /// Returns the endpoints whose connection has got into trouble since the last call, and what
    /// the trouble is.
    func attend() throws(ZeroMQError) -> [(endpoint: String, trouble: String)] {
        var result: [(endpoint: String, trouble: String)] = []
        for (endpoint, connection) in ordered {
            guard case .troubled(let text) = try connection.attend() else { continue }
            result.append((endpoint, text))
        }
        return result
    }

    /// Unsubscribes from everything and closes all connections.
    func close() {
        unsubscribe()
        for connection in sockets.values { connection.close() }
        sockets = [:]
        neighbours.close()
    }

    /// Tells every shard and relay to send no more weights.
    private func unsubscribe() {
        for connection in sockets.values {
            let header = BulkHeader(kind: .unsubscribe, step: Step(0), shard: ShardIndex(0))
            _ = try? connection.socket.send(BulkMessage.frames(header))
        }
    }

    /// Whether this process hosts the shard itself.
    private func isOwn(_ shard: ShardIndex) -> Bool {
        endpoints[shard].map { $0 == own.inside } ?? false
    }

    /// Returns the endpoint by which this process reaches another endpoint.
    private func reached(_ endpoint: String) -> String {
        endpoint == own.outside ? own.inside : endpoint
    }

    // MARK: Messages

    /// Subscribes to a shard's weights from a version on: those of one chunk, or of all (nil).
    func fetch(_ shard: ShardIndex, chunk: ChunkIndex? = nil, _ version: Step) throws(ZeroMQError) {
        var header = BulkHeader(
            kind: chunk == nil ? .fetch : .fetchChunk, step: version, shard: shard)
        header.chunk = chunk ?? ChunkIndex(0)
        // A relay hands weights on to other workers, so they must be in a message.
        let mayShare = routes == nil && !isOwn(shard) && neighbours.mayAdmit(shard)
        let hostKey = mayShare ? HostFacts.sharingKey : 0
        let neighbour = hostKey == 0 ? nil : Neighbour(hostKey: hostKey, pipe: neighbours.place)
        try send(BulkMessage.frames(header, from: neighbour), to: shard)
    }

    /// Subscribes to a chunk's weights at its relay, from a version on.
    func follow(chunk: ChunkIndex, _ version: Step) throws(ZeroMQError) {
        guard let relay = routes?.source(ofChunk: chunk) else { return }
        var header = BulkHeader(kind: .follow, step: version, shard: plan[chunk].shard)
        header.chunk = chunk
        try send(BulkMessage.frames(header), toEndpoint: reached(relay.endpoint))
    }

    /// Asks a shard which contributions to a step are missing.
    func inquire(_ shard: ShardIndex, _ step: Step) throws(ZeroMQError) {
        let header = BulkHeader(kind: .inquiry, step: step, shard: shard)
        try send(BulkMessage.frames(header), to: shard)
    }

    /// Sends one chunk of a node's sum to its shard, or to the relay that adds it to others.
    ///
    /// - Parameters:
    ///   - header: names the chunk, the node and the placement.
    ///   - sum: the node's sum over the whole flat vector, packed as it travels.
    ///   - isStraight: whether the chunk goes past the relays.
    func contribute(
        _ header: BulkHeader, _ sum: FloatBuffer, isStraight: Bool
    ) throws(ZeroMQError) {
        let range = plan[header.chunk].range
        let precision = precision
        func whole(_ header: BulkHeader) -> [Frame] {
            BulkMessage.frames(
                header, payload: sum.bytes(range, precision), precision, owner: sum)
        }
        if !isStraight, let relay = routes?.relay(of: header.node, chunk: header.chunk) {
            var header = header
            header.kind = .combine
            return try send(whole(header), toEndpoint: reached(relay.endpoint))
        }
        let frames = neighbours.frames(
            telling: header.shard, header, precision,
            place: sum.sharedPayload(firstElement: range.lowerBound), whole: { whole(header) })
        if let frames { try send(frames, to: header.shard) }
    }

    /// Sends a sum that this worker's relay has added up to its shard.
    func passOn(_ header: BulkHeader, _ payload: Payload) throws(ZeroMQError) {
        var header = header
        header.kind = .contribution
        try send(BulkMessage.frames(header, payload: payload, precision), to: header.shard)
    }

    /// Returns whether other workers get the weights of a chunk from this worker.
    func isRelay(ofChunk chunk: ChunkIndex) -> Bool { routes?.isRelay(ofChunk: chunk) ?? false }

    private func send(_ frames: [Frame], to shard: ShardIndex) throws(ZeroMQError) {
        if let endpoint = endpoints[shard] { try send(frames, toEndpoint: endpoint) }
    }

    /// Sends a message. A message that finds its queue full is lost; the next retry sends it again.
    private func send(_ frames: [Frame], toEndpoint endpoint: String) throws(ZeroMQError) {
        _ = try sockets[endpoint]?.socket.send(frames)
    }

    // MARK: Shared memory

    /// Returns what shards have put into the pipe, and whether foreign bytes have ended it.
    func receiveFromPipe() -> PipeInbox.Received { neighbours.receive() }

    /// Notes that a shard sends floats in messages.
    func dismiss(_ shard: ShardIndex) { neighbours.dismiss(shard) }

    /// Copies weights out of a shard's memory. After a success this worker tells the shard of
    /// floats in its own memory too. When the memory cannot be read, this worker subscribes again,
    /// to weights in messages.
    func copy(
        _ place: SharedPayload, of shard: ShardIndex, version: Step, to landing: WeightBuffers.Landing
    ) throws(ZeroMQError) -> SharedWindows.Outcome {
        let outcome = neighbours.copy(
            place, of: shard, to: landing.buffer, at: landing.element, byteCount: landing.byteCount)
        switch outcome {
        case .copied: neighbours.admit(shard, pipe: place.pipe)
        case .stale: break
        case .unavailable: try fetch(shard, version)
        }
        return outcome
    }
}
