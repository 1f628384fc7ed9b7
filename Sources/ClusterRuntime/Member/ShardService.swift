import ClusterProtocol
import Logging
import RunFiles
import Threads
import ZeroMQ

/// The thread that serves the shards of one process and relays for neighbours. It owns the sockets
/// for both.
///
/// There are two sockets: a ROUTER that workers send contributions to and get weights from, and a
/// DEALER to the coordinator for state and snapshots.
///
/// Threading: any thread.
final class ShardService: Sendable {
    /// What other threads ask the service to do.
    enum Order: Sendable {
        /// Hand an event to the shards.
        case event(ShardHostMachine.Event)
        /// Set up the shards and the relay of a run. The endpoint is the coordinator's for state.
        case configure(RunMaterial, stateEndpoint: String)
        /// Relay for the groups that are cut at this level of the tree; with nil there are no
        /// groups.
        case relay(level: Int?)
        /// Hand on weights that neighbours may want.
        case weights(BulkHeader, Frame)
        /// End the thread.
        case stop
    }

    /// The endpoint under which other processes reach the shards.
    let endpoint: String
    /// The endpoint by which this process reaches its own shards.
    let insideEndpoint: String
    /// Counts the bytes exchanged with the workers of other processes.
    let meter: SocketMeter
    /// Counts the sums that came through the pipe.
    let pipedCount = SocketMeter.Count()
    private let thread: SocketThread<Order>

    /// Creates the service and starts its thread, which opens the socket for workers.
    ///
    /// - Parameters:
    ///   - context: the context of the sockets.
    ///   - identity: the identity of this process.
    ///   - addresses: where to listen, and what others are told of it.
    ///   - transport: the keys, encryption and address families of the sockets.
    ///   - log: receives what is worth a line.
    ///   - passOn: receives sums that are to be sent on to their shard; called on the service's
    ///     thread.
    ///   - report: receives messages for the coordinator; called on the service's thread.
    /// - Throws: the reason why the socket cannot listen.
    init(
        context: Context, identity: PeerIdentity, addresses: MemberAddresses,
        transport: Transport, log: Logger,
        passOn: @escaping @Sendable (BulkHeader, Payload) -> Void,
        report: @escaping @Sendable (ControlMessage) -> Void
    ) throws(RunError) {
        let inside = "inproc://shards-\(identity)"
        let meter = SocketMeter(isRouter: true, ignoring: Array(identity.rawValue.utf8))
        self.meter = meter
        let pipedCount = pipedCount
        (thread, endpoint) = try SocketThread.start("shards") { () throws(RunError) in
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

    /// Opens the socket for workers, at an endpoint for other processes and at one for this
    /// process.
    private static func listen(
        _ gatekeeper: Gatekeeper, _ endpoint: Endpoint, _ inside: String
    ) throws(RunError) -> (PollBox, Gatekeeper.Listener) {
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

    /// Gives the thread an order.
    func post(_ order: Order) { thread.post(order) }

    /// Ends the thread and waits for it.
    func stop() {
        thread.post(.stop)
        thread.join()
    }
}
