import ClusterProtocol
import ZeroMQ

/// The options of Convoy's sockets. `Transport` adds keys and address families; all other options
/// are decided here.
enum SocketSettings {
    /// The number of control messages that can wait for one peer.
    static let controlHighWaterMark = 10_000
    /// The number of bulk messages that can wait for one peer.
    static let bulkHighWaterMark = 2_048

    /// The number of data messages that can wait for one peer: twice what a peer may have asked
    /// for.
    static let dataHighWaterMark = 2 * AskQueue.maximumPerPeer

    /// Returns the options of the coordinator's socket for control messages.
    static func controlRouter() -> SocketOptions {
        var options = base()
        options.sendHighWaterMark = controlHighWaterMark
        options.receiveHighWaterMark = controlHighWaterMark
        options.maximumMessageByteCount = ControlCodec.maximumByteCount
        options.linger = .seconds(2)
        return options
    }

    /// Returns the options of a socket that exchanges control messages with the coordinator.
    static func controlDealer(_ identity: PeerIdentity) -> SocketOptions {
        var options = controlRouter()
        options.routingIdentity = Array(identity.rawValue.utf8)
        options.linger = .milliseconds(500)
        return options
    }

    /// Returns the options of a socket that takes bulk messages: one for shards and relays, or the
    /// coordinator's for state.
    static func bulkRouter() -> SocketOptions {
        var options = base()
        options.sendHighWaterMark = bulkHighWaterMark
        options.receiveHighWaterMark = bulkHighWaterMark
        // No chunk is larger; a peer that sends more is disconnected.
        options.maximumMessageByteCount = SlicePlan.defaultChunkElementCount * 4
        return options
    }

    /// Returns the options of a socket that connects to shards, or to the coordinator for state.
    static func bulkDealer(_ identity: PeerIdentity) -> SocketOptions {
        var options = bulkRouter()
        options.routingIdentity = Array(identity.rawValue.utf8)
        options.linger = .milliseconds(500)
        return options
    }

    /// Returns the options of the coordinator's data socket. It only receives requests, which are
    /// short.
    static func dataRouter() -> SocketOptions {
        var options = base()
        options.sendHighWaterMark = dataHighWaterMark
        options.receiveHighWaterMark = dataHighWaterMark
        options.maximumMessageByteCount = 1024
        return options
    }

    /// Returns the options of a worker's socket for asking for partitions.
    static func dataDealer(_ identity: PeerIdentity) -> SocketOptions {
        var options = dataRouter()
        options.routingIdentity = Array(identity.rawValue.utf8)
        options.maximumMessageByteCount = DataHeader.maximumPieceByteCount
        return options
    }

    private static func base() -> SocketOptions {
        var options = SocketOptions()
        options.handshakeTimeout = .seconds(5)
        options.reconnectInterval = .milliseconds(20)
        options.reconnectMaximum = .seconds(1)
        // A host whose address changes gets no more answers at its old address. The limit ends such
        // a connection, and the host connects anew.
        options.tcpRetransmitTimeout = .seconds(10)
        options.backlog = 1024
        options.routerHandover = true
        return options
    }
}
