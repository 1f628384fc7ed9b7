/// A ZeroMQ socket that one thread owns from creation to close.
///
/// Threading: only the thread that created the socket may use and close it. Every entry checks the
/// thread and ends the process on a wrong one. A `Socket` is neither Sendable nor copyable; it is
/// closed by `close()` or after its last use. To keep sockets in a dictionary or an array use
/// `SocketBox`.
///
/// Messages: whole multipart messages go in and out. `send(_:)` and `receive()` never wait; combine
/// them with a `PollSet`.
///
/// Throws: every operation throws `ZeroMQError`, with `.contextTerminated` after
/// `Context.shutdown()`.
public struct Socket: ~Copyable {
    /// The largest number of parts in a received message, including the identity. A message with
    /// more parts is dropped and counted.
    public static let maximumPartCount = 16
    /// The number of dropped messages after which one `receive()` gives up, so that a flood cannot
    /// hold a thread.
    static let maximumDropCountPerReceive = 64

    let handle: SocketHandle

    /// Opens a socket and applies all options, before it is bound or connected.
    ///
    /// - Throws: `.tooManyOpen` beyond the context's limit; `.invalidArgument` for an option with a
    ///   value out of range, naming the option.
    public init(
        _ context: Context, _ kind: SocketKind, options: SocketOptions = SocketOptions()
    ) throws(ZeroMQError) {
        handle = try SocketHandle(context, kind, options: options)
    }

    /// Closes the socket. Unsent messages are kept in the background for `SocketOptions.linger`.
    public consuming func close() { handle.close() }

    deinit { handle.close() }

    /// The messaging pattern of the socket.
    public var kind: SocketKind { handle.kind }

    /// The number of messages that were dropped because they had more than `maximumPartCount`
    /// parts.
    public var droppedMessageCount: Int {
        handle.checkThread("droppedMessageCount")
        return handle.droppedMessageCount
    }

    /// The item with which a `PollSet` waits for a message to receive.
    public var pollItem: PollItem { PollItem(handle, interest: .readable) }

    /// Returns the item with which a `PollSet` waits for the given states. `.writable` of a ROUTER
    /// says little, because any of its peers may be meant.
    public func pollItem(for interest: PollItem.Interest) -> PollItem {
        PollItem(handle, interest: interest)
    }

    /// Accepts connections at `endpoint`, such as `tcp://127.0.0.1:*`, `ipc:///run/x`,
    /// `inproc://x`.
    ///
    /// - Returns: the endpoint with wildcards resolved. Peers connect to it and `unbind(_:)` takes
    ///   it.
    /// - Throws: `.addressInUse`, `.addressNotAvailable` and others. An ipc path in use is not an
    ///   error: libzmq removes the file and takes the path over.
    public func bind(_ endpoint: String) throws(ZeroMQError) -> String {
        try handle.bind(endpoint)
    }

    /// Connects in the background, and reconnects whenever the connection is lost.
    public func connect(_ endpoint: String) throws(ZeroMQError) { try handle.connect(endpoint) }

    /// Stops accepting connections at an endpoint that `bind(_:)` returned.
    public func unbind(_ endpoint: String) throws(ZeroMQError) { try handle.unbind(endpoint) }

    /// Ends a connection and drops the messages that are queued for it.
    public func disconnect(_ endpoint: String) throws(ZeroMQError) {
        try handle.disconnect(endpoint)
    }

    /// Adds a subscription of a SUB socket: it receives messages whose first frame begins with
    /// `prefix`.
    public func subscribe(_ prefix: [UInt8]) throws(ZeroMQError) { try handle.subscribe(prefix) }

    /// Offers a message without waiting. Either all of its frames are sent or none.
    ///
    /// A message has at least one frame. For a ROUTER it has at least two, and the first is the
    /// peer's identity. The frames remain usable, because they are shared and not copied.
    public func send(_ frames: [Frame]) throws(ZeroMQError) -> SendOutcome {
        try handle.send(frames)
    }

    /// Offers a message until it is taken or `limit` has passed. Returns `.unreachable` at once.
    ///
    /// This blocks the thread: use it in tests and tools rather than in event loops.
    public func send(_ frames: [Frame], within limit: Duration) throws(ZeroMQError) -> SendOutcome {
        try handle.send(frames, until: .now.advanced(by: limit))
    }

    /// Takes the next message without waiting; returns nil when there is none.
    ///
    /// The first frame of a ROUTER's message is the sender's identity.
    public func receive() throws(ZeroMQError) -> [Frame]? { try handle.receive() }

    /// Waits up to `limit` for a message; returns nil when none came.
    ///
    /// This blocks the thread: use it in tests and tools rather than in event loops.
    public func receive(within limit: Duration) throws(ZeroMQError) -> [Frame]? {
        try handle.receive(until: .now.advanced(by: limit))
    }

    /// Starts to report events of this socket's connections; see `SocketMonitor`.
    ///
    /// A socket has one monitor: starting a second one ends the first.
    public func startMonitor() throws(ZeroMQError) -> SocketMonitor {
        try SocketMonitor(of: handle)
    }
}
