import ClusterProtocol

/// What a coordinator tells of where it listens.
struct CoordinatorAddresses: Hashable {
    /// Where members connect, and what is shown to people.
    var control: Endpoint
    var state: Endpoint
    /// What members are told: with a wildcard for a host they put what they know the coordinator by.
    var stateForMembers: Endpoint
    var dataForMembers: Endpoint

    /// - Parameters:
    ///   - control, state, data: as bound.
    ///   - announce: what the user wants this host to be called.
    ///   - outward: the address that a wildcard most likely means to others.
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
