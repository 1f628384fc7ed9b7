/// The course of a run: gathering, training up to a limit, evaluating, checkpointing.
extension CoordinatorMachine {
    /// Does whatever has become possible.
    mutating func advance(now: Moment) -> [Action] {
        switch phase {
        case .gathering(let since): return gather(since: since, now: now)
        case .recovering(let since, let recovery):
            return takeBack(recovery, since: since, now: now)
        case .placing(let since, let waiting):
            return waiting.isEmpty ? beginTraining(now: now) : awaitHosts(since: since, now: now)
        case .training(let since): return train(since: since, now: now)
        case .evaluating(let evaluation): return finishEvaluation(evaluation, now: now)
        case .holding(let holding): return finishHolding(holding, now: now)
        case .finishing(let since, let exitCode, let reason):
            if lastCheckpoint == restingStep { return end(exitCode: exitCode, reason: reason) }
            // An earlier checkpoint will do for a run that is cut short.
            if exitCode != 0, now - since > max(.seconds(3), configuration.heartbeatInterval * 3) {
                return end(exitCode: exitCode, reason: reason)
            }
            return giveUp(waitingFor: "the last checkpoint", since: since, now: now)
        case .dismissing, .ended: return []
        }
    }

    /// The version all shards rest at, if they do.
    var restingStep: Step? {
        guard let first = shards.first?.version else { return nil }
        return shards.allSatisfy { $0.version == first } ? first : nil
    }

    /// Asked with every report of progress: mostly the first shard has the answer.
    private var isRestingAtLimit: Bool {
        shards.first?.version == limit && shards.allSatisfy { $0.version == limit }
    }

    // MARK: Beginning

    private mutating func gather(since: Moment, now: Moment) -> [Action] {
        let count = readyCount(.worker)
        let isLate = now - since > configuration.startTimeout
        guard hasHostsForStart, count > 0 else {
            return giveUp(waitingFor: count == 0 ? "workers" : "servers", since: since, now: now)
        }
        guard count >= configuration.workerCount || isLate else {
            return notice(
                "waiting for \(configuration.workerCount - count) more workers", now: now)
        }
        let workers = readyPeers(.worker)
        let settled =
            instructionSet
            ?? InstructionSet.common(workers.map(\.hello.instructionSet)) ?? "generic"
        instructionSet = settled
        waitingSince = nil
        return [
            .journal(.started(run: configuration.run, step: configuration.startStep)),
            .journal(.settled(instructionSet: settled)),
            .note(.settled(instructionSet: settled)),
        ] + place(now: now)
    }

    /// Members of the run that are still at work come back by themselves; when all have, or no more
    /// do, the run goes on where it is. Slices that did not come back mean going back to a checkpoint.
    private mutating func takeBack(
        _ recovery: Recovery, since: Moment, now: Moment
    ) -> [Action] {
        let hasTimedOut = now - since > configuration.heartbeatInterval * 3
        guard readyCount(.worker) + readyCount(.server) >= recovery.members.count || hasTimedOut
        else { return [] }
        let back = Set(readyPeers().map(\.hello.identity))
        guard recovery.members.isSubset(of: back) || hasTimedOut else { return [] }
        let hostsAreBack =
            !recovery.hosts.isEmpty && recovery.hosts.count == shards.count
            && recovery.hosts.allSatisfy { host in
                back.contains(host)
                    && peers[host]?.hello.session?.placement == recovery.placement
            }
        guard hostsAreBack, readyCount(.worker) > 0, recovery.diverged == nil else {
            guard hasTimedOut else { return [] }
            phase = .gathering(since: now)
            return [.journal(.tookOver)] + advance(now: now)
        }
        // The same placement once more: shards in place say so, one whose state was still on its way
        // goes on waiting for it.
        for (index, host) in recovery.hosts.enumerated() {
            shards[index] = Shard(host: host, version: lastCheckpoint)
        }
        placementStep = recovery.placementStep
        phase = .placing(since: now, waiting: Set(configuration.plan.shards))
        return [.journal(.tookOver)] + hostMessages()
    }

    private mutating func awaitHosts(since: Moment, now: Moment) -> [Action] {
        guard shards.contains(where: { $0.host == nil }) else {
            return giveUp(waitingFor: "the shards' state to arrive", since: since, now: now)
        }
        let placed = place(now: now)
        if placed.isEmpty { return giveUp(waitingFor: "servers", since: since, now: now) }
        return placed
    }

    private mutating func beginTraining(now: Moment) -> [Action] {
        phase = .training(since: now)
        let workers = readyPeers(.worker)
        let plan = Plan(
            workers: workers.count, threads: workers.reduce(0) { $0 + $1.hello.threadCount },
            instructionSet: instructionSet ?? "generic", shardCount: shards.count)
        return [.began(plan), .journal(.limit(limit, trainingSeconds: Self.exactSeconds(training)))]
            + announceLimit() + assign(rebalanced: true, isFresh: true)
            + advance(now: now)
    }

    // MARK: Training

    private mutating func train(since: Moment, now: Moment) -> [Action] {
        if isRestingAtLimit {
            training += now - since
            return rest(now: now)
        }
        guard readyCount(.worker) == 0 else {
            waitingSince = nil
            return []
        }
        // Somebody wants the run to stop, and nobody is left who could bring the step to its end.
        if let stop, divergence == nil {
            training += now - since
            return finish(stop.exitCode, stop.reason, now: now)
        }
        let from = waitingSince ?? now
        waitingSince = from
        return giveUp(waitingFor: "workers", since: from, now: now)
    }

    /// All shards have reached the limit.
    private mutating func rest(now: Moment) -> [Action] {
        if let stop {
            // On the way to the last finite weights an epoch may end.
            if divergence != nil, limit < lastStep { return continueTraining(now: now) }
            return finish(stop.exitCode, stop.reason, now: now)
        }
        if let evaluated, limit <= evaluated { return continueTraining(now: now) }
        phase = .evaluating(Evaluation(step: limit, dealtAt: now))
        return dealEvaluation(now: now) + advance(now: now)
    }

    // MARK: Evaluation

    /// Hands out the chunks that nobody has, or all that are open.
    mutating func dealEvaluation(again: Bool = false, now: Moment) -> [Action] {
        guard case .evaluating(var evaluation) = phase, readyCount(.worker) > 0 else { return [] }
        let open = (0..<configuration.evaluationChunkCount).filter { chunk in
            guard evaluation.results[chunk] == nil else { return false }
            return again || (evaluation.owners[chunk].map { peers[$0] == nil } ?? true)
        }
        guard !open.isEmpty else { return [] }
        let workers = readyPeers(.worker)
        evaluation.dealtAt = now
        let deal = AssignmentPlanner.contiguous(
            leafCount: open.count,
            candidates: workers.map {
                .init(identity: $0.hello.identity, weight: Double(max(1, $0.hello.threadCount)))
            })
        var actions: [Action] = []
        for worker in workers {
            let chunks = (deal[worker.hello.identity] ?? []).map { open[$0] }
            guard !chunks.isEmpty else { continue }
            for chunk in chunks { evaluation.owners[chunk] = worker.hello.identity }
            let evaluate = Evaluate(step: evaluation.step, chunks: chunks)
            actions.append(.send(.evaluate(evaluate), to: worker.hello.identity))
        }
        phase = .evaluating(evaluation)
        return actions
    }

    mutating func take(_ evaluated: Evaluated, from peer: PeerIdentity, now: Moment) -> [Action] {
        guard case .evaluating(var evaluation) = phase, evaluation.step == evaluated.step else {
            return []
        }
        for result in evaluated.results
        where (0..<configuration.evaluationChunkCount).contains(result.chunk) && result.isPlausible {
            evaluation.results[result.chunk] = result
        }
        phase = .evaluating(evaluation)
        return advance(now: now)
    }

    private mutating func finishEvaluation(_ evaluation: Evaluation, now: Moment) -> [Action] {
        guard evaluation.results.count == configuration.evaluationChunkCount else {
            guard readyCount(.worker) == 0 else {
                waitingSince = nil
                return dealEvaluation(now: now)
            }
            let from = waitingSince ?? now
            waitingSince = from
            return giveUp(waitingFor: "workers", since: from, now: now)
        }
        let results = (0..<configuration.evaluationChunkCount).compactMap { evaluation.results[$0] }
        let summary = EvaluationSummary(
            step: evaluation.step, recordCount: results.reduce(0) { $0 + $1.recordCount },
            correctCount: results.reduce(0) { $0 + $1.correctCount },
            lossSum: results.reduce(0) { $0 + Double(bitPattern: $1.lossBits) },
            trainingSeconds: Self.exactSeconds(training))
        evaluated = evaluation.step
        // The best so far is kept; the shards still rest at it.
        var keepBest: [Action] = []
        if summary.isFinite, summary.correctCount > bestCorrectCount {
            bestCorrectCount = summary.correctCount
            if evaluation.step != lastCheckpoint { keepBest = askForSnapshot() }
        }
        return [.evaluated(summary), .journal(.evaluated(summary))] + keepBest
            + continueTraining(now: now)
    }

    /// On to the next epoch, or to the end.
    private mutating func continueTraining(now: Moment) -> [Action] {
        guard limit < lastStep else { return finish(0, "finished", now: now) }
        limit = nextLimit(after: limit)
        phase = .training(since: now)
        let seconds = Self.exactSeconds(training)
        return [.journal(.limit(limit, trainingSeconds: seconds))] + announceLimit()
    }

    func announceLimit() -> [Action] {
        readyPeers().map { .send(alive, to: $0.hello.identity) }
    }

    // MARK: Checkpoints

    mutating func checkpointed(_ step: Step, now: Moment) -> [Action] {
        lastCheckpoint = max(lastCheckpoint, step)
        // A disk that is slow, but writes, is given the time it takes.
        if case .finishing(_, let exitCode, let reason) = phase {
            phase = .finishing(since: now, exitCode: exitCode, reason: reason)
        }
        return [.journal(.checkpoint(step))] + advance(now: now)
    }

    mutating func checkpointFailed(_ step: Step) -> [Action] {
        guard case .finishing(_, let exitCode, let reason) = phase, step == restingStep else {
            return [.note(.waiting("checkpoint of step \(step) failed; the run goes on"))]
        }
        return end(
            exitCode: exitCode == 0 ? 65 : exitCode,
            reason: "\(reason), but the last checkpoint could not be written")
    }
}
