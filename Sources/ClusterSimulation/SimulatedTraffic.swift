import ClusterProtocol

/// The messages sent in a simulated run, and the coordinator's work for them.
package struct SimulatedTraffic: Sendable {
    /// Control messages that members sent to the coordinator.
    package var toCoordinator = 0
    /// Control messages that the coordinator sent to members.
    package var fromCoordinator = 0
    /// Control messages in both directions, by kind.
    package var byKind: [String: Int] = [:]
    /// Bulk messages between workers and shards, by kind. State and checkpoints do not count.
    package var bulk: [BulkKind: Int] = [:]
    /// Events that the coordinator's state machine took in.
    package var coordinatorEvents = 0
    /// Actions that the coordinator's state machine returned.
    package var coordinatorActions = 0
    /// Real time spent in the coordinator's state machine. It is for reports; no test depends on
    /// it.
    package var coordinatorTime: Duration = .zero

    /// Control messages in both directions.
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
