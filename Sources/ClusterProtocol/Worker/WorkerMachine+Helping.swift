/// Stragglers: whoever has nothing to do computes what others are late with. No copy can change a bit.
extension WorkerMachine {
    /// For so many steps after work of others was of use, more of it is expected.
    private static let expectation = 32

    /// Whether whoever was late lately is likely to be late again.
    private var expectsStragglers: Bool {
        guard let lastHelped, let round else { return false }
        return round.step.value - lastHelped.value <= Self.expectation
    }

    /// Waiting for others this long, a worker offers to compute what they are late with.
    private var patience: Duration {
        expectsStragglers
            ? .milliseconds(1) : max(.milliseconds(5), (ownTime ?? .milliseconds(20)) * 0.5)
    }

    /// When `tick` is wanted, apart from heartbeats.
    public var nextDeadline: Moment? {
        guard isWaitingForWeights, let round, let idle = round.idleSince else { return nil }
        return max(idle, round.lastInquiry ?? idle) + patience
    }

    /// Asks what is missing: at once where others are known to be late, or else after some patience.
    mutating func inquire(now: Moment) -> [Action] {
        guard isWaitingForWeights, var round, let idle = round.idleSince, run.tree.leafCount > 1
        else { return [] }
        let isExpected = round.helpCount > 0 || expectsStragglers
        let isFirst = round.lastInquiry.map { $0 < idle } ?? true
        guard isExpected && isFirst || now - max(idle, round.lastInquiry ?? idle) >= patience,
            let late = weights.missing.first
        else { return [] }
        round.lastInquiry = now
        self.round = round
        return [.inquire(shard: run.plan.chunks[late].shard, step: round.step)]
    }

    /// How many workers may be looking for the same missing leaves, by the share this one has itself.
    private var helperCount: Int {
        let share = assignment?.virtualWorkers.count ?? 0
        return max(1, run.tree.leafCount / max(1, share) - 1)
    }

    /// Takes a part of the missing leaves, in as few sums as it can: a subtree costs the wire no more
    /// than a leaf. A second copy of a contribution changes nothing.
    mutating func help(_ step: Step, _ leaves: [Int]) -> [Action] {
        guard var round, round.step == step, round.pending.isEmpty, isWaitingForWeights else {
            return []
        }
        let open = leaves.filter { $0 < run.tree.leafCount && !round.leaves.contains($0) }
        guard !open.isEmpty else { return [] }
        let part = max(1, open.count / helperCount)
        let parts = nodes(covering: open, in: step).flatMap {
            run.tree.parts(of: $0, leafCountAtMost: part)
        }
        // From the end: whoever is late has most likely begun at the beginning.
        let spread = min(parts.count, helperCount)
        let first = parts.count - 1 - (run.salt &+ round.helpCount) % spread
        var chosen: [TreeNode] = []
        var leafCount = 0
        for offset in parts.indices where leafCount < run.threadCount {
            let node = parts[(first - offset + parts.count) % parts.count]
            chosen.append(node)
            leafCount += run.tree.leaves(of: node).count
        }
        round.leaves.formUnion(chosen.flatMap { run.tree.leaves(of: $0) })
        round.pending.formUnion(chosen)
        round.helpCount += 1
        round.idleSince = nil
        self.round = round
        return [.compute(step: step, nodes: chosen)]
    }
}
