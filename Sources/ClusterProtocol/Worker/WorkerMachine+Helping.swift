/// Stragglers: a worker with nothing to do computes what others are late with. No copy can change a
/// bit.
extension WorkerMachine {
    /// After a step in which help was of use, others are expected to be late again for this many
    /// steps.
    private static let expectation = 32
    /// The number of waits after which the usual wait is known.
    static let firstWaitCount = 10
    /// A wait is unusual when it is this many times as long as usual, since waits differ from step
    /// to step.
    private static let unusual = 2.0

    /// Whether a worker that was late a short time ago is likely to be late again.
    private var expectsStragglers: Bool {
        guard let lastHelped, let round else { return false }
        return round.step.value - lastHelped.value <= Self.expectation
    }

    /// How long a worker waits for others before it offers to compute what they are late with.
    ///
    /// Where the exchange itself takes long, or workers share processors, every worker waits in
    /// every step. Then no worker is late, and copies would only make the step longer.
    private var patience: Duration {
        if expectsStragglers { return .milliseconds(1) }
        // Help takes at least as long as one virtual worker. It is in vain when the sums come
        // before that.
        let own = ownTime ?? .milliseconds(20)
        let shortest = own / max(1, assignment?.virtualWorkers.count ?? 1)
        return max(.milliseconds(5), (usualWait ?? .zero) * Self.unusual, own * 0.5, shortest)
    }

    /// How many times in a step work of others is taken without waiting longer each time: as many
    /// as this worker has virtual workers, at least 2.
    private var promptHelpCount: Int { max(2, assignment?.virtualWorkers.count ?? 0) }

    /// Returns the wait before the next inquiry. It doubles with each inquiry that led to nothing.
    ///
    /// Where a step takes long because processes outnumber the cores, every worker is idle most of
    /// the time. The inquiries of idle workers must not take the cores.
    private func delay(in round: Round) -> Duration {
        let useful = min(round.helpCount, promptHelpCount)
        let vain = max(0, round.inquiryCount - useful)
        return patience * (1 << min(vain, Self.maximumDoublings))
    }

    /// The highest number of doublings: a wait of 1 ms becomes one of 1 s.
    private static let maximumDoublings = 10

    /// The moment when `tick` is wanted next, apart from heartbeats; nil when it is not.
    public var nextDeadline: Moment? {
        guard mayHelp, let round, let idle = round.idleSince else { return nil }
        return max(idle, round.lastInquiry ?? idle) + delay(in: round)
    }

    /// Whether the worker may help others: it waits for weights, and there are other virtual
    /// workers.
    private var mayHelp: Bool { isWaitingForWeights && run.tree.leafCount > 1 }

    /// Asks what is missing. Asks at once when others are likely to be late, and otherwise after
    /// some patience.
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
        return [.inquire(shard: run.plan[late].shard, step: round.step)]
    }

    /// Takes in how long the weights of the next step took to come after this worker's own share
    /// was done, and whether help in this step was of use. Help was of use if the weights came soon
    /// after it.
    mutating func learn(from round: Round, now: Moment) {
        guard let done = round.ownDone else { return }
        let usual = usualWait ?? .zero
        // One long pause, for instance of a process that died, is not what is usual.
        let wait = min(now - done, max(usual, .milliseconds(5)) * 4)
        // The first waits count for more: before the usual wait is known, help that is not needed
        // makes a slow exchange slower.
        let share = waitCount < Self.firstWaitCount ? 0.5 : 0.2
        waitCount += 1
        usualWait = usualWait == nil ? wait : usual * (1 - share) + wait * share
        guard round.helpCount > 0, let helped = round.idleSince else { return }
        let soon = max(.milliseconds(2), (helped - done) * Self.unusual)
        lastHelped = now - helped <= soon ? round.step : nil
    }

    /// How many workers may be looking for the same missing virtual workers, judged by this
    /// worker's own share.
    private var helperCount: Int {
        let share = assignment?.virtualWorkers.count ?? 0
        return max(1, run.tree.leafCount / max(1, share) - 1)
    }

    /// Takes a part of the missing virtual workers, in as few sums as possible: a subtree costs the
    /// wire no more than a leaf. A second copy of a contribution changes nothing.
    mutating func help(_ step: Step, _ missing: [VirtualWorkerIndex]) -> [Action] {
        guard var round, round.step == step, round.pending.isEmpty, isWaitingForWeights else {
            return []
        }
        let open = missing.filter {
            run.tree.contains($0) && !round.virtualWorkers.contains($0)
        }
        guard !open.isEmpty else { return [] }
        let part = max(1, open.count / helperCount)
        let parts = nodes(covering: open, in: step).flatMap {
            run.tree.parts(of: $0, leafCountAtMost: part)
        }
        // From the end: a late worker has most likely begun at the beginning.
        let spread = min(parts.count, helperCount)
        let first = parts.count - 1 - (run.salt &+ round.helpCount) % spread
        var chosen: [TreeNode] = []
        var leafCount = 0
        for offset in parts.indices where leafCount < run.threadCount {
            let node = parts[(first - offset + parts.count) % parts.count]
            chosen.append(node)
            leafCount += run.tree.virtualWorkers(below: node).count
        }
        round.virtualWorkers.formUnion(chosen.flatMap { run.tree.virtualWorkers(below: $0) })
        round.pending.formUnion(chosen)
        round.helpCount += 1
        round.idleSince = nil
        self.round = round
        return [.compute(step: step, nodes: chosen)]
    }
}
