/// The results that workers have sent for the audited leaves of one chunk in one step.
///
/// A leaf is accepted when two different workers sent the same result, to the bit.
struct AuditBoard: Hashable, Sendable {
    /// One worker's result: a digest of the gradient's bits, and the totals.
    struct Vote: Hashable, Sendable {
        var digest: UInt64
        var totals: ContributionTotals
    }

    /// What is known about a leaf after another vote.
    enum Verdict: Hashable, Sendable {
        /// There is one result so far.
        case waiting
        /// Two workers agree; each of `liars` had sent another result.
        case agreed(by: PeerIdentity, liars: [PeerIdentity])
        /// These workers have sent different results, and no two agree.
        case disputed([PeerIdentity])
    }

    private var history: [Int: [(peer: PeerIdentity, vote: Vote)]] = [:]

    /// Adds a worker's vote on a leaf, and returns what is known about the leaf now.
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

    /// The leaves on which workers disagree, in ascending order, with those workers.
    var disputes: [(leaf: Int, peers: [PeerIdentity])] {
        history.keys.sorted().compactMap { leaf in
            let all = history[leaf] ?? []
            guard Set(all.map(\.vote)).count > 1 else { return nil }
            return (leaf, Set(all.map(\.peer)).sorted())
        }
    }

    /// The first vote on each leaf, for a run that has only one worker left and so can get no second
    /// vote.
    var firstOpinions: [(leaf: Int, peer: PeerIdentity, vote: Vote)] {
        history.keys.sorted().compactMap { leaf in
            (history[leaf]?.first).map { (leaf, $0.peer, $0.vote) }
        }
    }

    /// Forgets all votes on a leaf.
    mutating func settle(_ leaf: Int) { history[leaf] = nil }

    static func == (left: AuditBoard, right: AuditBoard) -> Bool {
        left.history.keys == right.history.keys
            && left.history.allSatisfy { leaf, all in
                zip(all, right.history[leaf] ?? []).allSatisfy { $0 == $1 }
            }
    }

    func hash(into hasher: inout Hasher) { hasher.combine(history.count) }
}
