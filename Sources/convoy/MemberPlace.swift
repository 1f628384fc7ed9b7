import ClusterProtocol
import ClusterRuntime
import RunFiles

/// Where a member finds the coordinator, and where others find the member.
struct MemberPlace {
    /// The coordinator's endpoint.
    var coordinator: Endpoint
    /// The coordinator for people: its name and the addresses that the name resolves to.
    var text: String
    /// The addresses at which the member listens and which it announces.
    var addresses: MemberAddresses
    /// The endpoints at which a coordinator on this host may have registered its keys. The list is
    /// empty when other hosts can reach the coordinator's endpoint.
    var localPlaces: [Endpoint]

    /// Resolves the names in the flags of a member.
    ///
    /// - Parameters:
    ///   - coordinator: the coordinator's endpoint.
    ///   - bind: the flag `--bind`.
    ///   - announce: the flag `--announce`.
    ///   - limit: the longest wait for the name of the coordinator's host.
    init(
        coordinator: String, bind: String?, announce: String?, within limit: Duration,
        _ interruptions: Interruptions
    ) throws(RunError) {
        let endpoint = try Endpoint(coordinator, flag: "--coordinator")
        guard endpoint.isReachable else {
            throw .usage(
                "--coordinator: expected an address and a port to connect to, found \(coordinator)")
        }
        let choice = try bind.map { text throws(RunError) in try BindChoice(text) }
        let announced = try ListenAddress.announced(announce)
        let pause = ListenAddress.pause(interruptions)
        var facts = MemberAddresses.Facts(
            coordinator: [], locals: HostNetwork.locals, route: nil)
        if let host = endpoint.host {
            facts.coordinator = try HostLookup.addresses(
                of: host, flag: "--coordinator", within: limit, isPatient: true, pause: pause)
            facts.route = facts.coordinator.lazy.compactMap(HostNetwork.route).first
        }
        if let announced, case .name = announced {
            facts.announced = try HostLookup.addresses(
                of: announced, flag: "--announce", within: .seconds(10), pause: pause)
        }
        self.coordinator = endpoint
        text = "\(endpoint)" + MemberAddresses.resolved(endpoint, facts.coordinator)
        localPlaces = KeyRegistry.places(of: endpoint, resolvedTo: facts.coordinator)
        addresses = try MemberAddresses(
            coordinator: endpoint, bind: choice, announce: announced, facts: facts)
    }
}

/// Resolves the addresses that a process is told to listen at or to announce.
enum ListenAddress {
    /// Replaces the name of an interface or of this host by its address.
    ///
    /// - Throws: `.usage` when the name is not one of this host, or when other hosts cannot reach
    ///   its address.
    static func resolve(
        _ endpoint: Endpoint, flag: String, _ interruptions: Interruptions
    ) throws(RunError) -> Endpoint {
        guard case .name(let name) = endpoint.host else { return endpoint }
        let own = HostNetwork.locals.filter { $0.interface == name && !$0.address.isLinkLocal }
        if let address = (own.first { !$0.address.isIPv6 } ?? own.first)?.address {
            return endpoint.at(.address(address))
        }
        let found = try HostLookup.addresses(
            of: .name(name), flag: flag, within: .seconds(10), pause: pause(interruptions))
        guard let address = found.first(where: HostNetwork.isOwn) else {
            throw .usage(
                "\(flag): \(name) is \(found.map(\.description).joined(separator: ", ")), which is no "
                    + "address of this host; listen on one that it has, and say --announce \(name)")
        }
        if address.isLoopback, !endpoint.isLocal {
            throw .usage(
                "\(flag): \(name) is \(address) here (see /etc/hosts), which other hosts cannot reach; "
                    + "listen on an address of this host, or on 127.0.0.1 when that is meant")
        }
        return endpoint.at(.address(address))
    }

    /// Returns the host in the flag `--announce`, or nil when the flag was not given.
    static func announced(_ text: String?) throws(RunError) -> Endpoint.Host? {
        guard let text else { return nil }
        guard let host = Endpoint.Host(text), !host.isWildcard else {
            throw .usage("--announce: expected an address or a name without a port, found \(text)")
        }
        return host
    }

    /// Returns a function that waits for a time and returns whether the process was asked to stop.
    static func pause(_ interruptions: Interruptions) -> (Duration) -> Bool {
        { duration in
            switch interruptions.wait(timeout: duration) {
            case .stopRequested, .parentGone: true
            case .woken, .timeout: false
            }
        }
    }
}
