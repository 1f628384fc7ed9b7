/// Where a member's shards listen, and which host name or address it announces to others.
///
/// The result is a pure function of the command-line options and of what this host knows about the
/// network.
public struct MemberAddresses: Hashable, Sendable {
    /// The endpoint to bind; the system chooses the port when none was asked for.
    public var listen: Endpoint
    /// The host that replaces the bound one in the endpoint that others get; nil keeps the bound one.
    public var announcedHost: Endpoint.Host?

    /// An address of one of this host's network interfaces.
    public struct Local: Hashable, Sendable {
        /// The interface's name, for instance `eth0`.
        public var interface: String
        /// The address of the interface.
        public var address: NetworkAddress

        /// Creates the description of an interface's address.
        public init(interface: String, address: NetworkAddress) {
            self.interface = interface
            self.address = address
        }
    }

    /// What a host knows about the network.
    public struct Facts: Hashable, Sendable {
        /// The addresses that the host of `--coordinator` resolved to; empty for a Unix socket.
        public var coordinator: [NetworkAddress]
        /// The addresses that the name in `--announce` resolved to; empty when `--announce` gives an
        /// address.
        public var announced: [NetworkAddress] = []
        /// The addresses of the interfaces that are up.
        public var locals: [Local]
        /// The source address of packets from this host to the coordinator; nil without a route.
        public var route: NetworkAddress?

        /// Creates a host's facts.
        public init(
            coordinator: [NetworkAddress], announced: [NetworkAddress] = [], locals: [Local],
            route: NetworkAddress?
        ) {
            self.coordinator = coordinator
            self.announced = announced
            self.locals = locals
            self.route = route
        }
    }

    /// Chooses where a member's shards listen and what the member announces.
    ///
    /// - Parameters:
    ///   - coordinator: The value of `--coordinator`.
    ///   - bind: The value of `--bind`; nil chooses loopback for a local coordinator, and otherwise the
    ///     address that packets to the coordinator carry.
    ///   - announce: The value of `--announce`, if it is given.
    ///   - facts: What this host knows about the network.
    /// - Throws: `.usage`, with a line that begins with the option at fault, when no address fits
    ///   or other hosts could not reach the one announced.
    public init(
        coordinator: Endpoint, bind: BindChoice?, announce: Endpoint.Host?, facts: Facts
    ) throws(RunError) {
        let address = try Self.bindAddress(coordinator: coordinator, bind, announce, facts)
        listen = .tcp(.address(address), port: bind?.port)
        announcedHost = announce ?? (address.isWildcard ? facts.route.map { .address($0) } : nil)
        let told = announcedHost ?? .address(address)
        if told.isWildcard {
            throw Self.error(
                announce == nil ? "--bind" : "--announce",
                "\(told) stands for every address, others cannot connect to it; say where they reach "
                    + "this host with --announce ADDRESS" + Self.listed(facts.locals))
        }
        guard !coordinator.isLocal else { return }
        if let loopback = facts.announced.first(where: \.isLoopback), let announce {
            throw Self.error(
                "--announce",
                "\(announce) is \(loopback) here (see /etc/hosts), which other hosts cannot reach; "
                    + "announce an address of this host" + Self.listed(facts.locals))
        }
        if told.isLoopback {
            throw Self.error(
                announce == nil ? "--bind" : "--announce",
                "\(told) cannot be reached from other hosts, and the coordinator at \(coordinator) is "
                    + "on another one; use an address of this host" + Self.listed(facts.locals))
        }
    }

    private static func bindAddress(
        coordinator: Endpoint, _ bind: BindChoice?, _ announce: Endpoint.Host?, _ facts: Facts
    ) throws(RunError) -> NetworkAddress {
        switch bind?.place {
        case .address(let address): return address
        case .range(let range):
            return try choose(
                facts.locals.filter { range.contains($0.address) }, "in \(range)", facts)
        case .interface(let name):
            return try choose(facts.locals.filter { $0.interface == name }, "on \(name)", facts)
        case nil: break
        }
        if coordinator.isLocal {
            return facts.coordinator.first?.isIPv6 == true ? .loopbackIPv6 : .loopbackIPv4
        }
        if let loopback = facts.coordinator.first(where: \.isLoopback) {
            throw error(
                "--coordinator",
                "\(coordinator) is \(loopback) here (see /etc/hosts), so it does not tell which "
                    + "address of this host others can reach; name the coordinator by the address "
                    + "that other hosts use, or say --bind ADDRESS" + listed(facts.locals))
        }
        guard let route = facts.route else {
            throw error(
                "--coordinator",
                "there is no route from this host to \(coordinator)"
                    + resolved(coordinator, facts.coordinator) + listed(facts.locals))
        }
        return route
    }

    /// Returns the candidate that packets to the coordinator carry; otherwise the first IPv4 candidate
    /// that is not link-local, and failing that the first IPv6 one.
    private static func choose(
        _ candidates: [Local], _ what: String, _ facts: Facts
    ) throws(RunError) -> NetworkAddress {
        if let route = facts.route, candidates.contains(where: { $0.address == route }) {
            return route
        }
        let usable = candidates.filter { !$0.address.isLinkLocal }
        guard let first = usable.first(where: { !$0.address.isIPv6 }) ?? usable.first else {
            throw error("--bind", "this host has no address \(what)" + listed(facts.locals))
        }
        return first.address
    }

    private static func error(_ flag: String, _ text: String) -> RunError {
        .usage("\(flag): \(text)")
    }

    /// Returns the end of an error message: `; this host has 10.1.2.3 (eth0)`.
    private static func listed(_ locals: [Local]) -> String {
        let others = locals.filter { !$0.address.isLoopback && !$0.address.isLinkLocal }.prefix(8)
        guard !others.isEmpty else { return "; this host has none but loopback" }
        return "; this host has "
            + others.map { "\($0.address) (\($0.interface))" }.joined(separator: ", ")
    }

    /// Returns ` (10.1.2.3)` to follow an endpoint's name in a message; empty when the host is an
    /// address or has not been resolved.
    public static func resolved(_ endpoint: Endpoint, _ addresses: [NetworkAddress]) -> String {
        guard case .name = endpoint.host, !addresses.isEmpty else { return "" }
        return " (\(addresses.prefix(4).map(\.description).joined(separator: ", ")))"
    }
}
