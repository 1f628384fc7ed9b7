/// What has gone wrong in a run so far, as counts.
public struct RunTally: Hashable, Codable, Sendable {
    /// Coordinators that took the run over from one that died.
    public var takeovers = 0
    /// Members that died or fell silent, over all coordinators of the run.
    public var lostMembers = 0
    /// Times that slices were lost and the run went back to a checkpoint.
    public var shardLosses = 0
    public var refusals = 0
    /// Times that virtual workers were moved away from a slow worker.
    public var rebalances = 0
    /// Audited leaves on which workers disagreed.
    public var disputes = 0
    /// Workers whose gradients two others contradicted, the last ones: name and host.
    public var suspects: [String] = []

    private static let maximumSuspectCount = 16

    public init() {}

    /// Takes in what the coordinator says of a step of its own.
    mutating func count(_ actions: [CoordinatorMachine.Action]) {
        for case .note(let note) in actions {
            switch note {
            // Who leaves on purpose is no failure.
            case .lost(_, let reason, _, _) where reason != CoordinatorMachine.leftReason:
                lostMembers += 1
            case .shardsLost: shardLosses += 1
            case .refused: refusals += 1
            case .rebalanced: rebalances += 1
            case .disputed: disputes += 1
            case .contradicted(let peer, _, _):
                suspects.append(String("\(peer.name) on \(peer.host)".prefix(64)))
                if suspects.count > Self.maximumSuspectCount { suspects.removeFirst() }
            default: break
            }
        }
    }
}
