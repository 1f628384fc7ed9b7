/// Stragglers: virtual workers move from slow to fast workers. No move can change a bit.
extension CoordinatorMachine {
    /// A new deal must be better by this factor to be worth the move.
    private static let gain = 1.15
    /// Differences below this factor in speed are taken for noise.
    static let noise = 1.3

    /// Deals anew when the measured speeds say that steps would take clearly less time.
    ///
    /// Speeds are compared a few times a heartbeat, and not with each heartbeat that comes: that
    /// would cost the square of the count of workers.
    mutating func rebalance(now: Moment) -> [Action] {
        guard case .training = phase, areSpeedsNew,
            now - lastRebalance >= configuration.heartbeatInterval * 3,
            now - lastComparison >= configuration.heartbeatInterval / 4
        else { return [] }
        areSpeedsNew = false
        lastComparison = now
        let workers = readyPeers(.worker)
        let times = workers.compactMap(\.leafMicroseconds)
        guard workers.count > 1, times.count == workers.count, let fastest = times.min(),
            let slowest = workers.max(by: { ($0.leafMicroseconds ?? 0) < ($1.leafMicroseconds ?? 0) }),
            let slowestTime = slowest.leafMicroseconds, slowestTime > fastest * Self.noise
        else { return [] }
        let deal = AssignmentPlanner.contiguous(
            leafCount: configuration.tree.leafCount, candidates: candidates)
        let present = stepTime(workers) { $0.virtualWorkers.count }
        let future = stepTime(workers) { deal[$0.hello.identity]?.count ?? 0 }
        guard present > future * Self.gain, isWorthwhile(saving: present - future, now: now) else {
            return []
        }
        lastRebalance = now
        let actions = assign(rebalanced: true)
        let shares = readyPeers(.worker).map { ($0.summary.name, $0.virtualWorkers.count) }
        return [
            .note(
                .rebalanced(
                    slowest: slowest.summary, factor: slowestTime / fastest,
                    phase: slowest.slowPhase,
                    shares: Dictionary(shares) { $1 }))
        ] + actions
    }

    /// Where a step is mostly exchange, what a better deal saves is little of it.
    private func isWorthwhile(saving microseconds: Double, now: Moment) -> Bool {
        let rate = recent.stepsPerSecond(now: now)
        return rate == 0 || microseconds * rate / 1_000_000 > 1 - 1 / Self.gain
    }

    /// Time of the worker that takes longest, in microseconds.
    private func stepTime(_ workers: [Peer], _ count: (Peer) -> Int) -> Double {
        workers.map { worker in
            let threads = max(1, worker.hello.threadCount)
            let rounds = (count(worker) + threads - 1) / threads
            return Double(rounds) * (worker.leafMicroseconds ?? 0)
        }.max() ?? 0
    }
}
