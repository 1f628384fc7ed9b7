import ClusterProtocol
import Partitions
import Threads
import ZeroMQ

/// A worker's thread that fetches objects from the coordinator, one after the other.
final class DataClient: Sendable {
    /// An order to the thread.
    enum Order: Sendable {
        /// Ask `next` again, since there is something to fetch.
        case look
        /// Ask at another endpoint from now on.
        case move(String)
        /// End, and fail the object that is being fetched.
        case stop
    }

    private let thread: SocketThread<Order>

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - endpoint: the coordinator's data service.
    ///   - next: returns the next object to fetch, or nil when there is none. It is called on the
    ///     client's thread.
    ///   - onFailure: called on the client's thread when the connection fails; the thread then
    ///     ends.
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

    /// Gives the thread an order.
    func post(_ order: Order) { thread.post(order) }

    /// Ends the thread and waits for its end.
    func stop() {
        thread.post(.stop)
        thread.join()
    }
}
