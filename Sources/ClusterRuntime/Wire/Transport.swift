import ClusterProtocol
import Logging
import RunFiles
import ZeroMQ

/// How the sockets of a process meet those of others: keys, encryption, address families. The one
/// place that decides it; `SocketSettings` decides everything else.
///
/// A socket that others connect to is opened by `Gatekeeper.listen`, one that connects by `connect`:
///
/// ```swift
/// let listener = try gatekeeper.listen(SocketSettings.bulkRouter(), at: endpoint, as: "data")
/// let connection = try transport.connect(
///     context, SocketSettings.bulkDealer(identity), to: endpoint, of: .coordinator)
/// ```
package struct Transport: Sendable {
    /// Nil: nothing is encrypted and everyone is let in.
    package let keys: KeyRing?

    package init(keys: KeyRing? = nil) { self.keys = keys }

    /// Whom a socket connects to, which decides the key that the other side must prove to hold.
    enum Server {
        case coordinator
        /// The key came with the endpoint.
        case node(publicKey: String?)
    }

    /// What CURVE adds to a frame on the wire, rounded up (RFC 26: 8 + 8 + 16 + 1 bytes).
    private static let sealByteCount = 64

    /// Opens a socket and lets it connect.
    ///
    /// - Throws: `.malformed` when keys are used here, but none is known of the other side.
    func connect(
        _ context: Context, _ options: SocketOptions, to endpoint: String, of server: Server
    ) throws(ZeroMQError) -> OutgoingConnection {
        try OutgoingConnection(
            context, connecting(options, to: endpoint, of: server), to: endpoint)
    }

    /// Options for a socket that is to connect to `endpoint`.
    private func connecting(
        _ options: SocketOptions, to endpoint: String, of server: Server
    ) throws(ZeroMQError) -> SocketOptions {
        var options = options
        options.ipv6 = Self.usesIPv6(endpoint)
        guard let keys, !endpoint.hasPrefix("inproc:") else { return options }
        let key: String? =
            switch server {
            case .coordinator: keys.coordinatorKey
            case .node(let publicKey): publicKey
            }
        guard let key else {
            throw ZeroMQError(
                code: .malformed, operation: "connect with keys to a peer whose key is not known:",
                endpoint: endpoint, number: 0)
        }
        options.curve = .client(serverKey: key, keyPair: keys.pair)
        return Self.widened(options)
    }

    /// Options for a socket that is to listen at `endpoint`.
    func listening(
        _ options: SocketOptions, at endpoint: Endpoint, as name: String
    ) -> SocketOptions {
        var options = options
        options.ipv6 = Self.usesIPv6("\(endpoint)")
        guard let keys else { return options }
        options.curve = .server(secretKey: keys.pair.secretKey)
        options.zapDomain = name
        return Self.widened(options)
    }

    /// libzmq compares its limit with the sealed frame.
    private static func widened(_ options: SocketOptions) -> SocketOptions {
        var options = options
        options.maximumMessageByteCount = options.maximumMessageByteCount.map { $0 + sealByteCount }
        return options
    }

    /// libzmq looks names up in one family alone; a socket of IPv6 would write IPv4 addresses in
    /// IPv6's way.
    private static func usesIPv6(_ endpoint: String) -> Bool {
        guard case .address(let address)? = Endpoint(endpoint)?.host else { return false }
        return address.isIPv6
    }
}

extension Transport {
    /// Refuses to be reached from other hosts without keys, unless that was asked for.
    package func requireSafe(_ endpoint: Endpoint, flag: String, insecure: Bool) throws(Failure) {
        guard keys == nil, !endpoint.isLocal, !insecure else { return }
        throw .usage(
            "\(flag): \(endpoint) can be reached from other hosts, and without keys everyone there "
                + "may read and change the run; make keys with `convoy keygen` and give --keys "
                + "DIR to every process, or add --insecure on a network you trust")
    }

    /// Says once in a process's log that everyone may take part.
    package func warnIfOpen(_ log: Logger) {
        if keys == nil { log.warning("listening without encryption or authentication") }
    }
}
