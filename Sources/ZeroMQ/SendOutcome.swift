/// The result of offering a message to a socket.
public enum SendOutcome: Sendable, Hashable {
    /// libzmq took the whole message. The message may still be lost together with the peer's
    /// connection.
    case sent
    /// Nothing was sent: no peer is connected yet, or the peer's queue is at the high-water mark.
    case wouldBlock
    /// Nothing was sent: no connected peer of this ROUTER has the identity in the first frame.
    case unreachable
}
