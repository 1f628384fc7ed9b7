import ClusterProtocol
import Logging
import RunFiles
import ZeroMQ

/// The keys, encryption and address families of a process's sockets. `SocketSettings` decides all
/// other options.
///
/// `Gatekeeper.listen` opens a socket that others connect to, and `connect` a socket that connects:
///
/// ```swift
/// let listener = try gatekeeper.listen(SocketSettings.bulkRouter(), at: endpoint, as: "data")
/// let connection = try transport.connect(
///     context, SocketSettings.bulkDealer(identity), to: endpoint, of: .coordinator)
/// ```
package struct Transport: Sendable {
    /// The keys of this process. With nil nothing is encrypted and every peer is admitted.
    package let keys: KeyRing?

    /// Creates a transport; without keys it is open.
    package init(keys: KeyRing? = nil) { self.keys = keys }

    /// The process that a socket connects to. It decides which key the other side must prove to
    /// hold.
    enum Server {
        /// The coordinator, whose key every member has in its directory of keys.
        case coordinator
        /// Another member, whose key came with its endpoint.
        case node(publicKey: String?)
    }

    /// The number of bytes that CURVE adds to a frame on the wire, rounded up (RFC 26: 8 + 8 + 16 +
    /// 1 bytes).
    private static let sealByteCount = 64

    /// Opens a socket and lets it connect.
    ///
    /// - Throws: `.malformed` when keys are used here, but the other side's key is not known.
    func connect(
        _ context: Context, _ options: SocketOptions, to endpoint: String, of server: Server
    ) throws(ZeroMQError) -> OutgoingConnection {
        try OutgoingConnection(
            context, connecting(options, to: endpoint, of: server), to: endpoint)
    }

    /// Returns the options of a socket that is to connect to `endpoint`.
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

    /// Returns the options of a socket that is to listen at `endpoint`.
    ///
    /// - Parameter name: the socket's ZAP domain.
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

    /// Raises the size limit by what encryption adds, because libzmq compares the limit with the
    /// encrypted frame.
    private static func widened(_ options: SocketOptions) -> SocketOptions {
        var options = options
        options.maximumMessageByteCount = options.maximumMessageByteCount.map { $0 + sealByteCount }
        return options
    }

    /// Whether a socket needs IPv6: only for an IPv6 address. libzmq resolves a name in one family
    /// only, and a socket of IPv6 would write IPv4 addresses in IPv6 notation.
    private static func usesIPv6(_ endpoint: String) -> Bool {
        guard case .address(let address)? = Endpoint(endpoint)?.host else { return false }
        return address.isIPv6
    }
}

extension Transport {
    /// Checks that an endpoint that other hosts can reach is protected by keys, unless the user
    /// asked for an open one.
    ///
    /// - Parameters:
    ///   - endpoint: where the process is to listen.
    ///   - flag: the command-line flag that gave the endpoint, for the error message.
    ///   - insecure: whether the user asked for an open endpoint.
    /// - Throws: `.usage` when the endpoint would be open to other hosts.
    package func requireSafe(_ endpoint: Endpoint, flag: String, insecure: Bool) throws(RunError) {
        guard keys == nil, !endpoint.isLocal, !insecure else { return }
        throw .usage(
            "\(flag): \(endpoint) can be reached from other hosts, and without keys everyone there "
                + "may read and change the run; make keys with `convoy keygen` and give --keys "
                + "DIR to every process, or add --insecure on a network you trust")
    }

    /// Warns in the log when the process listens without keys. To be called once in a process.
    package func warnIfOpen(_ log: Logger) {
        if keys == nil { log.warning("listening without encryption or authentication") }
    }
}
