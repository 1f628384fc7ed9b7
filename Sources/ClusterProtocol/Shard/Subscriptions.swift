/// Who is sent weights as soon as they are there: all chunks, or some of them.
public struct Subscriptions: Hashable, Sendable {
    private var whole: Set<PeerIdentity> = []
    private var partial: [Int: Set<PeerIdentity>] = [:]
    private let ownPeer: PeerIdentity?

    /// - Parameter ownPeer: whoever is in this process itself.
    public init(ownPeer: PeerIdentity? = nil) { self.ownPeer = ownPeer }

    /// Who is sent a chunk, in order: others first, and this process's own worker last. It would take
    /// the core to compute, before the others are told.
    public func peers(ofChunk chunk: Int) -> [PeerIdentity] {
        var peers = (partial[chunk].map(whole.union) ?? whole).sorted()
        if let own = ownPeer.flatMap(peers.firstIndex) { peers.append(peers.remove(at: own)) }
        return peers
    }

    /// Everyone, with the chunk if it is not all of them, in order.
    var entries: [(peer: PeerIdentity, chunk: Int?)] {
        whole.sorted().map { ($0, nil) }
            + partial.keys.sorted().flatMap { chunk in
                (partial[chunk] ?? []).sorted().map { ($0, chunk) }
            }
    }

    /// Adds a peer, unless as many as can be served are there already.
    ///
    /// - Parameter chunk: nil for all.
    /// - Returns: whether there was room.
    @discardableResult
    public mutating func add(_ peer: PeerIdentity, chunk: Int?) -> Bool {
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

    public mutating func remove(_ peer: PeerIdentity) {
        whole.remove(peer)
        for chunk in partial.keys { partial[chunk]?.remove(peer) }
    }
}
