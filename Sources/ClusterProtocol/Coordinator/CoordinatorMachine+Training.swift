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
            // An earlier checkpoint is good enough for a run that is cut short, but not for one whose
            // numbers are no longer finite: that run ends with the last finite weights.
            let patience = max(.seconds(3), configuration.heartbeatInterval * 3)
            if exitCode != ExitCode.done, divergence == nil, now - since > patience {
                return end(exitCode: exitCode, reason: reason)
            }
            return giveUp(waitingFor: "the last checkpoint", since: since, now: now)
        case .dismissing, .ended: return []
        }
    }

    /// The version of all shards; nil when they are at different versions.
    var restingStep: Step? {
        guard let first = shards.first?.version else { return nil }
        return shards.allSatisfy { $0.version == first } ? first : nil
    }

    /// Whether all shards have reached the limit. Every report of progress asks for it, and the first
    /// shard mostly has the answer.
    private var isRestingAtLimit: Bool {
        shards.first?.version == limit && shards.allSatisfy { $0.version == limit }
    }

    // MARK: Beginning

    /// Begins the run once enough workers and servers are ready, or the time to wait for more is up.
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

    /// Goes on with the run of an earlier coordinator once all its members have come back, or the time
    /// for that is up.
    ///
    /// Members that are still at work come back by themselves, and the run goes on where it is. If a
    /// slice did not come back, the run goes back to a checkpoint.
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
        // The placement is announced once more: shards in place answer at once, and a shard whose state
        // was still on its way goes on waiting for it.
        for (index, host) in recovery.hosts.enumerated() {
            shards[index] = Shard(host: host, version: lastCheckpoint)
        }
        placementStep = recovery.placementStep
        phase = .placing(since: now, waiting: Set(configuration.plan.shards))
        return [.journal(.tookOver)] + hostMessages()
    }

    /// Places the shards that have no host; gives up when no process can host them or their state does
    /// not arrive.
    private mutating func awaitHosts(since: Moment, now: Moment) -> [Action] {
        guard shards.contains(where: { $0.host == nil }) else {
            return giveUp(waitingFor: "the shards' state to arrive", since: since, now: now)
        }
        let placed = place(now: now)
        if placed.isEmpty { return giveUp(waitingFor: "servers", since: since, now: now) }
        return placed
    }

    /// Tells members the limit, and deals the virtual workers.
    private mutating func beginTraining(now: Moment) -> [Action] {
        phase = .training(since: now)
        let workers = readyPeers(.worker)
        let plan = Plan(
            workers: workers.count, threads: workers.reduce(0) { $0 + $1.hello.threadCount },
            instructionSet: instructionSet ?? "generic", shardCount: shards.count)
        // The coordinator before this one may have died before it kept the best weights, at which the
        // shards still rest.
        let isBest = restingStep != nil && restingStep == bestStep && bestStep != lastCheckpoint
        return [.began(plan), .journal(.limit(limit, trainingSeconds: Self.exactSeconds(training)))]
            + (isBest ? askForSnapshot() : []) + announceLimit() + assign(rebalanced: true, isFresh: true)
            + advance(now: now)
    }

    // MARK: Training

    /// Rests at the limit; without workers, waits for some.
    private mutating func train(since: Moment, now: Moment) -> [Action] {
        if isRestingAtLimit {
            training += now - since
            return rest(now: now)
        }
        guard readyCount(.worker) == 0 else {
            waitingSince = nil
            return []
        }
        // The run is to stop, and no worker is left that could finish the step.
        if let stop, divergence == nil {
            training += now - since
            return finish(stop.exitCode, stop.reason, now: now)
        }
        let from = waitingSince ?? now
        waitingSince = from
        return giveUp(waitingFor: "workers", since: from, now: now)
    }

    /// Decides what follows when all shards have reached the limit.
    private mutating func rest(now: Moment) -> [Action] {
        if let stop {
            // An epoch may end on the way to the last finite weights.
            if divergence != nil, limit < lastStep { return continueTraining(now: now) }
            return finish(stop.exitCode, stop.reason, now: now)
        }
        if let evaluated, limit <= evaluated { return continueTraining(now: now) }
        phase = .evaluating(Evaluation(step: limit, dealtAt: now))
        return dealEvaluation(now: now) + advance(now: now)
    }

    // MARK: Evaluation

    /// Deals the chunks of the test records that no present worker has.
    ///
    /// - Parameters:
    ///   - again: Whether to deal all chunks without a result, even those that a worker has.
    ///   - now: The present time.
    mutating func dealEvaluation(again: Bool = false, now: Moment) -> [Action] {
        guard case .evaluating(var evaluation) = phase, readyCount(.worker) > 0 else { return [] }
        let open = configuration.evaluationChunks.filter { chunk in
            guard evaluation.results[chunk] == nil else { return false }
            return again || (evaluation.owners[chunk].map { peers[$0] == nil } ?? true)
        }
        guard !open.isEmpty else { return [] }
        let workers = readyPeers(.worker)
        evaluation.dealtAt = now
        let deal = AssignmentPlanner.contiguous(
            open,
            candidates: workers.map {
                .init(identity: $0.hello.identity, weight: Double(max(1, $0.hello.threadCount)))
            })
        var actions: [Action] = []
        for worker in workers {
            guard let chunks = deal[worker.hello.identity], !chunks.isEmpty else { continue }
            for chunk in chunks { evaluation.owners[chunk] = worker.hello.identity }
            let evaluate = Evaluate(step: evaluation.step, chunks: chunks)
            actions.append(.send(.evaluate(evaluate), to: worker.hello.identity))
        }
        phase = .evaluating(evaluation)
        return actions
    }

    /// Takes in a worker's results of an evaluation.
    mutating func take(_ evaluated: Evaluated, from peer: PeerIdentity, now: Moment) -> [Action] {
        guard case .evaluating(var evaluation) = phase, evaluation.step == evaluated.step else {
            return []
        }
        for result in evaluated.results
        where configuration.evaluationChunks.contains(result.chunk) && result.isPlausible {
            evaluation.results[result.chunk] = result
        }
        phase = .evaluating(evaluation)
        return advance(now: now)
    }

    /// Adds the results up once all chunks are evaluated, in chunk order.
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
        let results = configuration.evaluationChunks.compactMap { evaluation.results[$0] }
        var summary = EvaluationSummary(
            step: evaluation.step, recordCount: results.reduce(0) { $0 + $1.recordCount },
            correctCount: results.reduce(0) { $0 + $1.correctCount },
            lossSum: results.reduce(0) { $0 + Double(bitPattern: $1.lossBits) },
            trainingSeconds: Self.exactSeconds(training))
        evaluated = evaluation.step
        let notes = judge(&summary)
        // The best weights so far are kept in a checkpoint; the shards still rest at them.
        var keepBest: [Action] = []
        if course.isBest(summary, bestCorrectCount: bestCorrectCount) {
            bestCorrectCount = summary.correctCount
            if evaluation.step != lastCheckpoint { keepBest = askForSnapshot() }
        }
        return [.evaluated(summary), .journal(.evaluated(summary))] + notes + keepBest
            + continueTraining(now: now)
    }

    /// Decides what follows from an evaluation. Only the end of an epoch is judged, so that a run
    /// that is taken further decides as one that went there at once.
    private mutating func judge(_ summary: inout EvaluationSummary) -> [Action] {
        guard summary.recordCount > 0,
            summary.step.value.isMultiple(of: configuration.stepsPerEpoch)
        else { return [] }
        let known = course.rates.count
        summary.judgement = configuration.rules.judge(summary, after: course.last)
        course.add(summary)
        var notes: [Action] = []
        if course.rates.count > known, let change = course.rates.last {
            notes.append(.note(.rateReduced(change)))
        }
        if course.end != nil {
            let best = course.last?.stopping?.bestStep ?? summary.step
            notes.append(.note(.endingEarly(endReason, best: best)))
        }
        return notes
    }

    /// Goes on to the next limit, or to the end of the run.
    private mutating func continueTraining(now: Moment) -> [Action] {
        guard limit < lastStep else { return finish(0, endReason, now: now) }
        limit = nextLimit(after: limit)
        phase = .training(since: now)
        let seconds = Self.exactSeconds(training)
        return [.journal(.limit(limit, trainingSeconds: seconds))] + announceLimit()
    }

    /// Tells all members the step limit.
    func announceLimit() -> [Action] {
        readyPeers().map { .send(alive, to: $0.hello.identity) }
    }

    // MARK: Checkpoints

    /// Takes note that a checkpoint is on disk.
    mutating func checkpointed(_ step: Step, now: Moment) -> [Action] {
        lastCheckpoint = max(lastCheckpoint, step)
        // A disk that is slow but does write gets the time it needs.
        if case .finishing(_, let exitCode, let reason) = phase {
            phase = .finishing(since: now, exitCode: exitCode, reason: reason)
        }
        return [.journal(.checkpoint(step))] + advance(now: now)
    }

    /// Takes note that a checkpoint could not be written; the run ends if it was the last one.
    mutating func checkpointFailed(_ step: Step) -> [Action] {
        guard case .finishing(_, let exitCode, let reason) = phase, step == restingStep else {
            return [.note(.waiting("checkpoint of step \(step) failed; the run goes on"))]
        }
        return end(
            exitCode: exitCode == ExitCode.done ? ExitCode.data : exitCode,
            reason: "\(reason), but the last checkpoint could not be written")
    }
}
