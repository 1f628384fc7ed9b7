/// How a run ends: asked to stop, finished, or given up.
extension CoordinatorMachine {
    mutating func requestStop(now: Moment) -> [Action] {
        if let stop, divergence != nil, phase != .ended {
            // It was on its way back to finite weights; the last checkpoint will do.
            return end(exitCode: stop.exitCode, reason: stop.reason)
        }
        guard stop == nil else { return [] }
        stop = (130, "interrupted")
        switch phase {
        case .gathering, .placing, .recovering:
            return end(exitCode: 130, reason: "interrupted before training")
        case .evaluating: return finish(130, "interrupted", now: now)
        case .training(let since):
            let workers = readyPeers(.worker)
            guard !workers.isEmpty else { return finish(130, "interrupted", now: now) }
            holdCount += 1
            phase = .holding(
                Holding(
                    number: holdCount, trainingSince: since,
                    waiting: Set(workers.map(\.hello.identity)), highest: nil))
            return workers.map { .send(.hold(Hold(number: holdCount)), to: $0.hello.identity) }
        case .holding, .finishing, .dismissing, .ended: return []
        }
    }

    mutating func held(
        _ answer: ClusterProtocol.Holding, by peer: PeerIdentity, now: Moment
    ) -> [Action] {
        guard case .holding(var holding) = phase, holding.number == answer.number else { return [] }
        holding.waiting.remove(peer)
        holding.highest = max(holding.highest ?? answer.step, answer.step)
        phase = .holding(holding)
        return advance(now: now)
    }

    /// Everyone has said which step they will not begin: nobody goes beyond the highest of these, and
    /// all get to it. A lower one may be behind the shards already, if others helped who is late.
    mutating func finishHolding(_ holding: Holding, now: Moment) -> [Action] {
        guard holding.waiting.isEmpty else { return [] }
        phase = .training(since: holding.trainingSince)
        if let highest = holding.highest { limit = min(limit, highest) }
        return [.note(.stopping(step: limit))] + announceLimit() + assign(rebalanced: false)
            + advance(now: now)
    }

    /// Takes the last checkpoint, then ends.
    mutating func finish(_ exitCode: Int, _ reason: String, now: Moment) -> [Action] {
        phase = .finishing(since: now, exitCode: exitCode, reason: reason)
        guard restingStep != lastCheckpoint else { return advance(now: now) }
        lastAsked = now
        return askForSnapshot()
    }

    func askForSnapshot() -> [Action] {
        guard let step = restingStep else { return [] }
        let hosts = Set(shards.compactMap(\.host)).sorted()
        return hosts.map { .send(.snapshot(Snapshot(step: step)), to: $0) }
    }

    /// The journal first: once members were sent home, a coordinator that takes over could not go
    /// on.
    mutating func end(exitCode: Int, reason: String) -> [Action] {
        phase = .ended
        let goodbye = Shutdown(reason: reason, exitCode: exitCode == 130 ? 130 : 0)
        let outcome = Outcome(
            step: lastCheckpoint, exitCode: exitCode, reason: reason,
            trainingSeconds: Self.exactSeconds(training),
            workerCount: workerCountAtEnd ?? readyCount(.worker),
            instructionSet: instructionSet ?? "generic")
        return [.journal(.finished(step: lastCheckpoint, exitCode: exitCode))]
            + peers.keys.sorted().map { .send(.shutdown(goodbye), to: $0) } + [.end(outcome)]
    }

    /// The run is over, and whoever speaks is told so; nobody is waited for longer than it takes
    /// members to find a coordinator.
    mutating func dismiss(
        _ event: Event, since: Moment, count: Int, told: Set<PeerIdentity>, now: Moment
    ) -> [Action] {
        let reason = "finished"
        var told = told
        var actions: [Action] = []
        switch event {
        case .message(.statusRequest(let request), let asker, _):
            return answer(request, to: asker, now: now)
        case .message(_, let peer, _):
            if told.count < configuration.maximumPeerCount { told.insert(peer) }
            actions = [.send(.shutdown(Shutdown(reason: reason, exitCode: 0)), to: peer)]
        case .stopRequested: return end(exitCode: 0, reason: reason)
        case .tick: break
        case .disconnected, .snapshotArrived, .checkpointWritten, .checkpointFailed,
            .checkpointNotFinite:
            return []
        }
        phase = .dismissing(since: since, count: count, told: told)
        let isOver = told.count >= count || now - since > configuration.heartbeatInterval * 3
        return actions + (isOver ? end(exitCode: 0, reason: reason) : [])
    }

    // MARK: Waiting

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
        // What has been reached is kept, if the slices are whole.
        if case .training = phase, restingStep != nil, restingStep != lastCheckpoint {
            return finish(69, reason, now: now)
        }
        return end(exitCode: 69, reason: reason)
    }

    mutating func notice(_ text: String, now: Moment) -> [Action] {
        if let lastNotice, now - lastNotice < .seconds(5) { return [] }
        lastNotice = now
        return [.note(.waiting(text))]
    }
}
