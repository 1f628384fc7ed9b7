import ClusterProtocol
import Threads
import ZeroMQ

/// A DEALER that is connected to one endpoint, and the state of that connection.
///
/// libzmq reconnects when a connection breaks, but not after a refused handshake. This class does,
/// since a key may be admitted later.
///
/// Threading: belongs to the thread that created it.
final class OutgoingConnection {
    /// What is known of the connection.
    enum State: Equatable {
        /// The last handshake succeeded.
        case whole
        /// There is no connection. The text says what is wrong and what to do.
        case troubled(String)
    }

    /// The pause after a failed handshake.
    private static let redialInterval = Duration.seconds(1)

    /// The DEALER.
    let socket: SocketBox
    private let endpoint: String
    private var monitor: MonitorBox?
    /// The state that was found last; nil before the first event.
    private var state: State?
    /// Whether the last attempt reached the other side, whatever became of the handshake.
    private var hasConnected = false
    /// The moment at which to connect again; nil when nothing is planned.
    private var redialAt: Duration?

    /// Opens the socket and begins to connect.
    ///
    /// - Throws: when the socket cannot be opened, or the endpoint is malformed. A peer that does
    ///   not answer is not an error.
    init(_ context: Context, _ options: SocketOptions, to endpoint: String) throws(ZeroMQError) {
        self.endpoint = endpoint
        socket = try SocketBox(context, .dealer, options: options)
        if !endpoint.hasPrefix("inproc:") { monitor = MonitorBox(try socket.startMonitor()) }
        try socket.connect(endpoint)
    }

    /// The items that a poll set waits for besides the socket.
    var pollItems: [PollItem] { monitor.map { [$0.pollItem] } ?? [] }

    /// Looks at what happened to the connection, and connects again where that is due. It must be
    /// called regularly, not only after an event.
    ///
    /// - Returns: the state, when it differs from the state at the last call.
    func attend() throws(ZeroMQError) -> State? {
        let former = state
        while let event = monitor?.nextEventUnlessQuiet() { take(event) }
        if let moment = redialAt, SteadyClock.now >= moment {
            redialAt = nil
            // libzmq may have forgotten the endpoint already.
            try? socket.disconnect(endpoint)
            try socket.connect(endpoint)
        }
        return state == former ? nil : state
    }

    private func take(_ event: SocketEvent) {
        switch event.kind {
        case .connected: hasConnected = true
        case .handshakeSucceeded: state = .whole
        case .connectRetried:
            if !hasConnected {
                state = .troubled("nothing answers there, or the network drops what is sent")
            }
            hasConnected = false
        case .handshakeFailed(let failure):
            state = .troubled(Self.text(failure))
            if case .connection = failure { return }
            redialAt = SteadyClock.now + Self.redialInterval
        default: break
        }
    }

    private static func text(_ failure: SocketEvent.HandshakeFailure) -> String {
        switch failure {
        case .refused:
            "this node's key is not on its allow-list; put node.public into the keys directory there, "
                + "as allowed/NAME.public"
        case .protocolViolation: "\(failure)"
        case .connection:
            "it closes connections before they are made; check that both sides have keys or none, and "
                + "that coordinator.public is the coordinator's"
        }
    }

    /// Closes the monitor, then the socket.
    ///
    /// The order matters. A socket that lingers reports to its monitor on libzmq's thread. With a
    /// reader that is gone, that thread would wait without end, and every socket of the context
    /// with it.
    func close() {
        monitor = nil
        socket.close()
    }
}
