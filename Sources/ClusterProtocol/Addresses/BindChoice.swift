/// What `--bind` says: on which address, and maybe port, a member's shards listen.
public struct BindChoice: Hashable, Sendable, CustomStringConvertible {
    public enum Place: Hashable, Sendable {
        case address(NetworkAddress)
        /// The one address of this host in it.
        case range(NetworkRange)
        /// The address of a network interface.
        case interface(String)
    }

    public var place: Place
    /// Nil: the system chooses.
    public var port: Int?

    /// Reads `10.1.2.3`, `10.1.2.3:5600`, `10.1.0.0/16`, `10.1.0.0/16:5600`, `fd00::1`,
    /// `[fd00::1]:5600`, `fd00::/64`, `[fd00::]/64:5600`, `eth0`, `eth0:5600`.
    public init(_ text: String) throws(Failure) {
        guard let choice = Self.read(text) else {
            throw Failure(
                text: "--bind: expected an address, a range or an interface, with a port or without "
                    + "(10.1.2.3, 10.1.0.0/16:5600, [fd00::1]:5600, eth0), found \(text)",
                exitCode: 64)
        }
        self = choice
    }

    private init(_ place: Place, _ port: Int?) {
        self.place = place
        self.port = port == 0 ? nil : port
    }

    private static func read(_ text: String) -> BindChoice? {
        if let place = place(text) { return BindChoice(place, nil) }
        guard let colon = text.lastIndex(of: ":"),
            let port = Endpoint.port(text[text.index(after: colon)...]),
            let place = place(text[..<colon])
        else { return nil }
        // What is left of an IPv6 address without brackets is no address of its own.
        let isBare = text[..<colon].contains(":") && !text.contains("]")
        return isBare ? nil : BindChoice(place, port)
    }

    private static func place(_ text: some StringProtocol) -> Place? {
        let plain = String(text.filter { $0 != "[" && $0 != "]" })
        if text.contains("/") { return NetworkRange(plain).map { .range($0) } }
        guard let host = Endpoint.Host(text) else { return nil }
        switch host {
        case .address(let address): return .address(address)
        case .name(let name): return .interface(name)
        }
    }

    public var description: String {
        let place =
            switch place {
            case .address(let address): "\(Endpoint.Host.address(address))"
            case .range(let range): "\(range)"
            case .interface(let name): name
            }
        return port.map { "\(place):\($0)" } ?? place
    }
}
