/// The value of `--bind`: the address, and optionally the port, at which a member's shards listen.
public struct BindChoice: Hashable, Sendable, CustomStringConvertible {
    /// How the address to listen at is given.
    public enum Place: Hashable, Sendable {
        /// This address.
        case address(NetworkAddress)
        /// The address of this host that lies in this range.
        case range(NetworkRange)
        /// The address of the network interface with this name.
        case interface(String)
    }

    /// The address to listen at, or how to find it.
    public var place: Place
    /// The port to listen at; nil lets the system choose one.
    public var port: Int?

    /// Creates a choice from `10.1.2.3`, `10.1.2.3:5600`, `10.1.0.0/16`, `10.1.0.0/16:5600`, `fd00::1`,
    /// `[fd00::1]:5600`, `fd00::/64`, `[fd00::]/64:5600`, `eth0` or `eth0:5600`.
    ///
    /// - Throws: `.usage`, with a line that begins with `--bind`, when the text is anything else.
    public init(_ text: String) throws(RunError) {
        guard let choice = Self.read(text) else {
            throw .usage(
                "--bind: expected an address, a range or an interface, with a port or without "
                    + "(10.1.2.3, 10.1.0.0/16:5600, [fd00::1]:5600, eth0), found \(text)")
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
        // Without brackets, the last group of an IPv6 address could be taken for a port.
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

    /// The text that `init(_:)` reads.
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
