/// Where a socket listens or connects: `tcp://HOST:PORT` or `ipc://PATH`.
public enum Endpoint: Hashable, Sendable, CustomStringConvertible {
    /// Without a port the system chooses one.
    case tcp(Host, port: Int?)
    case ipc(path: String)

    public enum Host: Hashable, Sendable, CustomStringConvertible {
        case address(NetworkAddress)
        /// A name that the system resolves, or of a network interface.
        case name(String)

        /// Reads an address, with or without brackets, or a name; nil for what can be neither.
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

        /// As it stands in an endpoint.
        public var description: String {
            switch self {
            case .address(let address): address.isIPv6 ? "[\(address)]" : "\(address)"
            case .name(let name): name
            }
        }

        /// Whether it says by itself that only this host can reach it.
        public var isLoopback: Bool {
            switch self {
            case .address(let address): address.isLoopback
            case .name(let name): name == "localhost" || name == "lo"
            }
        }

        public var isWildcard: Bool {
            if case .address(let address) = self { address.isWildcard } else { false }
        }
    }

    /// `.bulk` and the like, which `beside` adds.
    private static let maximumSuffixByteCount = 5
    /// Linux has 108 bytes for a socket's path and the zero behind it.
    private static let maximumPathByteCount = 107 - maximumSuffixByteCount

    /// - Throws: one line that begins with `flag`, exit code 64.
    public init(_ text: String, flag: String) throws(Failure) {
        guard let endpoint = Endpoint(text) else {
            throw Failure(
                text: "\(flag): expected tcp://ADDRESS:PORT (an IPv6 address in brackets, a port of * "
                    + "or 0 for one of the system's choice) or ipc://PATH, found \(text)",
                exitCode: 64)
        }
        if case .ipc(let path) = endpoint, path.utf8.count > Self.maximumPathByteCount {
            throw Failure(
                text: "\(flag): expected the path of a Unix socket of at most "
                    + "\(Self.maximumPathByteCount) bytes (the system's limit of 107, less the "
                    + "\(Self.maximumSuffixByteCount) of sockets beside it), found "
                    + "\(path.utf8.count): \(path.prefix(200))", exitCode: 64)
        }
        self = endpoint
    }

    /// Nil for what is no endpoint.
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
        // An IPv6 address without brackets would hide where it ends.
        if case .address(let address) = host, address.isIPv6, !text.contains("]") { return nil }
        self = .tcp(host, port: port == 0 ? nil : port)
    }

    /// 0 for `*`.
    static func port(_ text: some StringProtocol) -> Int? {
        if text == "*" { return 0 }
        guard (1...5).contains(text.utf8.count), text.utf8.first != UInt8(ascii: "+"),
            let port = UInt16(text)
        else { return nil }
        return Int(port)
    }

    public var description: String {
        switch self {
        case .tcp(let host, let port): "tcp://\(host):\(port.map { "\($0)" } ?? "*")"
        case .ipc(let path): "ipc://\(path)"
        }
    }

    /// Nil over ipc.
    public var host: Host? {
        if case .tcp(let host, _) = self { host } else { nil }
    }

    /// Whether it says by itself that other hosts cannot reach it.
    public var isLocal: Bool { host?.isLoopback ?? true }

    /// On the same interface, another port; over ipc another path. Nil: a port of the system's choice.
    public func beside(port: Int?, suffix: String) -> Endpoint {
        switch self {
        case .tcp(let host, _): .tcp(host, port: port)
        case .ipc(let path): .ipc(path: "\(path).\(suffix)")
        }
    }

    /// The place a coordinator tells of, as seen by who knows the coordinator by `known`: a wildcard
    /// stands for whatever way led there.
    public func reached(like known: Endpoint) -> Endpoint {
        guard host?.isWildcard == true, let host = known.host else { return self }
        return at(host)
    }

    /// Whether it names one place to connect to.
    public var isReachable: Bool {
        if case .tcp(let host, let port) = self { !host.isWildcard && port != nil } else { true }
    }

    /// The same place under another host name; over ipc the same.
    public func at(_ host: Host) -> Endpoint {
        if case .tcp(_, let port) = self { .tcp(host, port: port) } else { self }
    }
}

extension NetworkAddress {
    public static let anyIPv4 = NetworkAddress(bytes: [0, 0, 0, 0])!
    public static let loopbackIPv4 = NetworkAddress(bytes: [127, 0, 0, 1])!
    public static let loopbackIPv6 = NetworkAddress(bytes: [UInt8](repeating: 0, count: 15) + [1])!
}
