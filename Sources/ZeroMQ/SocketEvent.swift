import CZeroMQ

/// Something that happened to one of a socket's connections.
/// Source: the manual page zmq_socket_monitor(3).
public struct SocketEvent: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// A connection was made; its handshake is still to come.
        case connected
        /// A connection could not be made at once and is under way.
        case connectDelayed
        /// A connection failed and is tried again after this pause.
        case connectRetried(after: Duration)
        case listening
        case bindFailed(errorNumber: Int32)
        /// A peer connected; its handshake is still to come.
        case accepted
        case acceptFailed(errorNumber: Int32)
        /// A connection attempt or a listener was closed.
        case closed
        case closeFailed(errorNumber: Int32)
        /// A connection is gone, be it that its handshake never succeeded.
        case disconnected
        case handshakeSucceeded
        case handshakeFailed(HandshakeFailure)
        /// The last event of a monitor.
        case monitorStopped
        /// An event of a later libzmq, by its number.
        case other(UInt16)
    }

    /// Why a handshake failed.
    public enum HandshakeFailure: Sendable, Hashable, CustomStringConvertible {
        /// The connection broke, with this `errno`.
        case connection(errorNumber: Int32)
        /// The peer does not speak ZMTP, or not the mechanism asked for; libzmq's number.
        case protocolViolation(number: Int32)
        /// The ZAP handler refused the peer with this status: 300, 400 or 500.
        case refused(status: Int32)

        public var description: String {
            switch self {
            case .connection(let number): String(cString: zmq_strerror(number))
            case .protocolViolation(ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH):
                "the peer uses another security mechanism: check that both sides have CURVE keys"
            case .protocolViolation(ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC):
                "the peer's CURVE keys do not fit: check the server's public key"
            case .protocolViolation(let number): "protocol error 0x" + String(number, radix: 16)
            case .refused(let status): "authentication was refused with status \(status)"
            }
        }
    }

    public let kind: Kind
    /// What the kind's payload does not say: the connection's file descriptor for most kinds.
    public let value: Int32
    /// The endpoint the event belongs to: of a bound socket its own.
    public let endpoint: String

    /// The connection's file descriptor, where the kind has one. The number is that of the moment:
    /// once a connection is closed, the system gives the same number to a later one.
    public var fileDescriptor: Int32? {
        switch kind {
        case .connected, .listening, .accepted, .closed, .disconnected: value
        default: nil
        }
    }

    /// Parses the two frames libzmq sends; nil when they are malformed.
    init?(frames: [Frame]) {
        guard frames.count == 2, frames[0].byteCount == 6 else { return nil }
        let (number, value) = frames[0].withUnsafeBytes {
            (
                $0.loadUnaligned(fromByteOffset: 0, as: UInt16.self),
                $0.loadUnaligned(fromByteOffset: 2, as: Int32.self)
            )
        }
        kind = SocketEvent.kind(number, value)
        self.value = value
        endpoint = String(decoding: frames[1].bytes, as: UTF8.self)
    }

    private static func kind(_ number: UInt16, _ value: Int32) -> Kind {
        switch Int32(number) {
        case ZMQ_EVENT_CONNECTED: .connected
        case ZMQ_EVENT_CONNECT_DELAYED: .connectDelayed
        case ZMQ_EVENT_CONNECT_RETRIED: .connectRetried(after: .milliseconds(value))
        case ZMQ_EVENT_LISTENING: .listening
        case ZMQ_EVENT_BIND_FAILED: .bindFailed(errorNumber: value)
        case ZMQ_EVENT_ACCEPTED: .accepted
        case ZMQ_EVENT_ACCEPT_FAILED: .acceptFailed(errorNumber: value)
        case ZMQ_EVENT_CLOSED: .closed
        case ZMQ_EVENT_CLOSE_FAILED: .closeFailed(errorNumber: value)
        case ZMQ_EVENT_DISCONNECTED: .disconnected
        case ZMQ_EVENT_MONITOR_STOPPED: .monitorStopped
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: .handshakeSucceeded
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            .handshakeFailed(.connection(errorNumber: value))
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
            .handshakeFailed(.protocolViolation(number: value))
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: .handshakeFailed(.refused(status: value))
        default: .other(number)
        }
    }
}
