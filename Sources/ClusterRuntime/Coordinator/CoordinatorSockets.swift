import ClusterProtocol
import Logging
import RunFiles
import ZeroMQ

/// The coordinator's sockets, and the addresses under which others reach them.
///
/// Threading: belongs to the thread that opened them.
struct CoordinatorSockets {
    let context: Context
    let gatekeeper: Gatekeeper
    /// The socket for the control messages of all members, and for questions about the run's state.
    let control: Gatekeeper.Listener
    /// The socket for the state of shards.
    let bulk: Gatekeeper.Listener
    /// The service that sends partitions to workers whose hosts lack them.
    let data: DataService
    /// The addresses that others are told.
    let announced: CoordinatorAddresses

    /// Binds all sockets. A coordinator that takes over binds the addresses of the former one.
    ///
    /// - Throws: `.usage`, with the flag, when an address cannot be bound; `.lost` when a socket
    ///   cannot be opened.
    init(_ plan: CoordinatorProcess.Plan, log: Logger) throws(RunError) {
        let settings = plan.settings
        let material = plan.material
        let messages = material.slicePlan.chunks.count * material.partCount * 2
        let isKnown = settings.mayHaveMembers || settings.keepsEndpoints
        let known = isKnown ? JournalReader.endpoints(settings.directory) : nil
        let listen = known?.control ?? settings.listen
        let state = known?.state ?? listen.beside(port: settings.statePort, suffix: "bulk")
        do throws(ZeroMQError) { context = try Context() } catch { throw .lost("\(error)") }
        gatekeeper = try Gatekeeper(context, settings.transport, log: log)
        do throws(ZeroMQError) {
            control = try gatekeeper.listen(
                SocketSettings.controlRouter(), at: listen, as: "control", isWatched: true,
                isSpokenAtOnce: true)
            var options = SocketSettings.bulkRouter()
            options.sendHighWaterMark += messages
            options.receiveHighWaterMark += messages
            bulk = try gatekeeper.listen(options, at: state, as: "state")
            let free = control.endpoint.beside(port: nil, suffix: "data")
            data = try DataService(
                context: context, transport: settings.transport, material: material,
                frozen: plan.start.frozen(material.network.parameters),
                listen: [known?.data, free].compactMap { $0 }, log: log)
        } catch {
            switch error.endpoint {
            case "\(listen)": throw .usage("--listen: \(error)")
            case "\(state)" where settings.statePort != nil: throw .usage("--state-port: \(error)")
            default: throw .lost("\(error)")
            }
        }
        announced = CoordinatorAddresses(
            control: control.endpoint, state: bulk.endpoint, data: data.endpoint,
            announce: settings.announce, outward: HostNetwork.outward)
    }

    /// The text of the run directory's endpoint file: the addresses for others, then those bound.
    var endpointFile: String {
        "\(announced.control)\n\(announced.state)\n"
            + "\(control.endpoint)\n\(bulk.endpoint)\n\(data.endpoint)\n"
    }

    /// Closes all sockets and ends the threads behind them.
    func close() {
        data.stop()
        gatekeeper.close()
        context.terminate()
    }
}

/// The connection that each peer last spoke over, so that a closed connection tells who is gone.
struct PeerConnections {
    private var descriptors: [PeerIdentity: Int32] = [:]
    private var peers: [Int32: PeerIdentity] = [:]

    /// Notes that a message of a peer came over a connection.
    mutating func note(_ peer: PeerIdentity, over descriptor: Int32) {
        guard descriptors[peer] != descriptor else { return }
        if let old = descriptors[peer] { peers[old] = nil }
        descriptors[peer] = descriptor
        peers[descriptor] = peer
    }

    /// Returns the peer that last spoke over a connection that has closed; nil when that peer has
    /// spoken over another connection since.
    mutating func remove(_ descriptor: Int32) -> PeerIdentity? {
        guard let peer = peers.removeValue(forKey: descriptor) else { return nil }
        descriptors[peer] = nil
        return peer
    }
}
