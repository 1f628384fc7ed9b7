/// Stragglers: virtual workers move from slow to fast workers. No move can change a bit.
extension CoordinatorMachine {
    /// The factor by which a new deal must be faster to be worth the move.
    private static let gain = 1.15
    /// Differences in speed below this factor count as noise.
    static let noise = 1.3

    /// Deals the virtual workers anew when the measured speeds say that steps would take clearly less
    /// time.
    ///
    /// Speeds are compared a few times a heartbeat rather than with each heartbeat that arrives, since
    /// that would cost the square of the number of workers.
    mutating func rebalance(now: Moment) -> [Action] {
        guard case .training = phase, areSpeedsNew,
            now - lastRebalance >= configuration.heartbeatInterval * 3,
            now - lastComparison >= configuration.heartbeatInterval / 4
        else { return [] }
        areSpeedsNew = false
        lastComparison = now
        let workers = readyPeers(.worker)
        let times = workers.compactMap(\.virtualWorkerMicroseconds)
        guard workers.count > 1, times.count == workers.count, let fastest = times.min(),
            let slowest = workers.max(by: {
                ($0.virtualWorkerMicroseconds ?? 0) < ($1.virtualWorkerMicroseconds ?? 0)
            }),
            let slowestTime = slowest.virtualWorkerMicroseconds, slowestTime > fastest * Self.noise
        else { return [] }
        let deal = AssignmentPlanner.contiguous(
            configuration.tree.virtualWorkers, candidates: candidates)
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

    /// Returns whether a deal that saves this much of a step's computation saves enough of the whole
    /// step: where a step is mostly exchange, it does not.
    private func isWorthwhile(saving microseconds: Double, now: Moment) -> Bool {
        let rate = recent.stepsPerSecond(now: now)
        return rate == 0 || microseconds * rate / 1_000_000 > 1 - 1 / Self.gain
    }

    /// Returns the time of the worker that takes longest, in microseconds.
    private func stepTime(_ workers: [Peer], _ count: (Peer) -> Int) -> Double {
        workers.map { worker in
            let threads = max(1, worker.hello.threadCount)
            let rounds = (count(worker) + threads - 1) / threads
            return Double(rounds) * (worker.virtualWorkerMicroseconds ?? 0)
        }.max() ?? 0
    }
}
