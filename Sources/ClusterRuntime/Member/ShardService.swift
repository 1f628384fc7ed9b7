import ClusterProtocol
import Logging
import Threads
import ZeroMQ

/// The thread that serves the shards of one process, and owns their sockets.
///
/// Two sockets: a ROUTER that workers contribute to and get weights from, and a DEALER to the
/// coordinator for state and snapshots.
final class ShardService: Sendable {
    enum Order: Sendable {
        case event(ShardHostMachine.Event)
        case configure(RunMaterial, coordinatorEndpoint: String)
        case stop
    }

    /// Where workers reach the shards.
    let endpoint: String
    /// The same, from inside this process.
    let insideEndpoint: String
    private let mailbox: Mailbox<Order>
    private let thread: WorkThread

    /// - Parameters:
    ///   - listen: endpoint to bind, for instance `tcp://127.0.0.1:*`.
    ///   - report: told what the coordinator is to hear; called on the service's thread.
    init(
        context: Context, identity: PeerIdentity, listen: String, log: Logger,
        report: @escaping @Sendable (ControlMessage) -> Void
    ) throws(ZeroMQError) {
        let inside = "inproc://shards-\(identity)"
        let ready = Monitor<Result<(String, Mailbox<Order>), ZeroMQError>?>(nil)
        thread = WorkThread(name: "shards") {
            do throws(ZeroMQError) {
                let poll = try PollBox()
                let mailbox = Mailbox<Order>(waker: poll.waker)
                let router = try SocketBox(
                    context, .router, options: SocketSettings.bulkRouter())
                let endpoint = try router.bind(listen)
                _ = try router.bind(inside)
                let loop = ShardLoop(
                    context: context, identity: identity, router: router, mailbox: mailbox, log: log,
                    report: report)
                ready.change { $0 = .success((endpoint, mailbox)) }
                loop.run(poll)
            } catch {
                ready.change { $0 = .failure(error) }
            }
        }
        let result = ready.wait { $0 }
        switch result {
        case .success(let (endpoint, mailbox)):
            self.endpoint = endpoint
            self.mailbox = mailbox
            insideEndpoint = inside
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
