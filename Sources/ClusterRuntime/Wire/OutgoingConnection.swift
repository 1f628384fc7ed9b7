import ClusterProtocol
import Threads
import ZeroMQ

/// A DEALER that is connected to one place, and what is known of the way there.
///
/// libzmq connects again when a connection breaks, but not after a handshake that was refused; this
/// does, since a key may be let in later.
///
/// Threading: the thread that made it.
final class OutgoingConnection {
    enum State: Equatable {
        case whole
        /// What is wrong, and what to do.
        case troubled(String)
    }

    private static let redialInterval = Duration.seconds(1)

    let socket: SocketBox
    private let endpoint: String
    private var monitor: MonitorBox?
    private var state: State?
    /// Since the last attempt there was a connection, whatever became of it.
    private var hasConnected = false
    private var redialAt: Duration?

    init(_ context: Context, _ options: SocketOptions, to endpoint: String) throws(ZeroMQError) {
        self.endpoint = endpoint
        socket = try SocketBox(context, .dealer, options: options)
        if !endpoint.hasPrefix("inproc:") { monitor = MonitorBox(try socket.startMonitor()) }
        try socket.connect(endpoint)
    }

    /// What a poll set waits for besides the socket.
    var pollItems: [PollItem] { monitor.map { [$0.pollItem] } ?? [] }

    /// Looks at what happened to the connection, and dials again where that is due. To be called every
    /// now and then, not only when something happened.
    ///
    /// - Returns: the state, when it is another than at the last call.
    func attend() throws(ZeroMQError) -> State? {
        let former = state
        while let event = monitor?.nextEventUnlessQuiet() { take(event) }
        if let moment = redialAt, SteadyClock.now >= moment {
            redialAt = nil
            // The endpoint may be forgotten already.
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

    /// The monitor first: a socket that lingers tells it what happens, on libzmq's thread, which
    /// would wait for ever for a reader that is gone, and every socket of the context with it.
    func close() {
        monitor = nil
        socket.close()
    }
}
