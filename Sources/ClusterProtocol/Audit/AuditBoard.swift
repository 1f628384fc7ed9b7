/// The results that workers have sent for the audited virtual workers of one chunk in one step.
///
/// A virtual worker's gradient is accepted when two different workers sent the same result, to the
/// bit.
struct AuditBoard: Hashable, Sendable {
    /// One worker's result: a digest of the gradient's bits, and the totals.
    struct Vote: Hashable, Sendable {
        var digest: UInt64
        var totals: ContributionTotals
    }

    /// What is known about a virtual worker after another vote.
    enum Verdict: Hashable, Sendable {
        /// There is one result so far.
        case waiting
        /// Two workers agree; each of `liars` had sent another result.
        case agreed(by: PeerIdentity, liars: [PeerIdentity])
        /// These workers have sent different results, and no two agree.
        case disputed([PeerIdentity])
    }

    private var history: [VirtualWorkerIndex: [(peer: PeerIdentity, vote: Vote)]] = [:]

    /// Adds a worker's vote on a virtual worker, and returns what is known about it now.
    mutating func add(
        _ vote: Vote, virtualWorker: VirtualWorkerIndex, by peer: PeerIdentity
    ) -> Verdict {
        history[virtualWorker, default: []].append((peer, vote))
        let all = history[virtualWorker] ?? []
        let agreeing = Set(all.filter { $0.vote == vote }.map(\.peer))
        if agreeing.count >= 2 {
            let liars = Set(all.filter { $0.vote != vote }.map(\.peer)).sorted()
            return .agreed(by: peer, liars: liars)
        }
        return Set(all.map(\.vote)).count > 1 ? .disputed(Set(all.map(\.peer)).sorted()) : .waiting
    }

    /// The virtual workers on which workers disagree, in ascending order, with those workers.
    var disputes: [(virtualWorker: VirtualWorkerIndex, peers: [PeerIdentity])] {
        history.keys.sorted().compactMap { virtualWorker in
            let all = history[virtualWorker] ?? []
            guard Set(all.map(\.vote)).count > 1 else { return nil }
            return (virtualWorker, Set(all.map(\.peer)).sorted())
        }
    }

    /// The first vote on each virtual worker, for a run that has only one worker left and so can
    /// get no second vote.
    var firstOpinions: [(virtualWorker: VirtualWorkerIndex, peer: PeerIdentity, vote: Vote)] {
        history.keys.sorted().compactMap { virtualWorker in
            (history[virtualWorker]?.first).map { (virtualWorker, $0.peer, $0.vote) }
        }
    }

    /// Forgets all votes on a virtual worker.
    mutating func settle(_ virtualWorker: VirtualWorkerIndex) { history[virtualWorker] = nil }

    static func == (left: AuditBoard, right: AuditBoard) -> Bool {
        left.history.keys == right.history.keys
            && left.history.allSatisfy { virtualWorker, all in
                zip(all, right.history[virtualWorker] ?? []).allSatisfy { $0 == $1 }
            }
    }

    func hash(into hasher: inout Hasher) { hasher.combine(history.count) }
}
