/// A socket as an object, for arrays and dictionaries, which hold no non-copyable values.
///
/// The same operations and the same rule as `Socket`: one thread, from creation to close. The last
/// release closes the socket and must happen on that thread.
public final class SocketBox {
    private let socket: Socket
    /// Counts what goes through, if anyone wants to know.
    public var meter: SocketMeter?

    public init(_ socket: consuming Socket) { self.socket = socket }

    /// Opens a socket, see `Socket.init`.
    public init(
        _ context: Context, _ kind: SocketKind, options: SocketOptions = SocketOptions()
    ) throws(ZeroMQError) {
        socket = try Socket(context, kind, options: options)
    }

    /// Closes the socket; idempotent. Any other use after it ends the process.
    public func close() { socket.handle.close() }

    public var isOpen: Bool { socket.handle.isOpen }
    public var kind: SocketKind { socket.kind }
    public var droppedMessageCount: Int { socket.droppedMessageCount }
    public var pollItem: PollItem { socket.pollItem }

    public func pollItem(for interest: PollItem.Interest) -> PollItem {
        socket.pollItem(for: interest)
    }

    public func bind(_ endpoint: String) throws(ZeroMQError) -> String {
        try socket.bind(endpoint)
    }

    public func connect(_ endpoint: String) throws(ZeroMQError) { try socket.connect(endpoint) }

    public func unbind(_ endpoint: String) throws(ZeroMQError) { try socket.unbind(endpoint) }

    public func disconnect(_ endpoint: String) throws(ZeroMQError) {
        try socket.disconnect(endpoint)
    }

    public func subscribe(_ prefix: [UInt8]) throws(ZeroMQError) { try socket.subscribe(prefix) }

    public func send(_ frames: [Frame]) throws(ZeroMQError) -> SendOutcome {
        // A frame that is sent may be empty afterwards.
        let byteCount = meter?.byteCount(of: frames) ?? 0
        let outcome = try socket.send(frames)
        if outcome == .sent { meter?.sent.add(byteCount) }
        return outcome
    }

    public func send(_ frames: [Frame], within limit: Duration) throws(ZeroMQError) -> SendOutcome {
        try socket.send(frames, within: limit)
    }

    public func receive() throws(ZeroMQError) -> [Frame]? {
        let frames = try socket.receive()
        if let meter, let frames { meter.received.add(meter.byteCount(of: frames)) }
        return frames
    }

    public func receive(within limit: Duration) throws(ZeroMQError) -> [Frame]? {
        try socket.receive(within: limit)
    }

    public func startMonitor() throws(ZeroMQError) -> SocketMonitor { try socket.startMonitor() }
}
