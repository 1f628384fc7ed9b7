import ClusterProtocol
import FoundationEssentials
import Glibc
import Logging
import Partitions
import RunFiles
import Threads
import ZeroMQ

/// The loop of the coordinator's socket thread. It carries out what `CoordinatorMachine` decides.
///
/// Threading: the coordinator's socket thread only.
final class CoordinatorLoop {
    /// A message from another thread.
    enum Order: Sendable {
        /// A checkpoint was written, or could not be.
        case written(CheckpointWriter.Written)
        /// A checkpoint that shards have asked for has been read.
        case read(Checkpoint)
        /// The files of the run's records have got further.
        case recorded
        /// End the run at the next possible step, with a checkpoint.
        case stop
    }

    /// The number of messages that one turn takes from each socket at most.
    private static let batch = 256

    private let plan: CoordinatorProcess.Plan
    private let sockets: CoordinatorSockets
    private let mailbox: Mailbox<Order>
    private let writer: CheckpointWriter
    private let recorder: RunRecorder
    private let exchange: StateExchange
    private let checkpoints: CheckpointFlow
    private let progress: Progress
    private let log: Logger
    private var storage: StorageWatch
    private var machine: CoordinatorMachine
    /// Holds back actions until the journal line before them is on disk.
    private var gate = DurabilityGate()
    private var connections = PeerConnections()
    /// The end of the run; nil while it goes on.
    private var outcome: CoordinatorMachine.Outcome?
    private var instructionSet = "generic"
    private var lastEvaluation: CoordinatorMachine.EvaluationSummary?
    /// The malformed control messages.
    private var flaws = FlawCounter()
    private var hasWarnedOfDisk = false
    private var hasNotedFlaw = false
    /// Whether another coordinator has taken the run over.
    private var isFenced = false
    /// The number of steps whose lines are written to the ledger. Shards are told this number at
    /// most.
    private var acknowledged = Step(0)
    /// The last sign of life and its encoding, which is sent to all members.
    private var lastAlive: (alive: Alive, bytes: [UInt8])?

    /// Opens the sockets and the run's files, and records how the run goes on.
    ///
    /// - Throws: `.usage` when an address cannot be bound, `.storage` for files of the run that
    ///   cannot be read or written, `.lost` when the disk does not answer.
    static func make(
        _ plan: CoordinatorProcess.Plan, log: Logger, output: ProgressOutput
    ) throws(RunError) -> (CoordinatorLoop, PollBox, Mailbox<Order>) {
        let poll: PollBox
        do throws(ZeroMQError) { poll = try PollBox() } catch { throw .lost("\(error)") }
        let mailbox = Mailbox<Order>(waker: poll.waker)
        let loop = try CoordinatorLoop(plan, mailbox: mailbox, log: log, output: output)
        return (loop, poll, mailbox)
    }

    private init(
        _ plan: CoordinatorProcess.Plan, mailbox: Mailbox<Order>, log: Logger,
        output: ProgressOutput
    ) throws(RunError) {
        self.plan = plan
        self.mailbox = mailbox
        self.log = log
        sockets = try CoordinatorSockets(plan, log: log)
        recorder = try RunRecorder(
            plan.settings.directory, plan: plan.material.batchPlan,
            hasAccuracy: plan.material.loss.hasAccuracy, firstStep: plan.recordedCount,
            countingFrom: plan.countedFrom, lock: plan.lock
        ) { mailbox.post(.recorded) }
        acknowledged = Step(plan.recordedCount)
        if !plan.settings.isResuming {
            try plan.store.write(plan.start, instructionSet: "none yet")
        }
        let writer = CheckpointWriter(
            plan.store, requiresFinite: !plan.settings.configuration.training.keepsGoing,
            written: { mailbox.post(.written($0)) }, read: { mailbox.post(.read($0)) })
        self.writer = writer
        exchange = StateExchange(
            material: plan.material, router: sockets.bulk.socket, start: plan.start,
            readCheckpoint: { writer.read(step: $0) })
        checkpoints = CheckpointFlow(
            plan, writer: writer, recorder: recorder, exchange: exchange, log: log,
            post: { mailbox.post(.written($0)) })
        storage = StorageWatch(
            patience: max(
                .seconds(3), plan.settings.configuration.cluster.heartbeatInterval * 3))
        progress = Progress(output, plan: plan)
        lastEvaluation = plan.recovery?.evaluation
        machine = CoordinatorMachine(
            plan.decisions(sockets), recovery: plan.recovery, now: SteadyClock.now)
        instructionSet = plan.recovery?.instructionSet ?? instructionSet
        say(formerBuild: try begin())
    }

    /// Records how the run goes on, before any member joins.
    ///
    /// - Returns: the build that wrote to the run directory last; nil for a new run, and when it is
    ///   unknown.
    private func begin() throws(RunError) -> String? {
        let settings = plan.settings
        let beginsAnew =
            settings.isResuming && plan.countedFrom == plan.start.step && !settings.mayHaveMembers
        if beginsAnew { record(.resumed(Step(plan.start.step))) }
        if plan.material.isUnfrozen, beginsAnew || plan.recovery?.isUnfrozen != true {
            record(.unfrozen(Step(plan.start.step)))
        }
        if let change = plan.change {
            // The journal comes first: before the run file has the new settings, and before any
            // worker computes with them.
            record(
                .changed(
                    step: change.step, settings: change.changes, formerSource: change.formerSource))
            let isWritten = recorder.settle(within: settings.lossTimeout)
            if let failure = recorder.progress.failure { throw failure }
            guard isWritten else {
                throw .lost("\(settings.directory.journal): its disk does not answer")
            }
        }
        let formerBuild =
            settings.isResuming ? try RunFormat.read(settings.directory).build : nil
        try FileSystem.replace(settings.directory.format, with: RunFormat.own.json)
        try FileSystem.replace(
            settings.directory.configuration, with: settings.configuration.yaml)
        // The summary of a former end is no longer true. It is removed now that everything is
        // checked.
        unlink(settings.directory.summary)
        try FileSystem.replace(settings.directory.endpoint, with: sockets.endpointFile)
        return formerBuild
    }

    /// Records an entry on which no action waits.
    private func record(_ entry: JournalEntry) {
        _ = gate.pass(.journal(entry))
        journal(entry)
    }

    /// Logs and shows where the coordinator listens, and what is unusual about the run.
    private func say(formerBuild: String?) {
        log.info(
            "listening",
            metadata: [
                LogKey.endpoint: "\(sockets.control.endpoint)",
                "net.bulk-endpoint": "\(sockets.bulk.endpoint)",
                "net.announced": "\(sockets.announced.control)",
                "net.keys": plan.settings.transport.keys == nil ? "no" : "yes",
            ])
        if let formerBuild, formerBuild != HostFacts.build {
            progress.note(
                "build \(formerBuild) wrote this run directory last, build \(HostFacts.build) goes on: "
                    + "only one build is sure to compute the same bits")
            log.warning(
                "another build goes on with the run",
                metadata: [LogKey.reason: "\(formerBuild), now \(HostFacts.build)"])
        }
        for failure in plan.skipped {
            progress.note("skipped a checkpoint: \(failure.text)")
            log.warning("skipped a checkpoint", metadata: [LogKey.errorDetail: "\(failure.text)"])
        }
        progress.begin("\(sockets.announced.control)")
        for remark in plan.material.remarks {
            progress.note(remark)
            log.warning("a setting has no effect", metadata: [LogKey.reason: "\(remark)"])
        }
        noteChange()
    }

    /// Logs and shows the settings that were changed.
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

    /// Runs until the end of the run and returns the outcome.
    func run(_ poll: PollBox) -> CoordinatorMachine.Outcome {
        do throws(ZeroMQError) {
            if plan.isComplete {
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
        sockets.close()
        return final
    }

    /// Waits for messages and other events once, and handles them.
    private func turn(_ poll: PollBox) throws(ZeroMQError) {
        let now = SteadyClock.now
        let result = try poll.wait(
            for: [sockets.control.socket.pollItem, sockets.bulk.socket.pollItem]
                + sockets.gatekeeper.pollItems,
            timeout: min(machine.nextDeadline(now: now) - now, .milliseconds(100)))
        if result.wasWoken { for order in mailbox.takeAll() { try obey(order) } }
        try sockets.gatekeeper.attend()
        try watchConnections()
        if result.isReady(0) {
            for _ in 0..<Self.batch {
                guard outcome == nil, let frames = try sockets.control.socket.receive() else { break }
                try receive(frames)
            }
        }
        if result.isReady(1) {
            for _ in 0..<Self.batch {
                guard let frames = try sockets.bulk.socket.receive() else { break }
                guard let checkpoint = try exchange.receive(frames, isMember: machine.isMember)
                else {
                    noteFlaw()
                    continue
                }
                checkpoints.keep(checkpoint)
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

    /// Warns once when the disk or standard output takes nothing more, and says once that it does
    /// again.
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

    /// Ends the run for a reason that the machine does not know.
    private func end(exitCode: Int, reason: String) {
        outcome = CoordinatorMachine.Outcome(
            step: Step(checkpoints.lastWritten), exitCode: exitCode, reason: reason, trainingSeconds: 0,
            workerCount: 0, instructionSet: instructionSet)
    }

    private func noteFlaw() {
        guard exchange.flawCount > 0, !hasNotedFlaw else { return }
        hasNotedFlaw = true
        log.warning("dropped a malformed bulk message")
    }

    private func obey(_ order: Order) throws(ZeroMQError) {
        switch order {
        case .stop: try step(.stopRequested)
        case .read(let checkpoint): try exchange.read(checkpoint)
        case .recorded: try takeUp(recorder.progress)
        case .written(let written):
            if let failure = written.failure {
                progress.note("checkpoint of step \(written.step) not written: \(failure.text)")
            }
            try step(checkpoints.take(written))
        }
    }

    /// Takes in how far the files are, and does what has waited for that.
    private func takeUp(_ records: RecordWriter.Progress) throws(ZeroMQError) {
        if records.isFenced {
            isFenced = true
            return end(
                exitCode: ExitCode.lost, reason: records.failure?.text ?? "the run was taken over")
        }
        acknowledged = max(acknowledged, Step(records.recordedCount))
        for action in gate.becameDurable(records.journalCount) { try perform(action) }
        checkpoints.advance(records, instructionSet: instructionSet)
    }

    // MARK: Messages

    private func receive(_ frames: [Frame]) throws(ZeroMQError) {
        // The descriptor may have belonged to a connection that closed before this message's own
        // was opened.
        try watchConnections()
        sockets.control.hear(frames)
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
        if let descriptor = frames[1].sourceFileDescriptor {
            connections.note(peer, over: descriptor)
        }
        try step(.message(message, from: peer, over: connection(of: frames[1], message)))
    }

    /// Returns what is known of the connection that a message came over: whether it is from this
    /// host, and the key that the peer has proven to hold. Only a hello needs that.
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
            "dropped a malformed control message",
            metadata: [
                LogKey.peerID: "\(peer?.rawValue ?? "unknown")",
                LogKey.peerAddress: "\(address ?? "unknown")",
                LogKey.errorDetail: "\(detail)",
            ])
    }

    /// Answers a process of another protocol version with a refusal, as far as that version
    /// understands one.
    private func answer(
        _ foreign: ControlEnvelope.Foreign, to peer: PeerIdentity, _ frames: [Frame]
    ) throws(ZeroMQError) {
        guard foreign.version != ControlMessage.version, foreign.kind == "hello" else {
            return noteFlaw(frames, "a message of kind \(foreign.kind.prefix(40))")
        }
        noteFlaw(
            frames,
            "protocol version \(foreign.version), this is \(ControlMessage.version)")
        let failure = Failure(
            text: "the coordinator refused this process: its protocol version is "
                + "\(foreign.version), the run's is \(ControlMessage.version); use the same build "
                + "everywhere", exitCode: ExitCode.data)
        _ = try sockets.control.socket.send(
            [Frame(peer.rawValue), Frame(ControlCodec.encode(.refused(failure)))])
    }

    /// Tells the machine which members have lost their connection.
    private func watchConnections() throws(ZeroMQError) {
        for descriptor in sockets.gatekeeper.disconnected(of: sockets.control) {
            guard let peer = connections.remove(descriptor) else { continue }
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
        case .writeCheckpoint(let step): checkpoints.write(step)
        case .send(.alive(var alive), let peer):
            // Shards forget the reports that are said to be recorded, so only those that are
            // written may be.
            alive.recorded = min(alive.recorded, acknowledged)
            // All members get the same message, so it is encoded once.
            if lastAlive?.alive != alive {
                lastAlive = (alive, ControlCodec.encode(.alive(alive)))
            }
            if let bytes = lastAlive?.bytes {
                _ = try sockets.control.socket.send([Frame(peer.rawValue), Frame(bytes)])
            }
        case .send(.status(var status), let peer):
            status.stalledDiskMilliseconds = storage.diskStall.map { Int($0 / .milliseconds(1)) }
            _ = try sockets.control.socket.send(
                [Frame(peer.rawValue), Frame(ControlCodec.encode(.status(status)))])
        case .send(let message, let peer):
            _ = try sockets.control.socket.send([Frame(peer.rawValue), Frame(ControlCodec.encode(message))])
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
            checkpoints.consider(summary)
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

    private func journal(_ entry: JournalEntry) {
        let line = JournalLine(time: SteadyClock.wallSeconds, entry: entry)
        // The gate expects a line for each entry.
        let data = try? JSONEncoder().encode(line)
        if data == nil { log.error("a journal entry cannot be written as JSON") }
        recorder.journal(data.map { String(decoding: $0, as: UTF8.self) } ?? "{}")
    }

    /// Shows once that the run's files are incomplete.
    private func warnOfDisk() {
        guard !hasWarnedOfDisk, let failure = recorder.progress.failure else { return }
        hasWarnedOfDisk = true
        progress.note("the run goes on, but its records are incomplete: \(failure.text)")
    }

    /// Returns the records trained per second of training.
    private func imagesPerSecond(_ seconds: Double) -> Double {
        seconds > 0 ? Double(recorder.recordCount) / seconds : 0
    }

    // MARK: The end

    /// Writes the last files of the run, within time limits, and returns the outcome with what went
    /// wrong there.
    private func finish(_ end: CoordinatorMachine.Outcome) -> CoordinatorMachine.Outcome {
        var end = end
        if isFenced {
            // Nothing more may be written: the run belongs to another coordinator.
            progress.note(end.reason)
            return end
        }
        let limit = plan.settings.lossTimeout
        if !writer.stop(within: limit) {
            end.exitCode = ExitCode.lost
            end.reason = "the disk did not take the last checkpoint within \(limit)"
        }
        if end.exitCode != ExitCode.done { end.goesOn = false }
        if end.exitCode == ExitCode.data, let failure = checkpoints.failure {
            end.reason += ": \(failure.text)"
        }
        let summary = RunSummary(
            end, material: plan.material, evaluation: lastEvaluation,
            trainLoss: recorder.trainLoss,
            imagesPerSecond: imagesPerSecond(end.trainingSeconds),
            weightsSHA256: checkpoints.lastWeightsSHA256,
            recordCount: plan.recovery.flatMap {
                // Steps before the change followed another plan.
                $0.history.entries.isEmpty ? nil : recorder.recordCountOfAll
            })
        let isWorthASummary =
            !end.goesOn && (end.exitCode != ExitCode.data || machine.hasDiverged)
        if isWorthASummary, end.exitCode != ExitCode.internalError {
            recorder.replace(plan.settings.directory.summary, with: summary.json)
        }
        let isWritten = recorder.close(within: limit)
        let failure =
            recorder.progress.failure
            ?? (isWritten ? nil : .lost("the run directory's disk did not answer within \(limit)"))
        if isWorthASummary || end.goesOn, let failure {
            end.exitCode = end.exitCode == ExitCode.done ? Failure(failure).exitCode : end.exitCode
            end.reason = failure.text
            end.goesOn = false
        }
        if end.goesOn {
            progress.note("nothing is frozen from step \(plan.material.plannedSteps) on")
        } else {
            progress.end(end, summary, best: checkpoints.named)
        }
        return end
    }
}
