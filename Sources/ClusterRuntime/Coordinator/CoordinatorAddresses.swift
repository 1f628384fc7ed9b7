import ClusterProtocol

/// The addresses under which a coordinator tells others to reach it.
struct CoordinatorAddresses: Hashable {
    /// The endpoint for control messages, as people are shown it. Members connect there.
    var control: Endpoint
    /// The endpoint for the state of shards, as people are shown it.
    var state: Endpoint
    /// The endpoint for the state of shards, as members are told it. When its host is a wildcard, a
    /// member uses the host by which it knows the coordinator.
    var stateForMembers: Endpoint
    /// The endpoint of the data service, as members are told it.
    var dataForMembers: Endpoint

    /// Creates the addresses from the bound endpoints.
    ///
    /// - Parameters:
    ///   - control, state, data: the endpoints as they are bound.
    ///   - announce: the name or address that the user gives this host; nil without one.
    ///   - outward: the address that a wildcard most likely means to other hosts.
    init(
        control: Endpoint, state: Endpoint, data: Endpoint, announce: Endpoint.Host?,
        outward: NetworkAddress?
    ) {
        var host = announce
        if host == nil, control.host?.isWildcard == true {
            host = .address(outward ?? .loopbackIPv4)
        }
        self.control = host.map { control.at($0) } ?? control
        self.state = host.map { state.at($0) } ?? state
        stateForMembers = announce.map { state.at($0) } ?? state
        dataForMembers = announce.map { data.at($0) } ?? data
    }
}
