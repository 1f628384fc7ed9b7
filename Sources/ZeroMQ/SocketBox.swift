/// A socket as an object, for arrays and dictionaries, which hold no non-copyable values.
///
/// A `SocketBox` has the operations of `Socket`, and the same rule holds: one thread owns it from
/// creation to close. The last release closes the socket and must happen on that thread.
public final class SocketBox {
    private let socket: Socket
    /// Counts the bytes of messages that `send(_:)` sends and `receive()` returns. The two methods
    /// that wait are not counted. Nil counts nothing.
    public var meter: SocketMeter?

    /// Creates an object that owns `socket`.
    public init(_ socket: consuming Socket) { self.socket = socket }

    /// Opens a socket; see `Socket.init`.
    public init(
        _ context: Context, _ kind: SocketKind, options: SocketOptions = SocketOptions()
    ) throws(ZeroMQError) {
        socket = try Socket(context, kind, options: options)
    }

    /// Closes the socket; idempotent. Any other use afterwards ends the process.
    public func close() { socket.handle.close() }

    /// Whether the socket has not been closed.
    public var isOpen: Bool { socket.handle.isOpen }
    /// The messaging pattern of the socket.
    public var kind: SocketKind { socket.kind }
    /// The number of messages that were dropped because they had more than
    /// `Socket.maximumPartCount` parts.
    public var droppedMessageCount: Int { socket.droppedMessageCount }
    /// The item with which a `PollSet` waits for a message to receive.
    public var pollItem: PollItem { socket.pollItem }

    /// Returns the item with which a `PollSet` waits for the given states; see
    /// `Socket.pollItem(for:)`.
    public func pollItem(for interest: PollItem.Interest) -> PollItem {
        socket.pollItem(for: interest)
    }

    /// Accepts connections at `endpoint` and returns it with wildcards resolved; see
    /// `Socket.bind(_:)`.
    public func bind(_ endpoint: String) throws(ZeroMQError) -> String {
        try socket.bind(endpoint)
    }

    /// Connects in the background, and reconnects whenever the connection is lost.
    public func connect(_ endpoint: String) throws(ZeroMQError) { try socket.connect(endpoint) }

    /// Stops accepting connections at an endpoint that `bind(_:)` returned.
    public func unbind(_ endpoint: String) throws(ZeroMQError) { try socket.unbind(endpoint) }

    /// Ends a connection and drops the messages that are queued for it.
    public func disconnect(_ endpoint: String) throws(ZeroMQError) {
        try socket.disconnect(endpoint)
    }

    /// Adds a subscription of a SUB socket; see `Socket.subscribe(_:)`.
    public func subscribe(_ prefix: [UInt8]) throws(ZeroMQError) { try socket.subscribe(prefix) }

    /// Offers a message without waiting; see `Socket.send(_:)`.
    public func send(_ frames: [Frame]) throws(ZeroMQError) -> SendOutcome {
        let byteCount = meter?.byteCount(of: frames) ?? 0
        let outcome = try socket.send(frames)
        if outcome == .sent { meter?.sent.add(byteCount) }
        return outcome
    }

    /// Offers a message until it is taken or `limit` has passed; see `Socket.send(_:within:)`.
    public func send(_ frames: [Frame], within limit: Duration) throws(ZeroMQError) -> SendOutcome {
        try socket.send(frames, within: limit)
    }

    /// Takes the next message without waiting; returns nil when there is none.
    public func receive() throws(ZeroMQError) -> [Frame]? {
        let frames = try socket.receive()
        if let meter, let frames { meter.received.add(meter.byteCount(of: frames)) }
        return frames
    }

    /// Waits up to `limit` for a message; see `Socket.receive(within:)`.
    public func receive(within limit: Duration) throws(ZeroMQError) -> [Frame]? {
        try socket.receive(within: limit)
    }

    /// Starts to report events of this socket's connections; see `SocketMonitor`.
    public func startMonitor() throws(ZeroMQError) -> SocketMonitor { try socket.startMonitor() }
}
