/// The stretches of data that workers ask the coordinator's data service for, served round-robin.
///
/// Each round answers one question of each worker, so that a worker that asks for much delays only its
/// own answers.
public struct AskQueue: Sendable {
    /// The highest number of waiting questions of one peer; further ones are dropped, and asked again
    /// by the peer.
    public static let maximumPerPeer = 2 * Download.windowPieceCount
    /// The highest number of peers with waiting questions.
    public static let maximumPeerCount = 4096

    private var asks: [PeerIdentity: [DataHeader]] = [:]
    /// The peers that have questions; the next one is at `head`.
    private var turns: [PeerIdentity] = []
    private var head = 0

    /// Creates an empty queue.
    public init() {}

    /// Whether no question waits.
    public var isEmpty: Bool { asks.isEmpty }

    /// Adds a question, unless the same question of the peer waits already.
    ///
    /// - Returns: False when the question is dropped because too many wait.
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

    /// Removes and returns the next question: the oldest of the peer whose turn it is.
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
