/// What became of a message that was offered to a socket.
public enum SendOutcome: Sendable, Hashable {
    /// libzmq took the whole message. It may still be lost when the peer's connection is.
    case sent
    /// Nothing was sent: no peer is connected yet, or its queue is at the high-water mark.
    case wouldBlock
    /// Nothing was sent: no connected peer of this ROUTER has the identity in the first frame.
    case unreachable
}
