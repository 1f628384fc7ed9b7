import ClusterProtocol

/// What was said in a simulated run, and what the coordinator had to do for it.
public struct SimulatedTraffic: Sendable {
    /// Control messages sent by members and by the coordinator.
    public var toCoordinator = 0
    public var fromCoordinator = 0
    /// Control messages by kind, either way.
    public var byKind: [String: Int] = [:]
    /// Bulk messages between workers and shards, by kind; state and checkpoints are not among them.
    public var bulk: [BulkKind: Int] = [:]
    /// What the coordinator's machine took in, and what it returned.
    public var coordinatorEvents = 0
    public var coordinatorActions = 0
    /// Real time spent in the coordinator's machine. For reports: no test depends on it.
    public var coordinatorTime: Duration = .zero

    public var controlMessages: Int { toCoordinator + fromCoordinator }

    mutating func count(
        _ packet: SimulatedPacket, from source: PeerIdentity, to target: PeerIdentity,
        coordinator: PeerIdentity
    ) {
        switch packet {
        case .control(let message):
            if target == coordinator { toCoordinator += 1 } else { fromCoordinator += 1 }
            byKind[message.kind, default: 0] += 1
        case .bulk(let header, _):
            if source != coordinator, target != coordinator { bulk[header.kind, default: 0] += 1 }
        }
    }

    mutating func count(
        _ event: CoordinatorMachine.Event, _ actions: [CoordinatorMachine.Action],
        taking time: Duration
    ) {
        coordinatorEvents += 1
        coordinatorActions += actions.count
        coordinatorTime += time
    }
}
