import CZeroMQ

/// Applies `SocketOptions` to a new libzmq socket.
struct SocketOptionWriter {
    let socket: UnsafeMutableRawPointer
    let kind: SocketKind

    /// Sets every option.
    ///
    /// - Throws: `.invalidArgument` for a value out of range, naming the option; `.malformed` for a
    ///   key that is not Z85 text of 40 characters.
    func apply(_ options: SocketOptions) throws(ZeroMQError) {
        try applyQueues(options)
        try applyIdentity(options)
        try applyConnections(options)
        try applyHeartbeats(options)
        try applyTransport(options)
        try applySecurity(options)
        for prefix in options.subscriptions {
            try set(ZMQ_SUBSCRIBE, "subscriptions", prefix)
        }
    }

    private func applyQueues(_ options: SocketOptions) throws(ZeroMQError) {
        try set(ZMQ_LINGER, "linger", options.linger.millisecondsForLibrary)
        try set(ZMQ_SNDHWM, "sendHighWaterMark", count: options.sendHighWaterMark)
        try set(ZMQ_RCVHWM, "receiveHighWaterMark", count: options.receiveHighWaterMark)
        try set(ZMQ_MAXMSGSIZE, "maximumMessageByteCount", limit: options.maximumMessageByteCount)
    }

    private func applyIdentity(_ options: SocketOptions) throws(ZeroMQError) {
        if let identity = options.routingIdentity {
            try set(ZMQ_ROUTING_ID, "routingIdentity", identity)
        }
        if kind == .router {
            try set(ZMQ_ROUTER_MANDATORY, "routerMandatory", flag: options.routerMandatory)
            try set(ZMQ_ROUTER_HANDOVER, "routerHandover", flag: options.routerHandover)
        }
    }

    private func applyConnections(_ options: SocketOptions) throws(ZeroMQError) {
        try set(ZMQ_HANDSHAKE_IVL, "handshakeTimeout", milliseconds(options.handshakeTimeout))
        try set(
            ZMQ_RECONNECT_IVL, "reconnectInterval",
            options.reconnectInterval?.millisecondsForLibrary ?? -1)
        try set(ZMQ_RECONNECT_IVL_MAX, "reconnectMaximum", milliseconds(options.reconnectMaximum))
        try set(ZMQ_CONNECT_TIMEOUT, "connectTimeout", milliseconds(options.connectTimeout))
        try set(ZMQ_IMMEDIATE, "immediate", flag: options.immediate)
        try set(ZMQ_BACKLOG, "backlog", count: options.backlog)
    }

    private func applyHeartbeats(_ options: SocketOptions) throws(ZeroMQError) {
        try set(ZMQ_HEARTBEAT_IVL, "heartbeatInterval", milliseconds(options.heartbeatInterval))
        if let timeout = options.heartbeatTimeout {
            try set(ZMQ_HEARTBEAT_TIMEOUT, "heartbeatTimeout", timeout.millisecondsForLibrary)
        }
        // libzmq keeps tenths of seconds and cuts off the rest, which would turn 99 ms into 0.
        let (tenths, rest) = milliseconds(options.heartbeatTimeToLive)
            .quotientAndRemainder(dividingBy: 100)
        let timeToLive = min(tenths + (rest == 0 ? 0 : 1), Int32(UInt16.max))
        try set(ZMQ_HEARTBEAT_TTL, "heartbeatTimeToLive", timeToLive * 100)
    }

    private func applyTransport(_ options: SocketOptions) throws(ZeroMQError) {
        try set(ZMQ_IPV6, "ipv6", flag: options.ipv6)
        try set(ZMQ_SNDBUF, "sendBufferByteCount", size: options.sendBufferByteCount)
        try set(ZMQ_RCVBUF, "receiveBufferByteCount", size: options.receiveBufferByteCount)
        try set(ZMQ_TCP_MAXRT, "tcpRetransmitTimeout", milliseconds(options.tcpRetransmitTimeout))
        switch options.tcpKeepAlive {
        case .systemDefault: try set(ZMQ_TCP_KEEPALIVE, "tcpKeepAlive", -1)
        case .off: try set(ZMQ_TCP_KEEPALIVE, "tcpKeepAlive", 0)
        case .on(let idle, let interval, let count):
            try set(ZMQ_TCP_KEEPALIVE, "tcpKeepAlive", 1)
            try set(
                ZMQ_TCP_KEEPALIVE_IDLE, "tcpKeepAlive.idle", idle?.secondsForLibrary ?? -1)
            try set(
                ZMQ_TCP_KEEPALIVE_INTVL, "tcpKeepAlive.interval",
                interval?.secondsForLibrary ?? -1)
            try set(ZMQ_TCP_KEEPALIVE_CNT, "tcpKeepAlive.count", size: count)
        }
    }

    private func applySecurity(_ options: SocketOptions) throws(ZeroMQError) {
        if let domain = options.zapDomain {
            try set(ZMQ_ZAP_DOMAIN, "zapDomain", Array(domain.utf8))
        }
        switch options.curve {
        case nil: break
        case .server(let secretKey):
            try Z85Key.validate(secretKey, "secret")
            try set(ZMQ_CURVE_SERVER, "curve", flag: true)
            try set(ZMQ_CURVE_SECRETKEY, "curve.secretKey", Array(secretKey.utf8))
        case .client(let serverKey, let keyPair):
            try Z85Key.validate(serverKey, "server")
            try set(ZMQ_CURVE_SERVERKEY, "curve.serverKey", Array(serverKey.utf8))
            try set(ZMQ_CURVE_PUBLICKEY, "curve.publicKey", Array(keyPair.publicKey.utf8))
            try set(ZMQ_CURVE_SECRETKEY, "curve.secretKey", Array(keyPair.secretKey.utf8))
        }
    }

    /// Returns a duration in milliseconds; 0 for nil.
    private func milliseconds(_ duration: Duration?) -> Int32 {
        duration?.millisecondsForLibrary ?? 0
    }

    private func set(_ option: Int32, _ name: String, flag: Bool) throws(ZeroMQError) {
        try set(option, name, flag ? 1 : 0)
    }

    private func set(_ option: Int32, _ name: String, count: Int) throws(ZeroMQError) {
        try set(option, name, Int32(clamping: count))
    }

    /// Sets a size; nil becomes libzmq's -1, which leaves the choice to the system.
    private func set(_ option: Int32, _ name: String, size: Int?) throws(ZeroMQError) {
        try set(option, name, size.map { Int32(clamping: max(0, $0)) } ?? -1)
    }

    /// Sets a limit; nil becomes libzmq's -1, which means no limit. This is the one option of 64
    /// bits.
    private func set(_ option: Int32, _ name: String, limit: Int?) throws(ZeroMQError) {
        var value = limit.map { Int64(max(0, $0)) } ?? -1
        try write(option, name, &value, MemoryLayout<Int64>.size)
    }

    private func set(_ option: Int32, _ name: String, _ value: Int32) throws(ZeroMQError) {
        var value = value
        try write(option, name, &value, MemoryLayout<Int32>.size)
    }

    private func set(_ option: Int32, _ name: String, _ bytes: [UInt8]) throws(ZeroMQError) {
        try write(option, name, bytes, bytes.count)
    }

    private func write(
        _ option: Int32, _ name: String, _ value: UnsafeRawPointer, _ byteCount: Int
    ) throws(ZeroMQError) {
        try LibraryCall.perform("set the option \(name) of a \(kind) socket") {
            zmq_setsockopt(socket, option, value, byteCount)
        }
    }
}
