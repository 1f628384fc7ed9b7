import ClusterProtocol
import Logging
import RunFiles
import Threads
import ZeroMQ

/// The thread that serves the shards of one process, and what it relays for neighbours; it owns the
/// sockets for both.
///
/// Two sockets: a ROUTER that workers contribute to and get weights from, and a DEALER to the
/// coordinator for state and snapshots.
final class ShardService: Sendable {
    enum Order: Sendable {
        case event(ShardHostMachine.Event)
        case configure(RunMaterial, stateEndpoint: String)
        /// Where the tree is cut into groups that relay for one another.
        case relay(level: Int?)
        /// Weights that neighbours may want.
        case weights(BulkHeader, Frame)
        case stop
    }

    /// Where workers reach the shards.
    let endpoint: String
    /// The same, from inside this process.
    let insideEndpoint: String
    /// What its shards and the workers of other processes have sent one another.
    let meter: SocketMeter
    /// Sums that came by the pipe.
    let pipedCount = SocketMeter.Count()
    private let thread: SocketThread<Order>

    /// - Parameters:
    ///   - addresses: where to listen, and what others are told of it.
    ///   - passOn: given sums that are to go on to their shard; called on the service's thread.
    ///   - report: told what the coordinator is to hear; called on the service's thread.
    init(
        context: Context, identity: PeerIdentity, addresses: MemberAddresses,
        transport: Transport, log: Logger,
        passOn: @escaping @Sendable (BulkHeader, Payload) -> Void,
        report: @escaping @Sendable (ControlMessage) -> Void
    ) throws(Failure) {
        let inside = "inproc://shards-\(identity)"
        let meter = SocketMeter(isRouter: true, ignoring: Array(identity.rawValue.utf8))
        self.meter = meter
        let pipedCount = pipedCount
        (thread, endpoint) = try SocketThread.start("shards") { () throws(Failure) in
            let gatekeeper = try Gatekeeper(context, transport, log: log)
            let (poll, listener) = try Self.listen(gatekeeper, addresses.listen, inside)
            listener.socket.meter = meter
            let mailbox = Mailbox<Order>(waker: poll.waker)
            let neighbours = HostNeighbours<PeerIdentity>(
                of: identity, sending: .contribution, meter: meter, pipedCount: pipedCount)
            let loop = ShardLoop(
                context: context, identity: identity, transport: transport,
                gatekeeper: gatekeeper, listener: listener, neighbours: neighbours,
                mailbox: mailbox, log: log, passOn: passOn, report: report)
            let bound = listener.endpoint
            let announced = addresses.announcedHost.map { bound.at($0) } ?? bound
            return .init(mailbox: mailbox, value: "\(announced)") { loop.run(poll) }
        }
        insideEndpoint = inside
    }

    private static func listen(
        _ gatekeeper: Gatekeeper, _ endpoint: Endpoint, _ inside: String
    ) throws(Failure) -> (PollBox, Gatekeeper.Listener) {
        do throws(ZeroMQError) {
            let poll = try PollBox()
            let listener = try gatekeeper.listen(
                SocketSettings.bulkRouter(), at: endpoint, as: "shards", isSpokenAtOnce: true)
            _ = try listener.socket.bind(inside)
            return (poll, listener)
        } catch {
            throw error.endpoint == "\(endpoint)" ? .usage("--bind: \(error)") : .lost("\(error)")
        }
    }

    func post(_ order: Order) { thread.post(order) }

    func stop() {
        thread.post(.stop)
        thread.join()
    }
}
