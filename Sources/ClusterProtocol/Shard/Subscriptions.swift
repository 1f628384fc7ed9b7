/// The peers that get weights as soon as there is a new version: of all chunks, or of some.
public struct Subscriptions: Hashable, Sendable {
    /// The peers that get all chunks.
    private var whole: Set<PeerIdentity> = []
    /// The peers that get one chunk, by chunk.
    private var partial: [ChunkIndex: Set<PeerIdentity>] = [:]
    private let ownPeer: PeerIdentity?

    /// Creates an empty list.
    ///
    /// - Parameter ownPeer: the worker in this process; nil when there is none.
    public init(ownPeer: PeerIdentity? = nil) { self.ownPeer = ownPeer }

    /// Returns the peers that get a chunk, in the order in which it is sent to them. The worker in
    /// this process comes last: it would take the core to compute before the others are told.
    public func peers(ofChunk chunk: ChunkIndex) -> [PeerIdentity] {
        var peers = (partial[chunk].map(whole.union) ?? whole).sorted()
        if let own = ownPeer.flatMap(peers.firstIndex) { peers.append(peers.remove(at: own)) }
        return peers
    }

    /// All subscriptions in order, with the chunk where a subscription is for one chunk only.
    var entries: [(peer: PeerIdentity, chunk: ChunkIndex?)] {
        whole.sorted().map { ($0, nil) }
            + partial.keys.sorted().flatMap { chunk in
                (partial[chunk] ?? []).sorted().map { ($0, chunk) }
            }
    }

    /// Adds a subscription, unless as many peers as can be served are there already.
    ///
    /// - Parameters:
    ///   - peer: the worker that subscribes.
    ///   - chunk: the chunk to subscribe to; nil for all chunks.
    /// - Returns: whether there was room.
    @discardableResult
    public mutating func add(_ peer: PeerIdentity, chunk: ChunkIndex?) -> Bool {
        let count = chunk.map { partial[$0]?.count ?? 0 } ?? whole.count
        guard count < ShardMachine.maximumSubscriberCount else { return false }
        if let chunk {
            partial[chunk, default: []].insert(peer)
        } else {
            remove(peer)
            whole.insert(peer)
        }
        return true
    }

    /// Ends all subscriptions of a peer.
    public mutating func remove(_ peer: PeerIdentity) {
        whole.remove(peer)
        for chunk in partial.keys { partial[chunk]?.remove(peer) }
    }
}
