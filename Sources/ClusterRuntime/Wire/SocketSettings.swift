import ClusterProtocol
import ZeroMQ

/// The one place that decides the options of Convoy's sockets; `Transport` adds keys and addresses.
enum SocketSettings {
    /// Control messages waiting for one peer.
    static let controlHighWaterMark = 10_000
    /// Bulk messages waiting for one peer.
    static let bulkHighWaterMark = 2_048

    /// Data messages waiting for one peer: twice what it may ask for.
    static let dataHighWaterMark = 2 * AskQueue.maximumPerPeer

    static func controlRouter() -> SocketOptions {
        var options = base()
        options.sendHighWaterMark = controlHighWaterMark
        options.receiveHighWaterMark = controlHighWaterMark
        options.maximumMessageByteCount = ControlCodec.maximumByteCount
        options.linger = .seconds(2)
        return options
    }

    static func controlDealer(_ identity: PeerIdentity) -> SocketOptions {
        var options = controlRouter()
        options.routingIdentity = Array(identity.rawValue.utf8)
        options.linger = .milliseconds(500)
        return options
    }

    static func bulkRouter() -> SocketOptions {
        var options = base()
        options.sendHighWaterMark = bulkHighWaterMark
        options.receiveHighWaterMark = bulkHighWaterMark
        // No chunk is larger; a peer that sends more is disconnected.
        options.maximumMessageByteCount = SlicePlan.defaultChunkElementCount * 4
        return options
    }

    static func bulkDealer(_ identity: PeerIdentity) -> SocketOptions {
        var options = bulkRouter()
        options.routingIdentity = Array(identity.rawValue.utf8)
        options.linger = .milliseconds(500)
        return options
    }

    /// The coordinator's; what comes in are questions.
    static func dataRouter() -> SocketOptions {
        var options = base()
        options.sendHighWaterMark = dataHighWaterMark
        options.receiveHighWaterMark = dataHighWaterMark
        options.maximumMessageByteCount = 1024
        return options
    }

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
        // A host whose address changes gets no answer at the old one, and has to connect anew.
        options.tcpRetransmitTimeout = .seconds(10)
        options.backlog = 1024
        options.routerHandover = true
        return options
    }
}
