import CZeroMQ
import Glibc

/// An open libzmq socket and the thread that owns it: where every call of a socket ends up.
///
/// A class, so that `PollItem` and `SocketMonitor` can refer to it; it stays inside this module.
/// Not Sendable, and every entry checks the thread.
///
/// Source: zmq(7), "ØMQ sockets are not thread safe. Applications MUST NOT use a socket from
/// multiple threads except after migrating a socket from one thread to another with a 'full
/// fence' memory barrier." This module does not migrate sockets.
final class SocketHandle {
    let kind: SocketKind
    /// Keeps the context alive as long as its socket.
    let context: Context
    private let owner = ThreadIdentity.current
    /// Nil once closed.
    private var socket: UnsafeMutableRawPointer?
    /// Where messages on their way through libzmq lie; always initialised.
    let incoming = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: 1)
    let outgoing = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: 1)
    var droppedMessageCount = 0
    /// What it was ready for when it was looked at last; nil when that may have changed since without
    /// a signal at its descriptor, which is so after every use.
    var knownReadiness: PollItem.Interest?
    /// The last wait found nothing to receive; holds for one receive.
    var isQuiet = false
    var descriptor: Int32?
    /// Number of the monitor that was started last; an earlier one must not stop a later one.
    var monitorNumber = 0

    init(_ context: Context, _ kind: SocketKind, options: SocketOptions) throws(ZeroMQError) {
        self.context = context
        self.kind = kind
        zmq_msg_init(incoming)
        zmq_msg_init(outgoing)
        let socket = try context.openSocket(kind)
        self.socket = socket
        // A throw from here on releases self, and deinit closes.
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

    /// The socket for a call of libzmq; ends the process on the wrong thread and after close.
    func use(_ operation: StaticString) -> UnsafeMutableRawPointer {
        owner.check(operation, of: "a \(kind) socket")
        guard let socket else { fatalError("\(operation) of a \(kind) socket after its close") }
        knownReadiness = nil
        isQuiet = false
        return socket
    }

    /// Ends the process on the wrong thread; for what may be called after close.
    func checkThread(_ operation: StaticString) {
        owner.check(operation, of: "a \(kind) socket")
    }

    /// Idempotent.
    func close() {
        guard let socket else { return }
        checkThread("close")
        self.socket = nil
        (descriptor, knownReadiness, isQuiet) = (nil, nil, false)
        // ENOTSOCK is the only failure, and the pointer was valid.
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

    /// Refuses tcp ports above 65535, of which libzmq 4.3 would silently use the lower 16 bits.
    private static func requirePort(of endpoint: String, _ operation: String) throws(ZeroMQError) {
        guard endpoint.hasPrefix("tcp://"), let colon = endpoint.lastIndex(of: ":") else { return }
        let port = endpoint[endpoint.index(after: colon)...]
        guard !port.isEmpty, port.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            UInt16(port) == nil
        else { return }
        throw ZeroMQError(number: EINVAL, operation: operation, endpoint: endpoint)
    }

    /// The endpoint last bound or connected, with wildcards resolved.
    private func lastEndpoint() throws(ZeroMQError) -> String {
        let socket = use("read the last endpoint")
        var characters = [CChar](repeating: 0, count: 1024)
        var byteCount = characters.count
        try LibraryCall.perform("read the last endpoint of a \(kind) socket") {
            zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, &characters, &byteCount)
        }
        return Z85Key.text(characters)
    }

    /// Waits until the socket is ready or `deadline` has passed.
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
