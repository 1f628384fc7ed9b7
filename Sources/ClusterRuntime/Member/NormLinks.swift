import ClusterProtocol
import ZeroMQ

/// The connections of a host of shards to the other hosts of shards, to which it sends sums of
/// squares. What other hosts send comes to the ROUTER that workers send to.
///
/// Threading: the shard service's thread only.
final class NormLinks {
    private let context: Context
    private let transport: Transport
    private let identity: PeerIdentity
    /// The connections, by host.
    private var connections: [PeerIdentity: (endpoint: String, link: OutgoingConnection)] = [:] {
        didSet { ordered = connections.sorted { $0.key < $1.key }.map(\.value) }
    }
    /// The connections in the order of their hosts: every turn of the loop goes through them.
    private var ordered: [(endpoint: String, link: OutgoingConnection)] = []

    /// Creates links without connections.
    init(context: Context, transport: Transport, identity: PeerIdentity) {
        self.context = context
        self.transport = transport
        self.identity = identity
    }

    /// The items that a poll set waits for.
    var pollItems: [PollItem] { ordered.flatMap(\.link.pollItems) }

    /// Connects to the hosts of these shards, and closes all other connections.
    func connect(_ placements: [ShardPlacement]) throws(ZeroMQError) {
        let wanted = Set(placements.map(\.host))
        for host in connections.keys.sorted() where !wanted.contains(host) {
            connections.removeValue(forKey: host)?.link.close()
        }
        for placement in placements where connections[placement.host] == nil {
            var options = SocketSettings.bulkDealer(identity)
            // The worker of this process has a connection to the same ROUTER under its identity.
            options.routingIdentity = Array("norm-\(identity)".utf8)
            connections[placement.host] = (
                placement.endpoint,
                try transport.connect(
                    context, options, to: placement.endpoint,
                    of: .node(publicKey: placement.publicKey))
            )
        }
    }

    /// Sends a message to some hosts. A message that finds its queue full is lost; it is asked for
    /// again.
    func send(_ frames: [Frame], to hosts: [PeerIdentity]) throws(ZeroMQError) {
        for host in hosts { _ = try connections[host]?.link.socket.send(frames) }
    }

    /// Returns the endpoints whose connection has got into trouble since the last call, and what
    /// the trouble is.
    func attend() throws(ZeroMQError) -> [(endpoint: String, trouble: String)] {
        var result: [(endpoint: String, trouble: String)] = []
        for (endpoint, link) in ordered {
            guard case .troubled(let text) = try link.attend() else { continue }
            result.append((endpoint, text))
        }
        return result
    }

    /// Closes all connections.
    func close() {
        for connection in ordered { connection.link.close() }
        connections = [:]
    }
}
