/// How a run ends: stopped by its user, finished, or given up.
extension CoordinatorMachine {
    /// Stops the run. Workers that train first agree on the step at which they all can rest.
    mutating func requestStop(now: Moment) -> [Action] {
        if let stop, divergence != nil, phase != .ended {
            // The run was on its way back to finite weights, and ends with its last checkpoint instead.
            return end(exitCode: stop.exitCode, reason: stop.reason)
        }
        guard stop == nil else { return [] }
        stop = (ExitCode.interrupted, "interrupted")
        switch phase {
        case .gathering, .placing, .recovering:
            return end(exitCode: ExitCode.interrupted, reason: "interrupted before training")
        case .evaluating: return finish(ExitCode.interrupted, "interrupted", now: now)
        case .training(let since):
            let workers = readyPeers(.worker)
            guard !workers.isEmpty else { return finish(ExitCode.interrupted, "interrupted", now: now) }
            holdCount += 1
            phase = .holding(
                Holding(
                    number: holdCount, trainingSince: since,
                    waiting: Set(workers.map(\.hello.identity)), highest: nil))
            return workers.map { .send(.hold(Hold(number: holdCount)), to: $0.hello.identity) }
        case .holding, .finishing, .dismissing, .ended: return []
        }
    }

    /// Takes in a worker's answer to `hold`.
    mutating func held(
        _ answer: ClusterProtocol.Holding, by peer: PeerIdentity, now: Moment
    ) -> [Action] {
        guard case .holding(var holding) = phase, holding.number == answer.number else { return [] }
        holding.waiting.remove(peer)
        holding.highest = max(holding.highest ?? answer.step, answer.step)
        phase = .holding(holding)
        return advance(now: now)
    }

    /// Ends the holding phase once each worker has said which step it will not begin.
    ///
    /// The highest of these steps becomes the limit, and all workers get there. Shards may be beyond a
    /// lower one already, if others helped a late worker.
    mutating func finishHolding(_ holding: Holding, now: Moment) -> [Action] {
        guard holding.waiting.isEmpty else { return [] }
        phase = .training(since: holding.trainingSince)
        if let highest = holding.highest { limit = min(limit, highest) }
        return [.note(.stopping(step: limit))] + announceLimit() + assign(rebalanced: false)
            + advance(now: now)
    }

    /// Takes the last checkpoint, then ends the run.
    mutating func finish(_ exitCode: Int, _ reason: String, now: Moment) -> [Action] {
        phase = .finishing(since: now, exitCode: exitCode, reason: reason)
        guard restingStep != lastCheckpoint else { return advance(now: now) }
        lastAsked = now
        return askForSnapshot()
    }

    /// Asks all hosts of shards for their state, if all shards are at the same version.
    func askForSnapshot() -> [Action] {
        guard let step = restingStep else { return [] }
        let hosts = Set(shards.compactMap(\.host)).sorted()
        return hosts.map { .send(.snapshot(Snapshot(step: step)), to: $0) }
    }

    /// Ends the run.
    ///
    /// The journal line comes first: once members were sent home, a coordinator that takes over could
    /// not go on.
    mutating func end(exitCode: Int, reason: String) -> [Action] {
        phase = .ended
        var (exitCode, reason) = (exitCode, reason)
        let endsPlan =
            configuration.goesOn && exitCode == ExitCode.done && course.end == nil
            && lastCheckpoint == configuration.totalSteps
        // A stop that came while the last checkpoint of the plan was written is a stop of the run.
        if endsPlan, let stop { (exitCode, reason) = stop }
        let goesOn = endsPlan && stop == nil
        let goodbye =
            goesOn
            ? Self.nextPlan
            : Shutdown(
                reason: reason,
                exitCode: exitCode == ExitCode.interrupted ? exitCode : ExitCode.done)
        let outcome = Outcome(
            step: lastCheckpoint, exitCode: exitCode, reason: reason,
            trainingSeconds: Self.exactSeconds(training),
            workerCount: workerCountAtEnd ?? readyCount(.worker),
            instructionSet: instructionSet ?? "generic", goesOn: goesOn)
        return [.journal(.finished(step: lastCheckpoint, exitCode: exitCode))]
            + peers.keys.sorted().map { .send(.shutdown(goodbye), to: $0) } + [.end(outcome)]
    }

    /// What members of a run are told that goes on with another plan.
    static let nextPlan = Shutdown(
        reason: "the run goes on with another plan", exitCode: ExitCode.done, rejoins: true)

    /// Tells each process that speaks that the run is over.
    ///
    /// The coordinator waits no longer than members take to find it, which is three heartbeats.
    mutating func dismiss(
        _ event: Event, since: Moment, count: Int, told: Set<PeerIdentity>, now: Moment
    ) -> [Action] {
        let reason = endReason
        var told = told
        var actions: [Action] = []
        switch event {
        case .message(.statusRequest(let request), let asker, _):
            return answer(request, to: asker, now: now)
        case .message(_, let peer, _):
            if told.count < configuration.maximumPeerCount { told.insert(peer) }
            actions = [.send(.shutdown(Shutdown(reason: reason, exitCode: ExitCode.done)), to: peer)]
        case .stopRequested: return end(exitCode: ExitCode.done, reason: reason)
        case .tick: break
        case .disconnected, .snapshotArrived, .checkpointWritten, .checkpointFailed,
            .checkpointNotFinite:
            return []
        }
        phase = .dismissing(since: since, count: count, told: told)
        let isOver = told.count >= count || now - since > configuration.heartbeatInterval * 3
        return actions + (isOver ? end(exitCode: ExitCode.done, reason: reason) : [])
    }

    // MARK: Waiting

    /// Ends the run when it has waited too long; before that, notes what it waits for.
    mutating func giveUp(
        waitingFor what: String, since: Moment, now: Moment
    ) -> [Action] {
        let limit = configuration.lossTimeout
        guard now - since > limit else {
            guard now - since > .seconds(3) else { return [] }
            return notice("waiting for \(what), at most \(limit)", now: now)
        }
        let reason = "gave up after waiting \(limit) for \(what)"
        if let stop, divergence != nil { return end(exitCode: stop.exitCode, reason: stop.reason) }
        // The weights reached so far are kept if all shards are at the same version.
        if case .training = phase, restingStep != nil, restingStep != lastCheckpoint {
            return finish(ExitCode.lost, reason, now: now)
        }
        return end(exitCode: ExitCode.lost, reason: reason)
    }

    /// Notes what the run waits for, at most once in five seconds.
    mutating func notice(_ text: String, now: Moment) -> [Action] {
        if let lastNotice, now - lastNotice < .seconds(5) { return [] }
        lastNotice = now
        return [.note(.waiting(text))]
    }
}
