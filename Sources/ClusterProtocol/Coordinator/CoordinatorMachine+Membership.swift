/// Membership: joining, readiness, loss, and the shares of the work.
extension CoordinatorMachine {
    /// Returns whether a process has joined and was found fit.
    public func isMember(_ peer: PeerIdentity) -> Bool { peers[peer]?.state == .ready }

    /// Welcomes or refuses a process.
    mutating func join(
        _ hello: Hello, from peer: PeerIdentity, over connection: Connection, now: Moment
    ) -> [Action] {
        guard hello.identity == peer else { return [.note(.unexpected(kind: "hello", peer))] }
        if peers[peer] != nil {
            // The hello was sent again because the answer was slow or lost.
            peers[peer]?.lastHeard = now
            return [.send(.welcome(welcome), to: peer)]
        }
        if let failure = refusal(of: hello) ?? refusal(of: hello, over: connection) {
            return [.note(.refused(peer, failure)), .send(.refused(failure), to: peer)]
        }
        let ordinal = nextOrdinal[hello.role, default: 0] + 1
        nextOrdinal[hello.role] = ordinal
        let member = Peer(hello: hello, ordinal: ordinal, lastHeard: now)
        peers[peer] = member
        return [
            .note(.joined(member.summary)),
            .journal(
                .joined(
                    peer: peer, role: hello.role, host: hello.host,
                    processIdentifier: hello.processIdentifier)),
            .send(.welcome(welcome), to: peer),
        ]
    }

    private var welcome: Welcome {
        Welcome(
            run: configuration.run, configuration: configuration.configurationText,
            bulkEndpoint: configuration.bulkEndpoint, backend: configuration.backend,
            data: configuration.data, dataEndpoint: configuration.dataEndpoint,
            isUnfrozen: configuration.isUnfrozen)
    }

    /// Returns why a process may not take part; nil when it may. Only equal builds compute equal
    /// contributions.
    private func refusal(of hello: Hello) -> Failure? {
        func refuse(_ what: String, _ theirs: String, _ ours: String) -> Failure {
            Failure(
                text: "the coordinator refused this \(hello.role.rawValue): its \(what) is "
                    + "\(theirs), the run's is \(ours)", exitCode: ExitCode.data)
        }
        if hello.protocolVersion != ControlMessage.version {
            return refuse(
                "protocol version", "\(hello.protocolVersion)", "\(ControlMessage.version)")
        }
        if hello.build != configuration.build {
            return refuse("build", hello.build, configuration.build)
        }
        if hello.role == .coordinator {
            return Failure(text: "a run has one coordinator", exitCode: ExitCode.data)
        }
        if !(0...Hello.maximumThreadCount).contains(hello.threadCount) {
            return refuse(
                "count of threads", "\(hello.threadCount)", "at most \(Hello.maximumThreadCount)")
        }
        if peers.count >= configuration.maximumPeerCount {
            return refuse("place", "number \(peers.count + 1)", "full")
        }
        guard hello.role == .worker else { return nil }
        if InstructionSet.rank(hello.instructionSet) < 0 {
            return refuse(
                "instruction set", hello.instructionSet,
                "one of \(InstructionSet.ascending.joined(separator: ", "))")
        }
        if !hello.backends.contains(configuration.backend) {
            return refuse(
                "list of backends", hello.backends.joined(separator: ","), configuration.backend)
        }
        if let instructionSet, !InstructionSet.supports(hello.instructionSet, instructionSet) {
            return refuse("instruction set", hello.instructionSet, instructionSet)
        }
        return nil
    }

    /// Returns why other members could not reach the process's shards at the place that it announces;
    /// nil when they can.
    private func refusal(of hello: Hello, over connection: Connection) -> Failure? {
        func refuse(_ why: String) -> Failure {
            Failure(
                text: "the coordinator refused this \(hello.role.rawValue) on \(hello.host): \(why)",
                exitCode: ExitCode.data)
        }
        if let key = connection.publicKey, hello.publicKey != key {
            return refuse("the key it announces is not the one it connected with")
        }
        guard let text = hello.bulkEndpoint else { return nil }
        guard let endpoint = Endpoint(text), endpoint.isReachable else {
            return refuse("its shards cannot be reached at \(text.prefix(100))")
        }
        guard endpoint.isLocal else { return nil }
        if !connection.isFromThisHost {
            return refuse(
                "it announces \(endpoint), which only its own host can reach; start it with "
                    + "--bind or --announce and an address that other hosts reach")
        }
        let hostsShards = hello.role == .server || configuration.serverCount == 0
        guard let open = configuration.openEndpoint, hostsShards else { return nil }
        return refuse(
            "it announces \(endpoint), which only this host can reach, but the run is open to "
                + "others at \(open); start it with --coordinator \(open)")
    }

    /// Takes a process in that has loaded what it needs, or refuses it when it has loaded something
    /// else than the run's.
    mutating func becomeReady(_ peer: PeerIdentity, _ ready: Ready, now: Moment) -> [Action] {
        guard let member = peers[peer], member.state == .preparing else {
            return sendAssignment(to: peer)
        }
        func refuse(_ what: String, _ theirs: String, _ ours: String) -> [Action] {
            let failure = Failure(
                text: "the coordinator refused this \(member.hello.role.rawValue): its \(what) "
                    + "\(theirs) is not the run's \(ours)", exitCode: ExitCode.data)
            _ = remove(peer)
            return [.note(.refused(peer, failure)), .send(.refused(failure), to: peer)]
        }
        if let data = ready.dataFingerprint, data != configuration.data.fingerprint {
            return refuse("data fingerprint", data, configuration.data.fingerprint)
        }
        if ready.modelFingerprint != configuration.modelFingerprint {
            return refuse("model", ready.modelFingerprint, configuration.modelFingerprint)
        }
        if let former = configuration.formerSettingsFingerprint, ready.settingsFingerprint == former {
            _ = remove(peer)
            return [.send(.shutdown(Self.nextPlan), to: peer)]
        }
        if ready.settingsFingerprint != configuration.settingsFingerprint {
            return refuse(
                "settings (fingerprint)", ready.settingsFingerprint,
                "\(configuration.settingsFingerprint); they were changed, start it anew")
        }
        makeReady(peer)
        var actions: [Action] = [.note(.ready(member.summary))]
        switch phase {
        case .training where member.hello.role == .worker,
            .evaluating where member.hello.role == .worker:
            actions += assign(rebalanced: true)
        case .gathering, .recovering, .placing, .training, .holding, .evaluating, .finishing,
            .dismissing, .ended:
            break
        }
        return actions + advance(now: now)
    }

    /// Takes in a heartbeat, and sends again what the heartbeat shows to be lost.
    mutating func hear(
        _ heartbeat: Heartbeat, from peer: PeerIdentity, now: Moment
    ) -> [Action] {
        peers[peer]?.heartbeat = heartbeat
        // Doubles cannot overflow; the numbers came over the network.
        let time = Double(heartbeat.computeMicroseconds) + Double(heartbeat.inputMicroseconds)
        if time > 0 {
            peers[peer]?.busyHeartbeat = heartbeat
            let former = peers[peer]?.virtualWorkerMicroseconds ?? time
            peers[peer]?.virtualWorkerMicroseconds = (former + time) / 2
            areSpeedsNew = true
        }
        guard let member = peers[peer] else { return [] }
        if member.state == .preparing {
            return heartbeat.isReady ? [.send(.introduce(Introduce()), to: peer)] : []
        }
        return heartbeat.generation < generation ? sendAssignment(to: peer) : []
    }

    /// Sends a worker its present assignment again.
    private func sendAssignment(to peer: PeerIdentity) -> [Action] {
        guard let member = peers[peer], member.state == .ready, member.hello.role == .worker else {
            return []
        }
        switch phase {
        case .training, .evaluating, .holding, .finishing:
            let message = assignment(for: member, placements: placements)
            return [.send(.assignment(message), to: peer)]
        case .gathering, .recovering, .placing, .dismissing, .ended: return []
        }
    }

    /// The reason in the journal when a member leaves because its user stopped it.
    static let leftReason = "left"

    /// Lets a member go that its user has stopped.
    mutating func leave(_ peer: PeerIdentity, now: Moment) -> [Action] {
        guard let member = peers[peer] else { return [] }
        let goodbye = Shutdown(reason: "left the run", exitCode: ExitCode.done)
        return [.note(.left(member.summary))] + lose(peer, reason: Self.leftReason, now: now)
            + [.send(.shutdown(goodbye), to: peer)]
    }

    /// Takes note that a member has failed. While the run gathers its members for the first time, the
    /// failure ends the run.
    mutating func failed(_ peer: PeerIdentity, _ failure: Failure, now: Moment) -> [Action] {
        if case .gathering = phase, !configuration.membersRejoin {
            return end(exitCode: failure.exitCode, reason: failure.text)
        }
        return lose(peer, reason: failure.text, now: now)
    }

    /// Removes a member, and gives its work to others.
    mutating func lose(_ peer: PeerIdentity, reason: String, now: Moment) -> [Action] {
        // The member's audits end with it too: without a new assignment, a virtual worker that it
        // was to check would wait for its result without end.
        let hadDuties = peers[peer].map(hasDuties)
        guard let member = remove(peer), let hadDuties else { return [] }
        var actions: [Action] = [
            .journal(.lost(peer: peer, reason: reason)),
            .note(
                .lost(
                    member.summary, reason: reason, moved: member.virtualWorkers,
                    step: lastRecorded)),
        ]
        if case .holding(var holding) = phase {
            holding.waiting.remove(peer)
            phase = .holding(holding)
        }
        actions += loseShards(of: member, now: now)
        switch phase {
        case .training, .holding:
            if hadDuties { actions += assign(rebalanced: false) }
        case .evaluating:
            if hadDuties { actions += assign(rebalanced: false) }
            actions += dealEvaluation(now: now)
        case .gathering, .recovering, .placing, .finishing, .dismissing, .ended: break
        }
        return actions + advance(now: now)
    }

    /// Workers with their measured speeds; a worker that has not worked yet counts as average.
    var candidates: [AssignmentPlanner.Candidate] {
        let workers = readyPeers(.worker)
        let known = workers.compactMap(\.virtualWorkerMicroseconds)
        let mean = known.isEmpty ? 1 : known.reduce(0, +) / Double(known.count)
        return workers.map { worker in
            let threads = Double(max(1, worker.hello.threadCount))
            let speed = threads / (worker.virtualWorkerMicroseconds ?? mean)
            return .init(identity: worker.hello.identity, weight: speed)
        }
    }

    /// Gives every worker its share under a new generation.
    ///
    /// - Parameters:
    ///   - rebalanced: Whether to deal all virtual workers anew, from a step a little ahead. Otherwise
    ///     only those that no worker has are dealt, and the deal holds at once.
    ///   - isFresh: Whether no worker has anything yet, so that a new deal may hold at once.
    mutating func assign(rebalanced: Bool, isFresh: Bool = false) -> [Action] {
        let all = configuration.tree.virtualWorkers
        let interim = AssignmentPlanner.completed(
            peers.mapValues(\.virtualWorkers), of: all, candidates: candidates)
        let deal =
            rebalanced ? AssignmentPlanner.contiguous(all, candidates: candidates) : interim
        for identity in peers.keys.sorted() {
            peers[identity]?.virtualWorkers = deal[identity] ?? []
            let isLater = rebalanced && !isFresh
            peers[identity]?.interimVirtualWorkers = (isLater ? interim : deal)[identity] ?? []
        }
        generation = generation.next
        let workers = readyPeers(.worker)
        relayGroups = planRelays(for: workers)
        let names = workers.map { ($0.summary.name, $0.virtualWorkers) }
        let byName = Dictionary(names) { $1 }
        var actions: [Action] = [
            .journal(.assigned(generation: generation, virtualWorkers: byName)),
            .note(.assigned(generation, byName)),
        ]
        if !relayGroups.isEmpty { actions.append(.note(.relayed(relayGroups))) }
        dealtFrom = rebalanced && !isFresh ? Step(lastRecorded.value + 2) : Step(0)
        let placements = self.placements
        for peer in workers {
            let message = assignment(for: peer, placements: placements)
            actions.append(.send(.assignment(message), to: peer.hello.identity))
        }
        return actions
    }

    /// Returns the worker whose virtual workers another worker audits: the one before it.
    private func audited(by peer: Peer) -> Peer? {
        let workers = readyOrder[.worker] ?? []
        guard workers.count > 1, let index = readyIndex(of: peer) else { return nil }
        return peers[workers[(index + workers.count - 1) % workers.count]]
    }

    /// Whether steps to come wait for something that a worker computes: by the newest deal, or by
    /// the one before it as long as that holds.
    private func hasDuties(_ peer: Peer) -> Bool {
        let shares = [peer, audited(by: peer)].compactMap { $0 }
        return shares.contains {
            !$0.virtualWorkers.isEmpty
                || lastRecorded < dealtFrom && !$0.interimVirtualWorkers.isEmpty
        }
    }

    private func assignment(for peer: Peer, placements: [ShardPlacement]) -> Assignment {
        let audited = audited(by: peer)
        return Assignment(
            generation: generation, virtualWorkers: peer.virtualWorkers,
            interimVirtualWorkers: peer.interimVirtualWorkers, fromStep: dealtFrom,
            auditedVirtualWorkers: audited?.virtualWorkers ?? [],
            interimAuditedVirtualWorkers: audited?.interimVirtualWorkers ?? [],
            stepLimit: limit, shards: placements, placement: placement,
            instructionSet: instructionSet ?? "generic",
            relayGroups: relayGroups(with: peer.virtualWorkers + peer.interimVirtualWorkers))
    }

    // MARK: Relays

    /// Returns the relay groups for these workers. Where every worker hosts a shard, each hears only
    /// its share and relays would not help.
    private func planRelays(for workers: [Peer]) -> [RelayGroup] {
        guard configuration.serverCount > 0 else { return [] }
        let hosts = Set(workers.map(\.hello.host))
        let usual = hosts.count > 1 ? RelayPlanner.usualFanIn : 0
        return RelayPlanner.groups(
            tree: configuration.tree,
            workers: workers.map { worker in
                RelayPlanner.Worker(
                    member: relay(worker.hello, onOneHost: hosts.count == 1),
                    share: worker.virtualWorkers)
            }, fanIn: configuration.fanIn ?? usual)
    }

    /// Returns how other workers connect to a worker; nil when they cannot.
    private func relay(_ hello: Hello, onOneHost: Bool) -> RelayGroup.Member? {
        guard let text = hello.bulkEndpoint, let endpoint = Endpoint(text),
            onOneHost || !endpoint.isLocal
        else { return nil }
        return RelayGroup.Member(
            identity: hello.identity, endpoint: text, publicKey: hello.publicKey)
    }

    /// Returns the groups that have some of these virtual workers below them.
    private func relayGroups(with virtualWorkers: [VirtualWorkerIndex]) -> [RelayGroup] {
        guard let level = relayGroups.first?.node.level else { return [] }
        let wanted = Set(virtualWorkers.map { $0.value >> level })
        return relayGroups.filter { wanted.contains($0.node.index) }
    }
}
