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

    private let mailbox: Mailbox<Order>
    private let thread: WorkThread

    /// - Parameter next: the next object to fetch; called on the client's thread.
    init(
        context: Context, transport: Transport, identity: PeerIdentity, endpoint: String,
        next: @escaping @Sendable () -> DataFetch?,
        onFailure: @escaping @Sendable (DataError) -> Void
    ) throws(ZeroMQError) {
        let ready = Monitor<Result<Mailbox<Order>, ZeroMQError>?>(nil)
        thread = WorkThread(name: "data") {
            do throws(ZeroMQError) {
                let poll = try PollBox()
                let mailbox = Mailbox<Order>(waker: poll.waker)
                let loop = try DataClientLoop(
                    context: context, transport: transport, identity: identity, endpoint: endpoint,
                    mailbox: mailbox, next: next)
                ready.change { $0 = .success(mailbox) }
                if let failure = loop.run(poll) { onFailure(failure) }
            } catch {
                ready.change { $0 = .failure(error) }
            }
        }
        switch ready.wait(until: { $0 }) {
        case .success(let mailbox): self.mailbox = mailbox
        case .failure(let error):
            thread.join()
            throw error
        }
    }

    func post(_ order: Order) { mailbox.post(order) }

    func stop() {
        mailbox.post(.stop)
        thread.join()
    }
}
