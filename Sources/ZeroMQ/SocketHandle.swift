import CZeroMQ
import Glibc

/// An open libzmq socket and the thread that owns it. Every call of a socket ends up here.
///
/// It is a class, so that `PollItem` and `SocketMonitor` can refer to it, and it stays inside this
/// module. It is not Sendable, and every entry checks the thread.
///
/// Source: zmq(7), "ØMQ sockets are not thread safe. Applications MUST NOT use a socket from
/// multiple threads except after migrating a socket from one thread to another with a 'full fence'
/// memory barrier." This module does not migrate sockets.
final class SocketHandle {
    let kind: SocketKind
    /// The context, which the socket keeps alive.
    let context: Context
    private let owner = ThreadIdentity.current
    /// libzmq's socket; nil once closed.
    private var socket: UnsafeMutableRawPointer?
    /// The message that libzmq receives into; always initialised.
    let incoming = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: 1)
    /// The message that libzmq sends from; always initialised.
    let outgoing = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: 1)
    /// The number of received messages that were dropped.
    var droppedMessageCount = 0
    /// The states that the socket was ready for when it was last asked. Nil when they may have
    /// changed since then without a signal at the socket's descriptor, as after every use of the
    /// socket.
    var knownReadiness: PollItem.Interest?
    /// Whether the last wait found nothing to receive. The value holds for one receive.
    var isQuiet = false
    /// The descriptor that libzmq signals (ZMQ_FD); nil until it is first needed.
    var descriptor: Int32?
    /// The number of the monitor that was started last. An earlier monitor must not stop a later
    /// one.
    var monitorNumber = 0

    init(_ context: Context, _ kind: SocketKind, options: SocketOptions) throws(ZeroMQError) {
        self.context = context
        self.kind = kind
        zmq_msg_init(incoming)
        zmq_msg_init(outgoing)
        let socket = try context.openSocket(kind)
        self.socket = socket
        // A throw from here on releases self, and deinit closes the socket.
        try SocketOptionWriter(socket: socket, kind: kind).apply(options)
    }

    deinit {
        close()
        zmq_msg_close(incoming)
        zmq_msg_close(outgoing)
        incoming.deallocate()
        outgoing.deallocate()
    }

    var isOpen: Bool { socket != nil }

    /// Returns the socket for a call of libzmq. Ends the process on the wrong thread and after
    /// close.
    func use(_ operation: StaticString) -> UnsafeMutableRawPointer {
        owner.check(operation, of: "a \(kind) socket")
        guard let socket else { fatalError("\(operation) of a \(kind) socket after its close") }
        knownReadiness = nil
        isQuiet = false
        return socket
    }

    /// Ends the process on the wrong thread; for operations that are allowed after close.
    func checkThread(_ operation: StaticString) {
        owner.check(operation, of: "a \(kind) socket")
    }

    /// Closes the socket; idempotent.
    func close() {
        guard let socket else { return }
        checkThread("close")
        self.socket = nil
        (descriptor, knownReadiness, isQuiet) = (nil, nil, false)
        // zmq_close fails only with ENOTSOCK, and the pointer was valid.
        _ = zmq_close(socket)
    }

    func bind(_ endpoint: String) throws(ZeroMQError) -> String {
        let socket = use("bind")
        try SocketHandle.requirePort(of: endpoint, "bind")
        try LibraryCall.perform("bind", endpoint: endpoint) { zmq_bind(socket, endpoint) }
        return try lastEndpoint()
    }

    func connect(_ endpoint: String) throws(ZeroMQError) {
        let socket = use("connect")
        try SocketHandle.requirePort(of: endpoint, "connect")
        try LibraryCall.perform("connect", endpoint: endpoint) { zmq_connect(socket, endpoint) }
    }

    func unbind(_ endpoint: String) throws(ZeroMQError) {
        let socket = use("unbind")
        try LibraryCall.perform("unbind", endpoint: endpoint) { zmq_unbind(socket, endpoint) }
    }

    func disconnect(_ endpoint: String) throws(ZeroMQError) {
        let socket = use("disconnect")
        try LibraryCall.perform("disconnect", endpoint: endpoint) {
            zmq_disconnect(socket, endpoint)
        }
    }

    func subscribe(_ prefix: [UInt8]) throws(ZeroMQError) {
        let socket = use("subscribe")
        try LibraryCall.perform("subscribe a \(kind) socket") {
            zmq_setsockopt(socket, ZMQ_SUBSCRIBE, prefix, prefix.count)
        }
    }

    /// Refuses tcp ports above 65535. libzmq 4.3 would silently use the lower 16 bits of such a
    /// port.
    private static func requirePort(of endpoint: String, _ operation: String) throws(ZeroMQError) {
        guard endpoint.hasPrefix("tcp://"), let colon = endpoint.lastIndex(of: ":") else { return }
        let port = endpoint[endpoint.index(after: colon)...]
        guard !port.isEmpty, port.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            UInt16(port) == nil
        else { return }
        throw ZeroMQError(number: EINVAL, operation: operation, endpoint: endpoint)
    }

    /// Returns the endpoint that was last bound or connected, with wildcards resolved.
    private func lastEndpoint() throws(ZeroMQError) -> String {
        let socket = use("read the last endpoint")
        var characters = [CChar](repeating: 0, count: 1024)
        var byteCount = characters.count
        try LibraryCall.perform("read the last endpoint of a \(kind) socket") {
            zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, &characters, &byteCount)
        }
        return Z85Key.text(characters)
    }

    /// Waits until the socket is ready or `deadline` has passed. A signal ends the wait early.
    func wait(
        for interest: PollItem.Interest, until deadline: ContinuousClock.Instant
    ) throws(ZeroMQError) {
        let remaining = max(.zero, ContinuousClock.now.duration(to: deadline))
        var item = zmq_pollitem_t(
            socket: use("wait"), fd: 0, events: interest.rawValue, revents: 0)
        _ = try LibraryCall.attempt(
            "wait for a \(kind) socket", repeatWhenInterrupted: false
        ) { zmq_poll(&item, 1, Int(remaining.millisecondsForLibrary)) }
    }
}
