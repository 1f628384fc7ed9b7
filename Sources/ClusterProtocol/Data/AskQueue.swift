/// What workers ask the coordinator's data service for, answered one stretch a worker in turn.
///
/// A worker that asks for much waits behind its own questions, never before those of others.
public struct AskQueue: Sendable {
    /// Questions of one peer that wait; more are dropped, and asked again.
    public static let maximumPerPeer = 2 * Download.windowPieceCount
    public static let maximumPeerCount = 4096

    private var asks: [PeerIdentity: [DataHeader]] = [:]
    /// Peers with questions, next one first.
    private var turns: [PeerIdentity] = []
    private var head = 0

    public init() {}

    public var isEmpty: Bool { asks.isEmpty }

    /// Takes a question in, unless it waits already; false when it is one too many.
    @discardableResult
    public mutating func add(_ ask: DataHeader, from peer: PeerIdentity) -> Bool {
        guard var waiting = asks[peer] else {
            guard asks.count < Self.maximumPeerCount else { return false }
            asks[peer] = [ask]
            turns.append(peer)
            return true
        }
        if waiting.contains(ask) { return true }
        guard waiting.count < Self.maximumPerPeer else { return false }
        waiting.append(ask)
        asks[peer] = waiting
        return true
    }

    /// The next question: each peer's oldest, the peers in turn.
    public mutating func next() -> (ask: DataHeader, peer: PeerIdentity)? {
        guard head < turns.count else { return nil }
        let peer = turns[head]
        head += 1
        if head * 2 >= turns.count {
            turns.removeFirst(head)
            head = 0
        }
        guard var waiting = asks[peer], let ask = waiting.first else { return nil }
        waiting.removeFirst()
        if waiting.isEmpty {
            asks[peer] = nil
        } else {
            asks[peer] = waiting
            turns.append(peer)
        }
        return (ask, peer)
    }
}
