/// The state of the run, for processes that ask. An answer changes nothing but the count of answers.
extension CoordinatorMachine {
    /// Bounds what questions can cost: the number of answers in a second.
    struct StatusBudget: Hashable, Sendable {
        /// The highest number of answers in a second, which may all come at once.
        static let answersPerSecond = 16
        private var left = answersPerSecond
        private var since = Moment.zero

        /// Returns whether one more answer may be given; a process that gets none asks again.
        mutating func take(now: Moment) -> Bool {
            if now - since >= .seconds(1) {
                since = now
                left = Self.answersPerSecond
            }
            guard left > 0 else { return false }
            left -= 1
            return true
        }
    }

    /// Answers a question about the run, within the budget.
    mutating func answer(
        _ request: StatusRequest, to asker: PeerIdentity, now: Moment
    ) -> [Action] {
        guard statusBudget.take(now: now) else { return [] }
        return [.send(.status(status(from: request.firstMember, now: now)), to: asker)]
    }

    /// Returns what is known now, as a pure function of the machine.
    ///
    /// - Parameters:
    ///   - firstMember: The number of the first member to list; lower ones are left out.
    ///   - now: The present time.
    public func status(from firstMember: Int = 0, now: Moment) -> ClusterStatus {
        let everyone = peers.values
            .sorted { ($0.hello.role.rawValue, $0.ordinal) < ($1.hello.role.rawValue, $1.ordinal) }
        let begin = min(max(0, firstMember), everyone.count)
        let page = everyone[begin..<min(everyone.count, begin + ClusterStatus.maximumPageSize)]
        let shares = hostedShards
        let fastest = everyone.compactMap(\.virtualWorkerMicroseconds).min()
        let atWork = everyone.filter { memberState($0, now: now) == .ready }
        let hosts = Set(atWork.map(\.hello.identity))
        let missing = shards.indices.filter { index in
            !shards[index].isReady || !(shards[index].host.map(hosts.contains) ?? false)
        }
        var evaluatedChunks: Int?
        if case .evaluating(let evaluation) = phase { evaluatedChunks = evaluation.results.count }
        let perEpoch = max(1, configuration.stepsPerEpoch)
        let epochCount = (configuration.totalSteps.value + perEpoch - 1) / perEpoch
        return ClusterStatus(
            run: Self.cut(configuration.run, 128), state: statusState,
            step: lastRecorded.value, stepCount: configuration.totalSteps.value,
            epoch: min(epochCount, lastRecorded.value / perEpoch + 1), epochCount: epochCount,
            imagesPerSecond: recent.imagesPerSecond(now: now),
            lossBits: recent.meanLoss?.bitPattern, rateFactor: course.rates.last?.factor,
            evaluatedChunks: evaluatedChunks,
            evaluationChunkCount: configuration.evaluationChunkCount,
            lastCheckpoint: lastCheckpoint.value, generation: generation.value,
            instructionSet: instructionSet,
            heartbeatMilliseconds: Self.milliseconds(configuration.heartbeatInterval),
            uptimeMilliseconds: Self.milliseconds(now - startedAt), tally: tally,
            changes: changes,
            workerCount: atWork.filter { $0.hello.role == .worker }.count,
            wantedWorkerCount: configuration.workerCount,
            serverCount: atWork.filter { $0.hello.role == .server }.count,
            wantedServerCount: configuration.serverCount, shardCount: shards.count,
            missingShardCount: missing.count, missingShards: IndexRanges.text(missing),
            memberCount: everyone.count, firstMember: begin,
            members: page.map {
                row($0, shards: shares[$0.hello.identity] ?? [], fastest: fastest, now: now)
            })
    }

    private var changes: [String] {
        configuration.history.lines.suffix(ClusterStatus.maximumChangeCount)
            .map { Self.cut($0, 128) }
    }

    private var statusState: ClusterStatus.State {
        switch phase {
        case .gathering: .waiting
        case .recovering: .recovering
        case .placing: shards.contains { $0.host == nil } ? .waiting : .placing
        case .training: readyCount(.worker) == 0 ? .waiting : .training
        case .evaluating: readyCount(.worker) == 0 ? .waiting : .evaluating
        case .holding: .holding
        case .finishing: .finishing
        case .dismissing, .ended: .finished
        }
    }

    /// The shards of each host, ascending.
    var hostedShards: [PeerIdentity: [Int]] {
        var result: [PeerIdentity: [Int]] = [:]
        for index in shards.indices {
            if let host = shards[index].host { result[host, default: []].append(index) }
        }
        return result
    }

    private func memberState(_ peer: Peer, now: Moment) -> MemberStatus.State {
        if now - peer.lastHeard > configuration.heartbeatInterval * 2 { return .silent }
        return peer.state == .ready ? .ready : .preparing
    }

    private func row(
        _ peer: Peer, shards mine: [Int], fastest: Double?, now: Moment
    ) -> MemberStatus {
        let heartbeat = peer.heartbeat
        let version = mine.map { shards[$0].version.value }.min()
        let factor = fastest.flatMap { least in
            peer.virtualWorkerMicroseconds.map { least > 0 ? $0 / least : 1 }
        }
        let isSlow = factor.map { $0 > Self.noise } ?? false
        return MemberStatus(
            identity: peer.hello.identity, name: Self.cut(peer.summary.name, 32),
            role: peer.hello.role, host: Self.cut(peer.hello.host, 64),
            processIdentifier: peer.hello.processIdentifier,
            threadCount: peer.hello.threadCount, state: memberState(peer, now: now),
            virtualWorkers: IndexRanges.text(peer.virtualWorkers.map(\.value)),
            virtualWorkerCount: peer.virtualWorkers.count, shards: IndexRanges.text(mine),
            shardCount: mine.count, generation: heartbeat?.generation.value ?? 0,
            step: peer.hello.role == .worker ? heartbeat?.step.value ?? 0 : version ?? 0,
            lastHeardMilliseconds: Self.milliseconds(now - peer.lastHeard),
            computeMicroseconds: peer.busyHeartbeat?.computeMicroseconds,
            inputMicroseconds: peer.busyHeartbeat?.inputMicroseconds,
            waitMicroseconds: peer.busyHeartbeat?.waitMicroseconds,
            residentByteCount: heartbeat?.residentByteCount,
            slowPhase: isSlow ? peer.slowPhase : nil, slowFactor: factor)
    }

    private static func milliseconds(_ duration: Duration) -> Int {
        Int(min(max(0, duration / .milliseconds(1)), 1e15))
    }

    /// Returns the beginning of a text that came over the network: at most this many bytes, whole
    /// characters only.
    private static func cut(_ text: String, _ byteCount: Int) -> String {
        var kept = ""
        for character in text {
            guard kept.utf8.count + character.utf8.count <= byteCount else { break }
            kept.append(character)
        }
        return kept
    }
}
