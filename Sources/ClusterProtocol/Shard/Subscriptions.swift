/// Who is sent weights as soon as they are there: all chunks, or some of them.
public struct Subscriptions: Hashable, Sendable {
    private var whole: Set<PeerIdentity> = []
    private var partial: [Int: Set<PeerIdentity>] = [:]

    public init() {}

    /// Who is sent a chunk, in order.
    public func peers(ofChunk chunk: Int) -> [PeerIdentity] {
        guard let some = partial[chunk], !some.isEmpty else { return whole.sorted() }
        return whole.union(some).sorted()
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
    public mutating func add(_ peer: PeerIdentity, chunk: Int?) {
        if let chunk {
            guard partial[chunk, default: []].count < ShardMachine.maximumSubscriberCount else {
                return
            }
            partial[chunk, default: []].insert(peer)
        } else if whole.count < ShardMachine.maximumSubscriberCount {
            whole.insert(peer)
            for chunk in partial.keys { partial[chunk]?.remove(peer) }
        }
    }

    public mutating func remove(_ peer: PeerIdentity) {
        whole.remove(peer)
        for chunk in partial.keys { partial[chunk]?.remove(peer) }
    }
}
