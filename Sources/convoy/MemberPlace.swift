import ClusterProtocol
import ClusterRuntime
import RunFiles

/// Where a member finds the coordinator, and where others find the member.
struct MemberPlace {
    var coordinator: Endpoint
    /// The coordinator for people: its name with the addresses behind it.
    var text: String
    var addresses: MemberAddresses
    /// Where the coordinator may have said that it listens, when that is this host alone.
    var localPlaces: [Endpoint]

    init(
        coordinator: String, bind: String?, announce: String?, within limit: Duration,
        _ interruptions: Interruptions
    ) throws(Failure) {
        let endpoint = try Endpoint(coordinator, flag: "--coordinator")
        guard endpoint.isReachable else {
            throw .usage(
                "--coordinator: expected an address and a port to connect to, found \(coordinator)")
        }
        let choice = try bind.map { text throws(Failure) in try BindChoice(text) }
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

/// Addresses that a process is told to listen at or to announce.
enum ListenAddress {
    /// Puts an address in the place of the name of an interface or of this host.
    static func resolve(
        _ endpoint: Endpoint, flag: String, _ interruptions: Interruptions
    ) throws(Failure) -> Endpoint {
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

    static func announced(_ text: String?) throws(Failure) -> Endpoint.Host? {
        guard let text else { return nil }
        guard let host = Endpoint.Host(text), !host.isWildcard else {
            throw .usage("--announce: expected an address or a name without a port, found \(text)")
        }
        return host
    }

    static func pause(_ interruptions: Interruptions) -> (Duration) -> Bool {
        { duration in
            switch interruptions.wait(timeout: duration) {
            case .stopRequested, .parentGone: true
            case .woken, .timeout: false
            }
        }
    }
}
