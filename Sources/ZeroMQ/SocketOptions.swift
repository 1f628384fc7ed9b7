/// The settings of a socket. All of them are set explicitly when the socket is created.
///
/// Units: every time is a `Duration`; libzmq gets it in milliseconds, rounded up.
/// Source: the manual page zmq_setsockopt(3), whose defaults hold unless stated otherwise.
public struct SocketOptions: Sendable {
    /// The time for which unsent messages are kept after close, and so the time that
    /// `Context.terminate()` may wait for them. Zero drops them. Default zero (libzmq: no limit).
    public var linger: Duration = .zero
    /// The largest number of messages queued for one peer. A further send would block (PUB: drops
    /// the message). 0 means no limit.
    public var sendHighWaterMark: Int = 1000
    /// The largest number of messages queued from one peer. Then the sender is held back. 0 means
    /// no limit.
    public var receiveHighWaterMark: Int = 1000
    /// The name by which a ROUTER knows this socket: 1 to 255 bytes, the first of them not zero.
    /// Nil lets the ROUTER make up a name for every connection.
    public var routingIdentity: [UInt8]?
    /// ROUTER only: whether an unknown identity is reported as `.unreachable`. Otherwise the
    /// message is dropped. Default true (libzmq: false).
    public var routerMandatory: Bool = true
    /// ROUTER only: whether a new connection takes over an identity that is in use. Otherwise the
    /// new connection is refused. Default false.
    public var routerHandover: Bool = false
    /// The largest frame in bytes; a peer that sends a larger one is disconnected. Nil means no
    /// limit. The option does not limit the number of frames in a message, which libzmq assembles
    /// without limit.
    public var maximumMessageByteCount: Int?
    /// The time after which a connection with an unfinished handshake is dropped. Zero means no
    /// limit.
    public var handshakeTimeout: Duration = .seconds(30)
    /// The interval at which a silent connection is probed. Nil, the default, sends no probes.
    public var heartbeatInterval: Duration?
    /// The time without an answer to a probe after which the connection counts as lost. Nil means
    /// `heartbeatInterval`.
    public var heartbeatTimeout: Duration?
    /// The time for which the *peer* waits for traffic from here before it gives up the connection,
    /// in steps of 100 ms, rounded up. Nil means that the peer does not give it up.
    public var heartbeatTimeToLive: Duration?
    /// The pause before a lost connection is tried again. Nil means that it is not tried again.
    public var reconnectInterval: Duration? = .milliseconds(100)
    /// The longest pause between attempts: the pause doubles up to this. Nil keeps
    /// `reconnectInterval` with some randomness.
    public var reconnectMaximum: Duration?
    /// The longest time for one connection attempt. Nil leaves the limit to the system.
    public var connectTimeout: Duration?
    /// Whether messages are queued only for connections that are complete. Then a send without such
    /// a connection would block, rather than wait in the queue of a peer that may never come.
    /// Default false.
    public var immediate: Bool = false
    /// Whether IPv6 addresses are accepted besides IPv4. Default false.
    public var ipv6: Bool = false
    /// The time for which sent data may stay unacknowledged before TCP gives up the connection. Nil
    /// leaves the limit to the system; on Linux it is about 15 minutes.
    public var tcpRetransmitTimeout: Duration?
    /// TCP's own probing of silent connections.
    public var tcpKeepAlive: TCPKeepAlive = .systemDefault
    /// The number of connections that may wait to be accepted.
    public var backlog: Int = 100
    /// The size of the kernel's buffer for sending, in bytes. Nil leaves the choice to the system.
    public var sendBufferByteCount: Int?
    /// The size of the kernel's buffer for receiving, in bytes. Nil leaves the choice to the
    /// system.
    public var receiveBufferByteCount: Int?
    /// The name under which authentication requests of this socket reach the `ZapAuthenticator`.
    /// Nil is the empty name. A socket *without* CURVE is authenticated only when it has a name.
    public var zapDomain: String?
    /// Encryption and proof of identity. With nil there is neither: everything is readable on the
    /// wire.
    public var curve: CurveRole?
    /// SUB only: the socket receives messages whose first frame begins with one of these prefixes.
    /// An empty prefix matches every message.
    public var subscriptions: [[UInt8]] = []

    /// Creates options with the defaults stated at each option.
    public init() {}
}

/// TCP's keep-alive probes.
/// Source: tcp(7).
public enum TCPKeepAlive: Sendable, Hashable {
    /// Use the system's settings.
    case systemDefault
    /// Send no probes.
    case off
    /// Probe after `idle` of silence and then every `interval`, and give up after `count` probes
    /// without an answer. Nil leaves a value to the system. Units: whole seconds, rounded up, at
    /// least 1.
    case on(idle: Duration? = nil, interval: Duration? = nil, count: Int? = nil)
}
