import ClusterProtocol
import Partitions
import Threads
import ZeroMQ

/// The worker's thread that fetches what is at the coordinator, one object after the other.
final class DataClient: Sendable {
    enum Order: Sendable {
        /// There is something to fetch.
        case look
        case move(String)
        case stop
    }

    private let thread: SocketThread<Order>

    /// - Parameter next: the next object to fetch; called on the client's thread.
    init(
        context: Context, transport: Transport, identity: PeerIdentity, endpoint: String,
        next: @escaping @Sendable () -> DataFetch?,
        onFailure: @escaping @Sendable (DataError) -> Void
    ) throws(ZeroMQError) {
        (thread, _) = try SocketThread.start("data") { () throws(ZeroMQError) in
            let poll = try PollBox()
            let mailbox = Mailbox<Order>(waker: poll.waker)
            let loop = try DataClientLoop(
                context: context, transport: transport, identity: identity, endpoint: endpoint,
                mailbox: mailbox, next: next)
            return .init(mailbox: mailbox, value: ()) {
                if let failure = loop.run(poll) { onFailure(failure) }
            }
        }
    }

    func post(_ order: Order) { thread.post(order) }

    func stop() {
        thread.post(.stop)
        thread.join()
    }
}
