import ClusterProtocol

/// What was said in a simulated run, and what the coordinator had to do for it.
package struct SimulatedTraffic: Sendable {
    /// Control messages sent by members and by the coordinator.
    package var toCoordinator = 0
    package var fromCoordinator = 0
    /// Control messages by kind, either way.
    package var byKind: [String: Int] = [:]
    /// Bulk messages between workers and shards, by kind; state and checkpoints are not among them.
    package var bulk: [BulkKind: Int] = [:]
    /// What the coordinator's machine took in, and what it returned.
    package var coordinatorEvents = 0
    package var coordinatorActions = 0
    /// Real time spent in the coordinator's machine. For reports: no test depends on it.
    package var coordinatorTime: Duration = .zero

    package var controlMessages: Int { toCoordinator + fromCoordinator }

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
