/// What workers have said about the audited leaves of one chunk in one step.
///
/// A leaf is accepted when two different workers agree on it, to the bit.
struct AuditBoard: Hashable, Sendable {
    /// One worker's result: a digest of the gradient's bits, and the totals.
    struct Vote: Hashable, Sendable {
        var digest: UInt64
        var totals: ContributionTotals
    }

    enum Verdict: Hashable, Sendable {
        /// One opinion so far.
        case waiting
        /// Two agree; `liars` had said something else.
        case agreed(by: PeerIdentity, liars: [PeerIdentity])
        case disputed([PeerIdentity])
    }

    private var history: [Int: [(peer: PeerIdentity, vote: Vote)]] = [:]

    mutating func add(_ vote: Vote, leaf: Int, by peer: PeerIdentity) -> Verdict {
        history[leaf, default: []].append((peer, vote))
        let all = history[leaf] ?? []
        let agreeing = Set(all.filter { $0.vote == vote }.map(\.peer))
        if agreeing.count >= 2 {
            let liars = Set(all.filter { $0.vote != vote }.map(\.peer)).sorted()
            return .agreed(by: peer, liars: liars)
        }
        return Set(all.map(\.vote)).count > 1 ? .disputed(Set(all.map(\.peer)).sorted()) : .waiting
    }

    /// Leaves on which workers disagree, with those workers.
    var disputes: [(leaf: Int, peers: [PeerIdentity])] {
        history.keys.sorted().compactMap { leaf in
            let all = history[leaf] ?? []
            guard Set(all.map(\.vote)).count > 1 else { return nil }
            return (leaf, Set(all.map(\.peer)).sorted())
        }
    }

    /// The first opinion on each leaf, when there is nobody to give a second.
    var firstOpinions: [(leaf: Int, peer: PeerIdentity, vote: Vote)] {
        history.keys.sorted().compactMap { leaf in
            (history[leaf]?.first).map { (leaf, $0.peer, $0.vote) }
        }
    }

    mutating func settle(_ leaf: Int) { history[leaf] = nil }

    static func == (left: AuditBoard, right: AuditBoard) -> Bool {
        left.history.keys == right.history.keys
            && left.history.allSatisfy { leaf, all in
                zip(all, right.history[leaf] ?? []).allSatisfy { $0 == $1 }
            }
    }

    func hash(into hasher: inout Hasher) { hasher.combine(history.count) }
}
