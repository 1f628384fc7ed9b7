import CZeroMQ

/// An event of one of a socket's connections.
/// Source: the manual page zmq_socket_monitor(3).
public struct SocketEvent: Sendable, Hashable {
    /// The kind of an event. Error numbers are values of `errno`.
    public enum Kind: Sendable, Hashable {
        /// A connection was made; its handshake follows.
        case connected
        /// A connection could not be made at once and is in progress.
        case connectDelayed
        /// A connection failed and is tried again after this pause.
        case connectRetried(after: Duration)
        /// The socket accepts connections at an endpoint.
        case listening
        /// The socket could not be bound.
        case bindFailed(errorNumber: Int32)
        /// A peer connected; its handshake follows.
        case accepted
        /// A peer's connection could not be accepted.
        case acceptFailed(errorNumber: Int32)
        /// A connection attempt or a listener was closed.
        case closed
        /// A connection could not be closed.
        case closeFailed(errorNumber: Int32)
        /// A connection is gone. The event also comes when its handshake never succeeded.
        case disconnected
        /// The handshake succeeded; messages can flow.
        case handshakeSucceeded
        /// The handshake failed for this reason.
        case handshakeFailed(HandshakeFailure)
        /// The last event of a monitor.
        case monitorStopped
        /// An event that a later libzmq added, by its number.
        case other(UInt16)
    }

    /// The reason why a handshake failed.
    public enum HandshakeFailure: Sendable, Hashable, CustomStringConvertible {
        /// The connection broke, with this `errno`.
        case connection(errorNumber: Int32)
        /// The peer does not speak ZMTP or not the expected mechanism. The number is libzmq's.
        case protocolViolation(number: Int32)
        /// The ZAP handler refused the peer with this status: 300, 400 or 500.
        case refused(status: Int32)

        /// The reason in words, with advice where the cause is known.
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

    /// The kind of the event.
    public let kind: Kind
    /// The number that libzmq sent with the event. For most kinds without a payload it is the
    /// connection's file descriptor.
    public let value: Int32
    /// The endpoint that the event belongs to; for a bound socket it is the socket's own.
    public let endpoint: String

    /// The connection's file descriptor, for kinds that have one. The number is valid at the time
    /// of the event only: once a connection is closed, the system reuses its number for a later
    /// one.
    public var fileDescriptor: Int32? {
        switch kind {
        case .connected, .listening, .accepted, .closed, .disconnected: value
        default: nil
        }
    }

    /// Parses the two frames that libzmq sends; nil when they are malformed.
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
