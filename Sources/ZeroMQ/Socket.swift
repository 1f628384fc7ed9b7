/// A ZeroMQ socket, owned by one thread from creation to close.
///
/// Threading: only the thread that created the socket may use and close it; every entry checks that
/// and ends the process otherwise. A `Socket` is not Sendable and not copyable: the last use, or
/// `close()`, closes it. To store sockets in a dictionary or an array use `SocketBox`.
///
/// Messages: whole multipart messages go in and out. `send` and `receive` never wait; combine them
/// with a `PollSet`.
///
/// Throws: every operation throws `ZeroMQError`, with `.contextTerminated` after
/// `Context.shutdown()`.
public struct Socket: ~Copyable {
    /// A received message with more parts than this, identity included, is dropped and counted.
    public static let maximumPartCount = 16
    /// One `receive()` gives up after dropping this many, so that a flood cannot hold a thread.
    static let maximumDropCountPerReceive = 64

    let handle: SocketHandle

    /// Opens a socket and applies all options, before anything is bound or connected.
    ///
    /// - Throws: `.tooManyOpen` beyond the context's limit; `.invalidArgument` for an option with a
    ///   value out of range, naming the option.
    public init(
        _ context: Context, _ kind: SocketKind, options: SocketOptions = SocketOptions()
    ) throws(ZeroMQError) {
        handle = try SocketHandle(context, kind, options: options)
    }

    /// Closes the socket. What is unsent is kept for `SocketOptions.linger` in the background.
    public consuming func close() { handle.close() }

    deinit { handle.close() }

    public var kind: SocketKind { handle.kind }

    /// Messages that arrived with more than `maximumPartCount` parts and were dropped.
    public var droppedMessageCount: Int {
        handle.checkThread("droppedMessageCount")
        return handle.droppedMessageCount
    }

    /// What a `PollSet` waits for: a message to receive.
    public var pollItem: PollItem { PollItem(handle, interest: .readable) }

    /// What a `PollSet` waits for. `.writable` of a ROUTER says little: any peer may be meant.
    public func pollItem(for interest: PollItem.Interest) -> PollItem {
        PollItem(handle, interest: interest)
    }

    /// Accepts connections at `endpoint`, such as `tcp://127.0.0.1:*`, `ipc:///run/x`,
    /// `inproc://x`.
    ///
    /// - Returns: the endpoint with wildcards resolved: what peers connect to and `unbind` takes.
    /// - Throws: `.addressInUse`, `.addressNotAvailable`, ... An ipc path in use is no error:
    ///   libzmq removes the file and takes the path over.
    public func bind(_ endpoint: String) throws(ZeroMQError) -> String {
        try handle.bind(endpoint)
    }

    /// Connects in the background, and again whenever the connection is lost.
    public func connect(_ endpoint: String) throws(ZeroMQError) { try handle.connect(endpoint) }

    /// Stops accepting at an endpoint as `bind` returned it.
    public func unbind(_ endpoint: String) throws(ZeroMQError) { try handle.unbind(endpoint) }

    /// Ends a connection and drops what is queued for it.
    public func disconnect(_ endpoint: String) throws(ZeroMQError) {
        try handle.disconnect(endpoint)
    }

    /// SUB: receive messages whose first frame begins with `prefix`, besides those so far.
    public func subscribe(_ prefix: [UInt8]) throws(ZeroMQError) { try handle.subscribe(prefix) }

    /// Offers a message without waiting: all of its frames go, or none.
    ///
    /// At least one frame; of a ROUTER two, the first being the peer's identity. The frames remain
    /// usable and are shared, not copied.
    public func send(_ frames: [Frame]) throws(ZeroMQError) -> SendOutcome {
        try handle.send(frames)
    }

    /// Offers a message until it is taken or `limit` has passed. `.unreachable` returns at once.
    ///
    /// Holds up the thread: for tests and tools rather than event loops.
    public func send(_ frames: [Frame], within limit: Duration) throws(ZeroMQError) -> SendOutcome {
        try handle.send(frames, until: .now.advanced(by: limit))
    }

    /// Takes the next message without waiting; nil when there is none.
    ///
    /// The first frame of a ROUTER's message is the sender's identity.
    public func receive() throws(ZeroMQError) -> [Frame]? { try handle.receive() }

    /// Waits up to `limit` for a message; nil when none came.
    ///
    /// Holds up the thread: for tests and tools rather than event loops.
    public func receive(within limit: Duration) throws(ZeroMQError) -> [Frame]? {
        try handle.receive(until: .now.advanced(by: limit))
    }

    /// Starts to report what happens to this socket's connections; see `SocketMonitor`.
    ///
    /// A socket has one monitor: a second one ends the first.
    public func startMonitor() throws(ZeroMQError) -> SocketMonitor {
        try SocketMonitor(of: handle)
    }
}
