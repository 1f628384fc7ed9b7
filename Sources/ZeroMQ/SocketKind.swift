import CZeroMQ

/// The messaging pattern of a socket.
/// Source: the manual page zmq_socket(3).
public enum SocketKind: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    case dealer, router, pair, pub, sub, push, pull, req, rep

    /// The name of the kind in lower case.
    public var description: String { rawValue }

    /// libzmq's number for the kind.
    var number: Int32 {
        switch self {
        case .dealer: ZMQ_DEALER
        case .router: ZMQ_ROUTER
        case .pair: ZMQ_PAIR
        case .pub: ZMQ_PUB
        case .sub: ZMQ_SUB
        case .push: ZMQ_PUSH
        case .pull: ZMQ_PULL
        case .req: ZMQ_REQ
        case .rep: ZMQ_REP
        }
    }
}
