/// Counts of what has gone wrong in a run so far.
public struct RunTally: Hashable, Codable, Sendable {
    /// The number of coordinators that took the run over from one that died.
    public var takeovers = 0
    /// The number of members that died or fell silent, under all coordinators of the run.
    public var lostMembers = 0
    /// The number of times that shards were lost and the run went back to a checkpoint.
    public var shardLosses = 0
    /// The number of times that a process was refused.
    public var refusals = 0
    /// The number of times that virtual workers were moved away from a slow worker.
    public var rebalances = 0
    /// The number of reports that workers disagree on an audited virtual worker; one virtual worker
    /// can be reported several times.
    public var disputes = 0
    /// The last workers whose gradients two others contradicted, by name and host.
    public var suspects: [String] = []

    private static let maximumSuspectCount = 16

    /// Creates a tally of zeros.
    public init() {}

    /// Counts the events in what the coordinator decided in one step of its state machine.
    mutating func count(_ actions: [CoordinatorMachine.Action]) {
        for case .note(let note) in actions {
            switch note {
            // A member that leaves on purpose has not failed.
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
