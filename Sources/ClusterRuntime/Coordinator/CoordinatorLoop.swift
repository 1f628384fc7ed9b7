import ClusterProtocol
import FoundationEssentials
import Glibc
import Logging
import Partitions
import RunFiles
import Threads
import ZeroMQ

/// What the coordinator's socket thread does.
final class CoordinatorLoop {
    enum Order: Sendable {
        case written(CheckpointWriter.Written)
        /// A checkpoint that shards have asked for.
        case read(Checkpoint)
        /// The run's records have got further.
        case recorded
        case stop
    }

    private static let batch = 256

    private let plan: CoordinatorProcess.Plan
    private let context: Context
    private let gatekeeper: Gatekeeper
    private let control: Gatekeeper.Listener
    private let bulk: Gatekeeper.Listener
    private let data: DataService
    private let mailbox: Mailbox<Order>
    private let writer: CheckpointWriter
    private let recorder: RunRecorder
    private let exchange: StateExchange
    private let progress: Progress
    private let log: Logger
    private var storage: StorageWatch
    private var machine: CoordinatorMachine
    /// What waits for the journal.
    private var gate = DurabilityGate()
    /// The connection each peer last spoke over, and back.
    private var descriptors: [PeerIdentity: Int32] = [:]
    private var peers: [Int32: PeerIdentity] = [:]
    private var outcome: CoordinatorMachine.Outcome?
    private var instructionSet = "generic"
    private var lastEvaluation: CoordinatorMachine.EvaluationSummary?
    private var lastWeightsSHA256: String
    /// Snapshots that wait for the coordinator's word, and those that wait for the ledger.
    private var arrived: [Int: Checkpoint] = [:]
    private var awaitingLedger: [Int: (checkpoint: Checkpoint, request: Int)] = [:]
    private var flaws = FlawCounter()
    private var hasWarnedOfDisk = false
    private var hasNotedFlaw = false
    private var checkpointFailure: Failure?
    private var best: BestCheckpoint?
    /// The checkpoint written last.
    private var lastWritten: Int
    /// Another coordinator has taken the run over.
    private var isFenced = false
    /// Steps that shards were told are recorded.
    private var acknowledged = Step(0)
    /// The last sign of life, and how it is written.
    private var lastAlive: (alive: Alive, bytes: [UInt8])?

    static func make(
        _ plan: CoordinatorProcess.Plan, log: Logger, output: ProgressOutput
    ) throws(Failure) -> (CoordinatorLoop, PollBox, Mailbox<Order>) {
        let poll: PollBox
        do throws(ZeroMQError) { poll = try PollBox() } catch { throw .lost("\(error)") }
        let mailbox = Mailbox<Order>(waker: poll.waker)
        let loop = try CoordinatorLoop(plan, mailbox: mailbox, log: log, output: output)
        return (loop, poll, mailbox)
    }

    private init(
        _ plan: CoordinatorProcess.Plan, mailbox: Mailbox<Order>, log: Logger,
        output: ProgressOutput
    ) throws(Failure) {
        self.plan = plan
        self.mailbox = mailbox
        self.log = log
        let settings = plan.settings
        let material = plan.material
        let messages = material.slicePlan.chunks.count * material.partCount * 2
        let known = settings.mayHaveMembers ? JournalReader.endpoints(settings.directory) : nil
        let listen = known?.control ?? settings.listen
        let state = known?.state ?? listen.beside(port: settings.statePort, suffix: "bulk")
        do throws(ZeroMQError) { context = try Context() } catch { throw .lost("\(error)") }
        gatekeeper = try Gatekeeper(context, settings.transport, log: log)
        do throws(ZeroMQError) {
            control = try gatekeeper.listen(
                SocketSettings.controlRouter(), at: listen, as: "control", isWatched: true,
                isSpokenAtOnce: true)
            var options = SocketSettings.bulkRouter()
            options.sendHighWaterMark += messages
            options.receiveHighWaterMark += messages
            bulk = try gatekeeper.listen(options, at: state, as: "state")
            let free = control.endpoint.beside(port: nil, suffix: "data")
            data = try DataService(
                context: context, transport: settings.transport, material: material,
                listen: [known?.data, free].compactMap { $0 }, log: log)
        } catch {
            switch error.endpoint {
            case "\(listen)": throw .usage("--listen: \(error)")
            case "\(state)" where settings.statePort != nil: throw .usage("--state-port: \(error)")
            default: throw .lost("\(error)")
            }
        }
        let announced = CoordinatorAddresses(
            control: control.endpoint, state: bulk.endpoint, data: data.endpoint, announce: settings.announce,
            outward: HostNetwork.outward)
        recorder = try RunRecorder(
            settings.directory, plan: material.batchPlan, firstStep: plan.recordedCount,
            countingFrom: plan.countedFrom, lock: plan.lock
        ) { mailbox.post(.recorded) }
        acknowledged = Step(plan.recordedCount)
        if !settings.isResuming {
            try plan.store.write(plan.start, instructionSet: "none yet")
        }
        let writer = CheckpointWriter(
            plan.store, requiresFinite: !settings.configuration.training.keepsGoing,
            written: { mailbox.post(.written($0)) }, read: { mailbox.post(.read($0)) })
        self.writer = writer
        exchange = StateExchange(
            material: material, router: bulk.socket, start: plan.start,
            readCheckpoint: { writer.read(step: $0) })
        lastWritten = plan.start.step
        storage = StorageWatch(
            patience: max(.seconds(3), settings.configuration.cluster.heartbeatInterval * 3))
        progress = Progress(output, plan: plan)
        lastWeightsSHA256 = plan.start.weightsSHA256
        let isOtherData = (plan.recovery?.bestCorrectCount ?? -1) < 0
        best =
            settings.isResuming && !isOtherData
            ? BestCheckpoint.newest(settings.directory, plan.recovery, plan.store) : nil
        lastEvaluation = plan.recovery?.evaluation
        let cluster = settings.configuration.cluster
        var decisions = CoordinatorMachine.Configuration(
            run: settings.directory.path, tree: material.tree, plan: material.slicePlan,
            serverCount: cluster.servers, workerCount: cluster.workers,
            startStep: Step(plan.start.step), totalSteps: Step(material.totalSteps),
            stepsPerEpoch: material.batchPlan.stepsPerEpoch,
            evaluationChunkCount: material.evaluationChunkCount,
            heartbeatInterval: cluster.heartbeatInterval, startTimeout: settings.startTimeout,
            lossTimeout: settings.lossTimeout, build: HostFacts.build,
            backend: material.backend.rawValue,
            instructionSet: material.backend != .oneDNN
                ? "generic" : settings.configuration.training.instructionSet,
            data: material.data, modelFingerprint: material.network.fingerprint,
            configurationText: settings.configuration.yaml,
            bulkEndpoint: "\(announced.stateForMembers)")
        decisions.fanIn = cluster.fanIn
        decisions.keepsGoing = settings.configuration.training.keepsGoing
        decisions.settingsFingerprint = material.settingsFingerprint
        decisions.history = plan.recovery?.history ?? SettingsHistory()
        decisions.dataEndpoint = "\(announced.dataForMembers)"
        decisions.openEndpoint = control.endpoint.isLocal ? nil : "\(announced.control)"
        machine = CoordinatorMachine(decisions, recovery: plan.recovery, now: SteadyClock.now)
        instructionSet = plan.recovery?.instructionSet ?? instructionSet
        if settings.isResuming, plan.countedFrom == plan.start.step, !settings.mayHaveMembers {
            let entry = JournalEntry.resumed(Step(plan.start.step))
            _ = gate.pass(.journal(entry))
            journal(entry)
        }
        if let change = plan.change {
            // Before the run file says so, and before anyone computes with it.
            let entry = JournalEntry.changed(
                step: change.step, settings: change.changes, formerSource: change.formerSource)
            _ = gate.pass(.journal(entry))
            journal(entry)
            let isWritten = recorder.settle(within: settings.lossTimeout)
            if let failure = recorder.progress.failure { throw failure }
            guard isWritten else {
                throw .lost("\(settings.directory.journal): its disk does not answer")
            }
        }
        try FileSystem.replace(
            settings.directory.configuration, with: settings.configuration.yaml)
        // How it ended before holds no longer, now that everything is checked.
        unlink(settings.directory.summary)
        try FileSystem.replace(
            settings.directory.endpoint,
            with: "\(announced.control)\n\(announced.state)\n"
                + "\(control.endpoint)\n\(bulk.endpoint)\n\(data.endpoint)\n")
        log.info(
            "listening",
            metadata: [
                LogKey.endpoint: "\(control.endpoint)", "net.bulk-endpoint": "\(bulk.endpoint)",
                "net.announced": "\(announced.control)",
                "net.keys": settings.transport.keys == nil ? "no" : "yes",
            ])
        for failure in plan.skipped {
            progress.note("skipped a checkpoint: \(failure.text)")
            log.warning("skipped a checkpoint", metadata: [LogKey.errorDetail: "\(failure.text)"])
        }
        progress.begin("\(announced.control)")
        for remark in material.remarks {
            progress.note(remark)
            log.warning("a setting has no effect", metadata: [LogKey.reason: "\(remark)"])
        }
        noteChange()
    }

    private func noteChange() {
        if let change = plan.change {
            for setting in change.changes {
                let text = "settings changed at step \(change.step): \(setting)"
                progress.note(text)
                log.warning("settings changed", metadata: [LogKey.reason: "\(text)"])
            }
        }
        guard plan.optimizerBeginsAnew else { return }
        let name = plan.material.configuration.optimizer.name
        progress.note("the state of optimizer \(name) begins anew, with zeros")
        log.warning("the optimizer's state begins anew", metadata: [LogKey.reason: "\(name)"])
    }

    func run(_ poll: PollBox) -> CoordinatorMachine.Outcome {
        do throws(ZeroMQError) {
            if plan.start.step >= plan.material.totalSteps {
                progress.note("the run has finished already")
            }
            while outcome == nil { try turn(poll) }
        } catch {
            log.error("socket thread failed", metadata: [LogKey.errorDetail: "\(error)"])
            progress.note("\(error)")
            outcome = CoordinatorMachine.Outcome(
                step: Step(0), exitCode: ExitCode.internalError, reason: "\(error)",
                trainingSeconds: 0, workerCount: 0, instructionSet: instructionSet)
        }
        LifeSigns.finish()
        let final = finish(outcome!)
        data.stop()
        gatekeeper.close()
        context.terminate()
        return final
    }

    private func turn(_ poll: PollBox) throws(ZeroMQError) {
        let now = SteadyClock.now
        let result = try poll.wait(
            for: [control.socket.pollItem, bulk.socket.pollItem] + gatekeeper.pollItems,
            timeout: min(machine.nextDeadline(now: now) - now, .milliseconds(100)))
        if result.wasWoken { for order in mailbox.takeAll() { try obey(order) } }
        try gatekeeper.attend()
        try watchConnections()
        if result.isReady(0) {
            for _ in 0..<Self.batch {
                guard outcome == nil, let frames = try control.socket.receive() else { break }
                try receive(frames)
            }
        }
        if result.isReady(1) {
            for _ in 0..<Self.batch {
                guard let frames = try bulk.socket.receive() else { break }
                guard let checkpoint = try exchange.receive(frames, isMember: machine.isMember)
                else {
                    noteFlaw()
                    continue
                }
                arrived[checkpoint.step] = checkpoint
                try step(.snapshotArrived(Step(checkpoint.step)))
            }
        }
        LifeSigns.turn()
        let later = SteadyClock.now
        if later >= nextTick {
            nextTick = later + .milliseconds(10)
            try step(.tick)
            progress.refresh(recorder, machine: machine, now: later)
        }
        if later >= nextHandover {
            nextHandover = later + .milliseconds(200)
            recorder.flush()
            watchStorage()
        }
    }

    private var nextTick: Duration = .zero
    private var nextHandover: Duration = .zero

    /// Says once that something does not take what is handed to it, and once that it does again.
    private func watchStorage() {
        let found = storage.look(
            records: recorder.stalledFor, checkpoints: writer.stalledFor, screen: Screen.condition)
        for notice in found {
            log.warning("\(notice.sentence)", metadata: notice.metadata)
            progress.note(notice.text)
        }
        if gate.holdsEnd, recorder.stalledFor > plan.settings.lossTimeout {
            end(exitCode: ExitCode.lost, reason: "gave up waiting for the run directory's disk")
        }
    }

    private func end(exitCode: Int, reason: String) {
        outcome = CoordinatorMachine.Outcome(
            step: Step(lastWritten), exitCode: exitCode, reason: reason, trainingSeconds: 0,
            workerCount: 0, instructionSet: instructionSet)
    }

    private func noteFlaw() {
        guard exchange.flawCount > 0, !hasNotedFlaw else { return }
        hasNotedFlaw = true
        log.warning("dropped a bulk message that is none")
    }

    /// The ledger first: a checkpoint must never be ahead of it.
    private func write(_ step: Step) {
        guard let checkpoint = arrived[step.value] else { return }
        arrived = arrived.filter { $0.key > step.value }
        awaitingLedger[step.value] = (checkpoint, recorder.makeDurable())
    }

    /// The ledger is on disk, as far as it can be.
    private func write(_ checkpoint: Checkpoint, after records: RecordWriter.Progress) {
        if let failure = records.failure {
            let sha256 = checkpoint.weightsSHA256
            mailbox.post(
                .written(
                    .init(step: checkpoint.step, weightsSHA256: sha256, failure: failure)))
            return
        }
        let step = checkpoint.step
        if !writer.write(checkpoint, instructionSet: instructionSet, best: best?.step) {
            // The last one of the run is asked for until it is there.
            exchange.takeAgain(step: step)
            log.warning("left a checkpoint out: the disk is too slow")
        }
    }

    private func obey(_ order: Order) throws(ZeroMQError) {
        switch order {
        case .stop: try step(.stopRequested)
        case .read(let checkpoint): try exchange.read(checkpoint)
        case .recorded: try takeUp(recorder.progress)
        case .written(let written):
            if written.isNotFinite {
                exchange.takeAgain(step: written.step)
                try step(.checkpointNotFinite(Step(written.step)))
            } else if let failure = written.failure {
                checkpointFailure = failure
                exchange.takeAgain(step: written.step)
                progress.note("checkpoint of step \(written.step) not written: \(failure.text)")
                log.error(
                    "checkpoint not written",
                    metadata: [LogKey.errorDetail: "\(failure.text)", LogKey.step: "\(written.step)"])
                try step(.checkpointFailed(Step(written.step)))
            } else {
                lastWeightsSHA256 = written.weightsSHA256
                lastWritten = written.step
                if best?.step == written.step { noteBest() }
                log.info("checkpoint written", metadata: [LogKey.step: "\(written.step)"])
                try step(.checkpointWritten(Step(written.step)))
            }
        }
    }

    /// What waited for the disk is done.
    private func takeUp(_ records: RecordWriter.Progress) throws(ZeroMQError) {
        if records.isFenced {
            isFenced = true
            return end(
                exitCode: ExitCode.lost, reason: records.failure?.text ?? "the run was taken over")
        }
        acknowledged = max(acknowledged, Step(records.recordedCount))
        for action in gate.becameDurable(records.journalCount) { try perform(action) }
        for step in awaitingLedger.keys.sorted() {
            guard let waiting = awaitingLedger[step], waiting.request <= records.durableCount else {
                continue
            }
            awaitingLedger[step] = nil
            write(waiting.checkpoint, after: records)
        }
    }

    // MARK: Messages

    private func receive(_ frames: [Frame]) throws(ZeroMQError) {
        // A connection that closed before this message's own was opened may have had its number.
        try watchConnections()
        control.hear(frames)
        guard let peer = frames.first?.peerIdentity, frames.count == 2 else {
            return noteFlaw(frames, "\(frames.count) frames")
        }
        let message: ControlMessage
        do {
            message = try ControlCodec.decode(frames[1].bytes)
        } catch let foreign as ControlEnvelope.Foreign {
            return try answer(foreign, to: peer, frames)
        } catch {
            return noteFlaw(frames, "no control message")
        }
        if let descriptor = frames[1].sourceFileDescriptor, descriptors[peer] != descriptor {
            if let old = descriptors[peer] { peers[old] = nil }
            descriptors[peer] = descriptor
            peers[descriptor] = peer
        }
        try step(.message(message, from: peer, over: connection(of: frames[1], message)))
    }

    /// Where a message came from, and who has proven to have sent it. Only a hello needs that.
    private func connection(of frame: Frame, _ message: ControlMessage) -> Connection {
        guard case .hello = message else { return Connection() }
        let address = frame.peerAddress.flatMap { NetworkAddress($0) }
        return Connection(
            isFromThisHost: address.map(HostNetwork.isOwn) ?? true,
            publicKey: frame.authenticatedUser.flatMap { $0.isEmpty ? nil : $0 })
    }

    private func noteFlaw(_ frames: [Frame], _ detail: String) {
        let peer = frames.first?.peerIdentity
        let address = frames.last?.peerAddress
        guard flaws.isFirst(from: peer, at: address) else { return }
        log.warning(
            "dropped a control message that is none",
            metadata: [
                LogKey.peerID: "\(peer?.rawValue ?? "unknown")",
                LogKey.peerAddress: "\(address ?? "unknown")",
                LogKey.errorDetail: "\(detail)",
            ])
    }

    /// Someone of another version is told so, as far as that version understands it.
    private func answer(
        _ foreign: ControlEnvelope.Foreign, to peer: PeerIdentity, _ frames: [Frame]
    ) throws(ZeroMQError) {
        guard foreign.version != ControlMessage.version, foreign.kind == "hello" else {
            return noteFlaw(frames, "a message of kind \(foreign.kind.prefix(40))")
        }
        noteFlaw(
            frames,
            "protocol version \(foreign.version), this is \(ControlMessage.version)")
        let failure = Failure.data(
            "the coordinator refused this process: its protocol version is \(foreign.version), the "
                + "run's is \(ControlMessage.version); use the same build everywhere")
        _ = try control.socket.send(
            [Frame(peer.rawValue), Frame(ControlCodec.encode(.refused(failure)))])
    }

    private func watchConnections() throws(ZeroMQError) {
        for descriptor in gatekeeper.disconnected(of: control) {
            guard let peer = peers.removeValue(forKey: descriptor) else { continue }
            descriptors[peer] = nil
            try step(.disconnected(peer))
        }
    }

    // MARK: Decisions

    private func step(_ event: CoordinatorMachine.Event) throws(ZeroMQError) {
        for action in machine.step(event, now: SteadyClock.now) {
            for action in gate.pass(action) { try perform(action) }
        }
    }

    private func perform(_ action: CoordinatorMachine.Action) throws(ZeroMQError) {
        switch action {
        case .writeCheckpoint(let step): write(step)
        case .send(.alive(var alive), let peer):
            // Reports said to be recorded are forgotten by the shards, so only what is on disk is.
            alive.recorded = min(alive.recorded, acknowledged)
            // The same words go to everyone.
            if lastAlive?.alive != alive {
                lastAlive = (alive, ControlCodec.encode(.alive(alive)))
            }
            if let bytes = lastAlive?.bytes {
                _ = try control.socket.send([Frame(peer.rawValue), Frame(bytes)])
            }
        case .send(.status(var status), let peer):
            status.stalledDiskMilliseconds = storage.diskStall.map { Int($0 / .milliseconds(1)) }
            _ = try control.socket.send(
                [Frame(peer.rawValue), Frame(ControlCodec.encode(.status(status)))])
        case .send(let message, let peer):
            _ = try control.socket.send([Frame(peer.rawValue), Frame(ControlCodec.encode(message))])
        case .journal(let entry): journal(entry)
        case .record(let report): recorder.record(report)
        case .began(let plan):
            exchange.forgetSource()
            progress.began(plan)
            log.info(
                "training",
                metadata: ["workers": "\(plan.workers)", LogKey.instructionSet: "\(plan.instructionSet)"])
        case .evaluated(let summary):
            lastEvaluation = summary
            considerBest(summary)
            let rate = imagesPerSecond(summary.trainingSeconds)
            recorder.record(summary, imagesPerSecond: rate)
            progress.evaluated(summary, recorder, imagesPerSecond: rate)
            warnOfDisk()
        case .note(let note):
            if case .settled(let name) = note { instructionSet = name }
            if case .goingBack(let step) = note { exchange.goBack(to: step.value) }
            let records = FlawedRecords(note, material: plan.material)
            log.log(
                level: note.level, "\(note.sentence)",
                metadata: note.metadata.merging(records?.metadata ?? [:]) { $1 })
            if let text = note.screenText { progress.note(text + (records?.text ?? "")) }
        case .end(let outcome): self.outcome = outcome
        }
    }

    /// The checkpoint with the highest test accuracy stays, however many come after it.
    private func considerBest(_ summary: CoordinatorMachine.EvaluationSummary) {
        guard summary.isFinite, summary.recordCount > 0 else { return }
        let candidate = BestCheckpoint(summary)
        guard best.map({ candidate.accuracy > $0.accuracy }) ?? true else { return }
        best = candidate
        if candidate.step == lastWritten { noteBest() }
    }

    /// The best checkpoint is there, so it may be named.
    private func noteBest() {
        if let best { recorder.replace(plan.settings.directory.bestCheckpoint, with: best.json) }
    }

    private func journal(_ entry: JournalEntry) {
        let line = JournalLine(time: SteadyClock.wallSeconds, entry: entry)
        // The gate counts on a line for each entry.
        let data = try? JSONEncoder().encode(line)
        if data == nil { log.error("a journal entry cannot be written as JSON") }
        recorder.journal(data.map { String(decoding: $0, as: UTF8.self) } ?? "{}")
    }

    private func warnOfDisk() {
        guard !hasWarnedOfDisk, let failure = recorder.progress.failure else { return }
        hasWarnedOfDisk = true
        progress.note("the run goes on, but its records are incomplete: \(failure.text)")
    }

    private func imagesPerSecond(_ seconds: Double) -> Double {
        seconds > 0 ? Double(recorder.recordCount) / seconds : 0
    }

    // MARK: The end

    private func finish(_ end: CoordinatorMachine.Outcome) -> CoordinatorMachine.Outcome {
        var end = end
        if isFenced {
            // Not a byte more: the run is another one's.
            progress.note(end.reason)
            return end
        }
        let limit = plan.settings.lossTimeout
        if !writer.stop(within: limit) {
            end.exitCode = ExitCode.lost
            end.reason = "the disk did not take the last checkpoint within \(limit)"
        }
        if end.exitCode == ExitCode.data, let checkpointFailure {
            end.reason += ": \(checkpointFailure.text)"
        }
        let summary = RunSummary(
            end, material: plan.material, evaluation: lastEvaluation,
            trainLoss: recorder.trainLoss,
            imagesPerSecond: imagesPerSecond(end.trainingSeconds),
            weightsSHA256: lastWeightsSHA256,
            recordCount: plan.recovery.flatMap {
                // Other steps went by another plan.
                $0.history.entries.isEmpty ? nil : recorder.recordCountOfAll
            })
        let isWorthASummary = end.exitCode != ExitCode.data || machine.hasDiverged
        if isWorthASummary, end.exitCode != ExitCode.internalError {
            recorder.replace(plan.settings.directory.summary, with: summary.json)
        }
        let isWritten = recorder.close(within: limit)
        let failure =
            recorder.progress.failure
            ?? (isWritten ? nil : .lost("the run directory's disk did not answer within \(limit)"))
        if isWorthASummary, let failure {
            end.exitCode = end.exitCode == 0 ? failure.exitCode : end.exitCode
            end.reason = failure.text
        }
        progress.end(end, summary)
        return end
    }
}

/// A socket monitor as an object; it ends with its last holder, after the socket it watches.
final class MonitorBox {
    private let monitor: SocketMonitor

    init(_ monitor: consuming SocketMonitor) { self.monitor = monitor }

    var pollItem: PollItem { monitor.pollItem }

    func nextEvent() -> SocketEvent? { monitor.nextEvent() }

    func nextEventUnlessQuiet() -> SocketEvent? { monitor.nextEventUnlessQuiet() }
}
