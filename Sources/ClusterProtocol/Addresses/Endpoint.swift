/// Where a socket listens or connects: `tcp://HOST:PORT` or `ipc://PATH`.
public enum Endpoint: Hashable, Sendable, CustomStringConvertible {
    /// A TCP socket; the system chooses the port when `port` is nil.
    case tcp(Host, port: Int?)
    /// A Unix socket with this path.
    case ipc(path: String)

    /// The host part of a TCP endpoint.
    public enum Host: Hashable, Sendable, CustomStringConvertible {
        /// An IPv4 or IPv6 address.
        case address(NetworkAddress)
        /// A host name that the system resolves, or the name of a network interface.
        case name(String)

        /// Creates a host from an address, with or without brackets, from a name, or from `*` for every
        /// IPv4 address; returns nil for other text.
        public init?(_ text: some StringProtocol) {
            if text == "*" {
                self = .address(.anyIPv4)
            } else if text.hasPrefix("["), text.hasSuffix("]") {
                guard let address = NetworkAddress(text.dropFirst().dropLast()) else { return nil }
                self = .address(address)
            } else if let address = NetworkAddress(text) {
                self = .address(address)
            } else {
                guard (1...253).contains(text.utf8.count), text.utf8.allSatisfy(Self.isNameByte),
                    // 10.1.2 and 300.1.1.1 are mistakes rather than names.
                    !text.utf8.allSatisfy({ $0 == 46 || (48...57).contains($0) })
                else { return nil }
                self = .name(String(text))
            }
        }

        private static func isNameByte(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "_"):
                true
            default: false
            }
        }

        /// The host as it is written in an endpoint: an IPv6 address has brackets.
        public var description: String {
            switch self {
            case .address(let address): address.isIPv6 ? "[\(address)]" : "\(address)"
            case .name(let name): name
            }
        }

        /// Whether the text shows, without name resolution, that only this host can reach it.
        public var isLoopback: Bool {
            switch self {
            case .address(let address): address.isLoopback
            case .name(let name): name == "localhost" || name == "lo"
            }
        }

        /// Whether this is an address that stands for every address of a host.
        public var isWildcard: Bool {
            if case .address(let address) = self { address.isWildcard } else { false }
        }
    }

    /// The length of the longest suffix that `beside` adds, with its dot: `.bulk`.
    private static let maximumSuffixByteCount = 5
    /// The length of the longest accepted path. Linux has 108 bytes for a socket's path and its closing
    /// zero.
    private static let maximumPathByteCount = 107 - maximumSuffixByteCount

    /// Creates an endpoint from the value of a command-line option.
    ///
    /// - Throws: `.usage`, with a line that begins with `flag`, when the text is not an endpoint or
    ///   its Unix socket's path is too long.
    public init(_ text: String, flag: String) throws(RunError) {
        guard let endpoint = Endpoint(text) else {
            throw .usage(
                "\(flag): expected tcp://ADDRESS:PORT (an IPv6 address in brackets, a port of * "
                    + "or 0 for one of the system's choice) or ipc://PATH, found \(text)")
        }
        if case .ipc(let path) = endpoint, path.utf8.count > Self.maximumPathByteCount {
            throw .usage(
                "\(flag): expected the path of a Unix socket of at most "
                    + "\(Self.maximumPathByteCount) bytes (the system's limit of 107, less the "
                    + "\(Self.maximumSuffixByteCount) of sockets beside it), found "
                    + "\(path.utf8.count): \(path.prefix(200))")
        }
        self = endpoint
    }

    /// Creates an endpoint from text; returns nil when the text is not an endpoint.
    public init?(_ text: String) {
        if text.hasPrefix("ipc://"), text.utf8.count > 6 {
            self = .ipc(path: String(text.dropFirst(6)))
            return
        }
        guard text.hasPrefix("tcp://"), let colon = text.lastIndex(of: ":"),
            let host = Host(
                text[
                    text.index(
                        text.startIndex, offsetBy: 6)..<max(
                            colon, text.index(text.startIndex, offsetBy: 6))]),
            let port = Self.port(text[text.index(after: colon)...])
        else { return nil }
        // Without brackets, an IPv6 address does not show where it ends and the port begins.
        if case .address(let address) = host, address.isIPv6, !text.contains("]") { return nil }
        self = .tcp(host, port: port == 0 ? nil : port)
    }

    /// Returns the port that a text names, from 0 to 65535; returns 0 for `*` and nil for other text.
    static func port(_ text: some StringProtocol) -> Int? {
        if text == "*" { return 0 }
        guard (1...5).contains(text.utf8.count), text.utf8.first != UInt8(ascii: "+"),
            let port = UInt16(text)
        else { return nil }
        return Int(port)
    }

    /// The text that `init(_:)` reads, with `*` for a port that the system chooses.
    public var description: String {
        switch self {
        case .tcp(let host, let port): "tcp://\(host):\(port.map { "\($0)" } ?? "*")"
        case .ipc(let path): "ipc://\(path)"
        }
    }

    /// The host of a TCP endpoint; nil for a Unix socket.
    public var host: Host? {
        if case .tcp(let host, _) = self { host } else { nil }
    }

    /// Whether the text shows, without name resolution, that other hosts cannot reach it.
    public var isLocal: Bool { host?.isLoopback ?? true }

    /// Returns the endpoint of a second socket next to this one.
    ///
    /// - Parameters:
    ///   - port: The second socket's port on the same host; nil lets the system choose one. Unused for
    ///     a Unix socket.
    ///   - suffix: What is appended to the path of a Unix socket, after a dot. Unused for TCP.
    public func beside(port: Int?, suffix: String) -> Endpoint {
        switch self {
        case .tcp(let host, _): .tcp(host, port: port)
        case .ipc(let path): .ipc(path: "\(path).\(suffix)")
        }
    }

    /// Returns this endpoint as a process can reach it that knows the coordinator by the endpoint
    /// `known`.
    ///
    /// The coordinator may announce an endpoint with a wildcard address. The host of `known` then takes
    /// the wildcard's place.
    public func reached(like known: Endpoint) -> Endpoint {
        guard host?.isWildcard == true, let host = known.host else { return self }
        return at(host)
    }

    /// Whether this endpoint names one place to connect to: no wildcard address, and a known port.
    public var isReachable: Bool {
        if case .tcp(let host, let port) = self { !host.isWildcard && port != nil } else { true }
    }

    /// Returns this endpoint with another host; a Unix socket's endpoint is returned unchanged.
    public func at(_ host: Host) -> Endpoint {
        if case .tcp(_, let port) = self { .tcp(host, port: port) } else { self }
    }
}

extension NetworkAddress {
    /// 0.0.0.0, which stands for every IPv4 address of a host.
    public static let anyIPv4 = NetworkAddress(bytes: [0, 0, 0, 0])!
    /// 127.0.0.1.
    public static let loopbackIPv4 = NetworkAddress(bytes: [127, 0, 0, 1])!
    /// ::1.
    public static let loopbackIPv6 = NetworkAddress(bytes: [UInt8](repeating: 0, count: 15) + [1])!
}
