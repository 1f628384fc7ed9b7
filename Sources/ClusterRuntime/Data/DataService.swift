import Buffers
import ClusterProtocol
import Logging
import RunFiles
import Threads
import ZeroMQ

/// The coordinator's thread that sends partitions to workers whose hosts lack them.
///
/// The data is opened only when a worker asks for it. A worker can ask for the run's own partitions
/// only, by number.
final class DataService: Sendable {
    /// The endpoint at which workers ask for partitions.
    let endpoint: Endpoint
    private let thread: SocketThread<Order>

    /// An order to the thread.
    enum Order: Sendable {
        case stop
    }

    /// Starts the thread and binds its socket.
    ///
    /// - Parameters:
    ///   - frozen: the frozen weights; nil where nothing is frozen.
    ///   - listen: the endpoints to try; the first free one is bound.
    init(
        context: Context, transport: Transport, material: RunMaterial,
        frozen: FloatBuffer? = nil, listen: [Endpoint], log: Logger
    ) throws(ZeroMQError) {
        (thread, endpoint) = try SocketThread.start("data") { () throws(ZeroMQError) in
            let poll = try PollBox()
            let mailbox = Mailbox<Order>(waker: poll.waker)
            let gatekeeper = Gatekeeper(besideChiefOf: context, transport, log: log)
            let listener = try Self.listen(gatekeeper, listen)
            let loop = DataServiceLoop(
                gatekeeper: gatekeeper, router: listener.socket, material: material,
                frozen: frozen.map(FrozenWeights.encode), mailbox: mailbox, log: log)
            return .init(mailbox: mailbox, value: listener.endpoint) { loop.run(poll) }
        }
    }

    private static func listen(
        _ gatekeeper: Gatekeeper, _ endpoints: [Endpoint]
    ) throws(ZeroMQError) -> Gatekeeper.Listener {
        let options = SocketSettings.dataRouter()
        for endpoint in endpoints.dropLast() {
            if let found = try? gatekeeper.listen(options, at: endpoint, as: "data") { return found }
        }
        return try gatekeeper.listen(options, at: endpoints[endpoints.count - 1], as: "data")
    }

    /// Ends the thread and waits for its end.
    func stop() {
        thread.post(.stop)
        thread.join()
    }
}
