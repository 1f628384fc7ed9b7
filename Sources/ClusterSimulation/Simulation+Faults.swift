import ClusterProtocol
import CounterRandom

/// Injects faults: crashes, hangs, pauses, stalls of the disk, and links that are cut or clogged.
extension Simulation {
    mutating func crash(_ peer: PeerIdentity) {
        guard let member = members.removeValue(forKey: peer) else { return }
        crashes += 1
        note("crash \(peer)")
        // Some processes notice the reset at once, others only by silence.
        for observer in [coordinatorIdentity] + members.keys.sorted()
        where random.nextUniform() < 0.7 {
            queue.insert(.closed(peer, seenBy: observer), at: now + delay())
        }
        queue.insert(.start(member.role), at: now + .milliseconds(random.next(below: 4000)))
    }

    mutating func crashCoordinator() {
        crashes += 1
        note("crash coordinator")
        isCoordinatorDown = true
        isToDieInAction = false
        incarnation += 1
        for step in writing.sorted() {
            guard settings.faults.tornWriteProbability > 0, let state = arrived[step] else { break }
            note("checkpoint \(step) is torn")
            tornCheckpoints += 1
            disk.tear(state, step: step, pieceCount: random.next(below: state.count))
        }
        // Some of the lines on their way to the disk have reached it, in order.
        if !unwritten.isEmpty {
            for entry in unwritten.prefix(random.next(below: unwritten.count + 1)) {
                disk.append(entry)
            }
            unwritten = []
        }
        gate = DurabilityGate()
        coordinatorPausesUntil = .zero
        writing = []
        queue.insert(.restartCoordinator, at: now + .milliseconds(50 + random.next(below: 3000)))
    }

    /// Starts a coordinator that knows only what the disk holds: the journal, complete checkpoints
    /// and the ledger.
    mutating func restartCoordinator() {
        note("restart coordinator")
        isCoordinatorDown = false
        snapshots = [:]
        arrived = [:]
        let newest = disk.newest
        // Lines that were written but not yet confirmed as durable may survive or not.
        recorded = durableCount + random.next(below: recorded - durableCount + 1)
        recorded = max(recorded, newest.value)
        var recovery = CoordinatorMachine.Recovery()
        for entry in disk.readJournal() { recovery.add(entry) }
        checkSuccession(recovery)
        recovery.recorded = Step(recorded)
        var configuration = coordinatorConfiguration
        configuration.startStep = newest
        coordinator = CoordinatorMachine(configuration, recovery: recovery, now: now)
    }

    mutating func makeFaults() {
        let faults = settings.faults
        guard now < faults.calmAfter else { return }
        let period: Duration = .milliseconds(100)
        queue.insert(.fault, at: now + period)
        guard now >= faults.calmBefore else { return }
        stall(faults)
        if !isCoordinatorDown, Double(random.nextUniform()) < faults.coordinatorCrashRate / 10 {
            if faults.tornWriteProbability > 0,
                Double(random.nextUniform()) < faults.tornWriteProbability
            {
                isToDieInAction = true
            } else {
                crashCoordinator()
            }
        }
        for peer in members.keys.sorted() {
            guard let role = members[peer]?.role else { continue }
            let rate = role == .worker ? faults.workerCrashRate : faults.serverCrashRate
            if Double(random.nextUniform()) < rate / 10 {
                crash(peer)
                continue
            }
            if faults.hangRate > 0, Double(random.nextUniform()) < faults.hangRate / 10 {
                hang(peer)
            }
            if Double(random.nextUniform()) < faults.pauseRate / 10 {
                note("pause \(peer)")
                members[peer]?.isPausedUntil =
                    now + faults.maximumPause * Double(random.nextUniform())
            }
            if Double(random.nextUniform()) < faults.cutRate / 10 {
                let others = [coordinatorIdentity] + members.keys.sorted()
                let other = others[random.next(below: others.count)]
                let link =
                    random.nextUniform() < 0.5
                    ? SimulatedLink(source: peer, target: other)
                    : SimulatedLink(source: other, target: peer)
                note("cut \(link)")
                cuts[link] = now + faults.maximumCut * Double(random.nextUniform())
            }
            if faults.clogRate > 0, Double(random.nextUniform()) < faults.clogRate / 10 {
                clog(peer)
            }
        }
    }

    /// Stops the coordinator or its disk for a while.
    private mutating func stall(_ faults: FaultSettings) {
        if faults.diskStallRate > 0, diskStallsUntil <= now,
            Double(random.nextUniform()) < faults.diskStallRate / 10
        {
            note("the disk stalls")
            diskStalls += 1
            diskStallsUntil = now + faults.maximumDiskStall * Double(random.nextUniform())
        }
        if faults.coordinatorPauseRate > 0, !isCoordinatorDown, coordinatorPausesUntil <= now,
            Double(random.nextUniform()) < faults.coordinatorPauseRate / 10
        {
            let pause = faults.maximumPause * Double(random.nextUniform())
            note("pause coordinator")
            coordinatorPausesUntil = now + pause
            guard pause > launcherPatience else { return }
            hangs += 1
            let end = Happening.endHung(coordinatorIdentity, incarnation: incarnation)
            queue.insert(end, at: now + launcherPatience)
        }
    }

    /// Stops a process for good, without closing its connections.
    private mutating func hang(_ peer: PeerIdentity) {
        note("hang \(peer)")
        hangs += 1
        members[peer]?.isPausedUntil = settings.timeLimit * 2
        queue.insert(.endHung(peer, incarnation: incarnation), at: now + launcherPatience)
    }

    /// The time for which a launcher accepts silence of a process.
    private var launcherPatience: Duration { settings.heartbeatInterval * 3 }

    mutating func endHung(_ peer: PeerIdentity, _ incarnation: Int) {
        if peer != coordinatorIdentity { return crash(peer) }
        if incarnation == self.incarnation, !isCoordinatorDown { crashCoordinator() }
    }

    /// Holds back the messages over one link, in one direction, for a while. They arrive all at
    /// once afterwards.
    private mutating func clog(_ peer: PeerIdentity) {
        let others = [coordinatorIdentity] + members.keys.sorted()
        let other = others[random.next(below: others.count)]
        let link =
            random.nextUniform() < 0.5
            ? SimulatedLink(source: peer, target: other)
            : SimulatedLink(source: other, target: peer)
        note("clog \(link)")
        clogs[link] = now + settings.faults.maximumClog * Double(random.nextUniform())
    }
}
