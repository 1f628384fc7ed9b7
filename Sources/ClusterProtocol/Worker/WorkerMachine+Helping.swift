/// Stragglers: whoever has nothing to do computes what others are late with. No copy can change a bit.
extension WorkerMachine {
    /// For so many steps after work of others was of use, more of it is expected.
    private static let expectation = 32
    /// So many waits tell what is usual at all.
    static let firstWaitCount = 10
    /// Waits differ from step to step; only one that lasts this many times as long is unusual.
    private static let unusual = 2.0

    /// Whether whoever was late lately is likely to be late again.
    private var expectsStragglers: Bool {
        guard let lastHelped, let round else { return false }
        return round.step.value - lastHelped.value <= Self.expectation
    }

    /// Waiting for others this long, a worker offers to compute what they are late with.
    ///
    /// Where the exchange itself takes long, or workers share processors, everyone waits in every
    /// step: that is nobody's lateness, and copies would only make it longer.
    private var patience: Duration {
        if expectsStragglers { return .milliseconds(1) }
        // Help takes as long as one virtual worker at least, and is in vain when they are there before.
        let own = ownTime ?? .milliseconds(20)
        let shortest = own / max(1, assignment?.virtualWorkers.count ?? 1)
        return max(.milliseconds(5), (usualWait ?? .zero) * Self.unusual, own * 0.5, shortest)
    }

    /// How often work of others is taken in a step without waiting longer each time: as much as its
    /// own share, and a little.
    private var promptHelpCount: Int { max(2, assignment?.virtualWorkers.count ?? 0) }

    /// The wait before the next inquiry. It doubles with each that led to nothing: where a step
    /// takes long because processes outnumber the cores, everyone is idle most of the time, and
    /// their questions must not be what takes the cores.
    private func delay(in round: Round) -> Duration {
        let useful = min(round.helpCount, promptHelpCount)
        let vain = max(0, round.inquiryCount - useful)
        return patience * (1 << min(vain, Self.maximumDoublings))
    }

    /// A wait of 1 ms becomes one of a second.
    private static let maximumDoublings = 10

    /// When `tick` is wanted, apart from heartbeats.
    public var nextDeadline: Moment? {
        guard mayHelp, let round, let idle = round.idleSince else { return nil }
        return max(idle, round.lastInquiry ?? idle) + delay(in: round)
    }

    private var mayHelp: Bool { isWaitingForWeights && run.tree.leafCount > 1 }

    /// Asks what is missing: at once where others are known to be late, or else after some patience.
    mutating func inquire(now: Moment) -> [Action] {
        guard mayHelp, var round, let idle = round.idleSince else { return [] }
        let isFirst = round.lastInquiry.map { $0 < idle } ?? true
        let isPrompt = expectsStragglers && isFirst && round.helpCount < promptHelpCount
        let waited = now - max(idle, round.lastInquiry ?? idle)
        guard isPrompt || waited >= delay(in: round), let late = weights.missing.first
        else { return [] }
        round.lastInquiry = now
        round.inquiryCount += 1
        self.round = round
        return [.inquire(shard: run.plan.chunks[late].shard, step: round.step)]
    }

    /// Takes in how long the weights of the next step came after this worker's own share, and
    /// whether help with this one was of use: weights that it was in time for come soon after it.
    mutating func learn(from round: Round, now: Moment) {
        guard let done = round.ownDone else { return }
        let usual = usualWait ?? .zero
        // One long pause, of a process that died for instance, is not what is usual.
        let wait = min(now - done, max(usual, .milliseconds(5)) * 4)
        // At first nothing is known, and help that is not needed makes a slow exchange slower.
        let share = waitCount < Self.firstWaitCount ? 0.5 : 0.2
        waitCount += 1
        usualWait = usualWait == nil ? wait : usual * (1 - share) + wait * share
        guard round.helpCount > 0, let helped = round.idleSince else { return }
        let soon = max(.milliseconds(2), (helped - done) * Self.unusual)
        lastHelped = now - helped <= soon ? round.step : nil
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
        let open = leaves.filter { run.tree.hasLeaf($0) && !round.leaves.contains($0) }
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
