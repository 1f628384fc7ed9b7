/// Settings of a socket, all of them set explicitly when it is created.
///
/// Units: every time is a `Duration`; libzmq gets it in milliseconds, rounded up.
/// Source: the manual page zmq_setsockopt(3), whose defaults hold unless stated otherwise.
public struct SocketOptions: Sendable {
    /// How long unsent messages are kept after close, and so how long `Context.terminate()` may
    /// wait for them. Zero drops them. Default zero (libzmq: forever).
    public var linger: Duration = .zero
    /// Messages queued for one peer before a send would block (PUB: drops). 0 is no limit.
    public var sendHighWaterMark: Int = 1000
    /// Messages queued from one peer before its sender is held back. 0 is no limit.
    public var receiveHighWaterMark: Int = 1000
    /// What a ROUTER knows this socket by: 1 to 255 bytes, the first one not zero. Nil: the ROUTER
    /// makes one up for every connection.
    public var routingIdentity: [UInt8]?
    /// ROUTER only: report an unknown identity as `.unreachable` rather than drop the message.
    /// Default true (libzmq: false).
    public var routerMandatory: Bool = true
    /// ROUTER only: a new connection with an identity that is in use takes it over; otherwise the
    /// new one is refused. Default false.
    public var routerHandover: Bool = false
    /// A peer that sends a larger frame is disconnected. Nil is no limit. It bounds a frame, not
    /// the number of frames of a message, which libzmq assembles without limit.
    public var maximumMessageByteCount: Int?
    /// A connection whose handshake takes longer is dropped. Zero: it may take forever.
    public var handshakeTimeout: Duration = .seconds(30)
    /// How often a silent connection is probed. Nil: never. Default nil.
    public var heartbeatInterval: Duration?
    /// How long an answer to a probe may take before the connection counts as lost. Nil: as long
    /// as `heartbeatInterval`.
    public var heartbeatTimeout: Duration?
    /// How long the *peer* waits for traffic from here before it gives the connection up, in steps
    /// of 100 ms, rounded up. Nil: it does not.
    public var heartbeatTimeToLive: Duration?
    /// Pause before a lost connection is tried again. Nil: it is not tried again.
    public var reconnectInterval: Duration? = .milliseconds(100)
    /// The pause doubles up to this. Nil: it stays `reconnectInterval` with some randomness.
    public var reconnectMaximum: Duration?
    /// How long one connection attempt may take. Nil: as long as the system lets it.
    public var connectTimeout: Duration?
    /// Queue messages only for connections that are complete: a send before that would block
    /// rather than wait in the queue of a peer that may never come. Default false.
    public var immediate: Bool = false
    /// Accept IPv6 addresses besides IPv4. Default false.
    public var ipv6: Bool = false
    /// How long data that was sent may go without the peer's word that it came, before TCP gives
    /// the connection up. Nil: as long as the system lets it, on Linux some 15 minutes.
    public var tcpRetransmitTimeout: Duration?
    /// TCP's own probing of silent connections.
    public var tcpKeepAlive: TCPKeepAlive = .systemDefault
    /// Connections that may wait for being accepted.
    public var backlog: Int = 100
    /// Size of the kernel's buffer for sending. Nil: the system's choice.
    public var sendBufferByteCount: Int?
    /// Size of the kernel's buffer for receiving. Nil: the system's choice.
    public var receiveBufferByteCount: Int?
    /// Name under which authentication requests of this socket reach the `ZapAuthenticator`. Nil
    /// is the empty name. A socket *without* CURVE is authenticated only when it has one.
    public var zapDomain: String?
    /// Encryption and proof of identity. Nil: none, everything is readable on the wire.
    public var curve: CurveRole?
    /// SUB only: prefixes of the first frame to receive; an empty one matches every message.
    public var subscriptions: [[UInt8]] = []

    /// The defaults named above.
    public init() {}
}

/// TCP's keep-alive probes. Source: tcp(7).
public enum TCPKeepAlive: Sendable, Hashable {
    case systemDefault
    case off
    /// Probe after `idle` of silence, every `interval`, and give up after `count` probes without
    /// an answer; nil leaves a value to the system. Units: whole seconds, rounded up, at least 1.
    case on(idle: Duration? = nil, interval: Duration? = nil, count: Int? = nil)
}
