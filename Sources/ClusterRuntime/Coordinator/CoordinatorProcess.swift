import ClusterProtocol
import Logging
import NeuralNetwork
import Partitions
import RunFiles
import Threads
import ZeroMQ

/// The coordinator of a run: its socket thread, and the threads that write its files and serve its
/// data.
///
/// Threading: any thread may call.
package final class CoordinatorProcess: Sendable {
    /// The settings of a coordinator.
    package struct Settings: Sendable {
        /// The settings of the run.
        package var configuration: RunConfiguration
        /// The run directory.
        package var directory: RunDirectory
        /// The endpoint at which members connect. A coordinator that takes over uses the former
        /// one's.
        package var listen: Endpoint
        /// The port of the socket for the state of shards; nil lets the system choose one.
        package var statePort: Int?
        /// The name or address by which others reach this host; nil stands for the address that it
        /// listens at.
        package var announce: Endpoint.Host?
        /// The keys of this process.
        package var transport: Transport
        /// Whether to go on with the run in the directory, from its newest complete checkpoint.
        package var isResuming: Bool
        /// Whether members of the run may still be at work, because only the coordinator died. They
        /// are taken back.
        package var mayHaveMembers: Bool
        /// Whether to listen where the run's coordinator listened before, though its members join
        /// anew.
        package var keepsEndpoints = false
        /// Whether to accept settings that decide bits and differ from the run's.
        package var changesSettings = false
        /// The wait for the other workers, once there is at least one.
        package var startTimeout: Duration
        /// The wait without a worker, or without a process that can host a shard, before the run
        /// ends with exit code 69. It is also the patience with a disk that does not answer.
        package var lossTimeout: Duration

        /// Creates the settings of a coordinator, which accepts no settings that differ from the
        /// run's.
        package init(
            configuration: RunConfiguration, directory: RunDirectory,
            listen: Endpoint, statePort: Int? = nil, announce: Endpoint.Host? = nil,
            transport: Transport = Transport(), isResuming: Bool = false,
            mayHaveMembers: Bool = false, startTimeout: Duration = .seconds(30),
            lossTimeout: Duration = .seconds(60)
        ) {
            self.configuration = configuration
            self.directory = directory
            self.listen = listen
            self.statePort = statePort
            self.announce = announce
            self.transport = transport
            self.isResuming = isResuming
            self.mayHaveMembers = mayHaveMembers
            self.startTimeout = startTimeout
            self.lossTimeout = lossTimeout
        }
    }

    /// Everything that is determined before the first socket opens.
    struct Plan: Sendable {
        /// The settings of the coordinator, as far as the run's files do not change them.
        var settings: Settings
        /// The lock of the run directory.
        var lock: RunLock
        /// Everything that follows from the run's configuration and data set.
        var material: RunMaterial
        /// The description of the data set.
        var description: DataSetDescription
        /// The run's checkpoints.
        var store: CheckpointStore
        /// The checkpoint that the run begins with or goes on from.
        var start: Checkpoint
        /// The reasons why newer checkpoints cannot be used.
        var skipped: [RunError]
        /// What the journal tells of the run; nil for a new run.
        var recovery: CoordinatorMachine.Recovery?
        /// The changed settings that are to be recorded before any member joins.
        var change: SettingsHistory.Entry?
        /// Whether the optimizer's state begins with zeros: the optimizer was changed, or the
        /// former one had no state.
        var optimizerBeginsAnew = false
        /// The number of steps whose lines stay in the run's records.
        var recordedCount: Int
        /// The first step that counts into the run's speed.
        var countedFrom: Int

        /// Whether nothing is left to do: the run is at its last step, or has ended early.
        var isComplete: Bool {
            start.step >= material.totalSteps
                || recovery?.isComplete(
                    steps: Step(material.totalSteps), checkpoint: Step(start.step)) ?? false
        }
    }

    private let thread: SocketThread<CoordinatorLoop.Order>
    private let outcome: Monitor<CoordinatorMachine.Outcome?>

    /// Checks the configuration, the data and the run directory, and starts the coordinator.
    ///
    /// - Parameters:
    ///   - settings: the run, and where the coordinator listens.
    ///   - log: receives log lines.
    ///   - output: where the progress is shown.
    ///   - onEnd: called on the socket thread at the end of the run.
    /// - Throws: `.usage` for an address that cannot be bound, `.lost` when the disk does not
    ///   answer, and the kind of the settings, data or files that do not fit.
    package init(
        _ settings: Settings, log: Logger, output: ProgressOutput,
        onEnd: @escaping @Sendable () -> Void
    ) throws(RunError) {
        let plan = try Self.prepare(settings, output: output, log: log)
        let outcome = Monitor<CoordinatorMachine.Outcome?>(nil)
        self.outcome = outcome
        (thread, _) = try SocketThread.start("coordinator") { () throws(RunError) in
            Scheduling.carryMessages()
            let (loop, poll, mailbox) = try CoordinatorLoop.make(plan, log: log, output: output)
            return .init(mailbox: mailbox, value: ()) {
                let end = loop.run(poll)
                outcome.change { $0 = end }
                onEnd()
            }
        }
    }

    /// Determines everything that is needed before the first socket opens.
    private static func prepare(
        _ settings: Settings, output: ProgressOutput, log: Logger
    ) throws(RunError) -> Plan {
        var settings = settings
        try settings.configuration.validate()
        let lock = try lock(settings, output: output, log: log)
        let description: DataSetDescription
        let counts: [Int]
        do throws(DataError) {
            let data = settings.configuration.data
            let importer = ImportNotes(log).importer
            (description, counts) = try DataSource.survey(
                data.specification(), partitionCount: data.partitions,
                transformations: data.transformations, importer: importer)
            for remark in try DataSource.remarks(
                data.specification(), partitionCount: data.partitions, importer: importer)
            {
                log.warning("\(remark)")
            }
        } catch {
            throw RunError(error)
        }
        let summary = description.summary(partitionRecordCounts: counts)
        try settings.configuration.resolveBackend(
            for: settings.configuration.network(for: summary))
        let configuration = settings.configuration
        var material = try RunMaterial(configuration, data: summary)
        if configuration.training.precision != .fp32, material.backend == .reference {
            throw .configuration(
                "training.precision: the reference backend computes in fp32 only, found "
                    + "\(configuration.training.precision.rawValue)")
        }
        if material.backend == .native, configuration.training.tileSize != NativeEngine.tileSize {
            throw .configuration(
                "training.tile-size: the native backend computes tiles of "
                    + "\(NativeEngine.tileSize), found \(configuration.training.tileSize); leave it "
                    + "out or use another backend")
        }
        try material.requireMemoryOfCoordinator()
        // What the run needs later is refused now.
        let later = material.unfreezeStep == nil ? nil : try material.unfrozen()
        guard settings.isResuming else {
            let start = try initial(material, output: output, log: log)
            return Plan(
                settings: settings, lock: lock, material: material, description: description,
                store: CheckpointStore(
                    settings.directory.checkpoints, material: material, fence: lock.fence),
                start: start, skipped: [], recordedCount: start.step, countedFrom: start.step)
        }
        var resumption = try Resumption(settings, material, fence: lock.fence)
        if let later, let step = material.unfreezeStep, resumption.start.step >= step {
            material = later
            resumption = try Resumption(settings, material, fence: lock.fence)
        }
        let start = resumption.start
        let hadMembers = settings.mayHaveMembers
        settings = resumption.settings
        if hadMembers, resumption.known.isUnfrozen != material.isUnfrozen {
            // Members that follow the other plan join anew.
            settings.mayHaveMembers = false
            settings.keepsEndpoints = true
        }
        var recordedCount = start.step
        var countedFrom = start.step
        var known = resumption.known
        known.mayHaveMembers = settings.mayHaveMembers
        if !known.mayHaveMembers { known.goBack(to: Step(start.step)) }
        if settings.mayHaveMembers {
            let count = try RunRecorder.stepCount(settings.directory)
            recordedCount = max(start.step, count)
        }
        let isComplete = known.isComplete(
            steps: Step(material.totalSteps), checkpoint: Step(start.step))
        if settings.mayHaveMembers || isComplete { countedFrom = known.countedFrom.value }
        known.recorded = Step(recordedCount)
        return Plan(
            settings: settings, lock: lock, material: material, description: description,
            store: resumption.store, start: start, skipped: resumption.skipped, recovery: known,
            change: resumption.change, optimizerBeginsAnew: resumption.optimizerBeginsAnew,
            recordedCount: recordedCount, countedFrom: countedFrom)
    }

    /// Takes the lock of the run directory. A coordinator that goes on with a run ends the run's
    /// former coordinator when that one hangs.
    private static func lock(
        _ settings: Settings, output: ProgressOutput, log: Logger
    ) throws(RunError) -> RunLock {
        guard settings.isResuming else { return try RunLock(settings.directory) }
        let patience = max(
            .seconds(1), settings.configuration.cluster.heartbeatInterval * 3)
        let query = StatusQuery(.directory(settings.directory), settings.transport)
        return try RunLock(
            settings.directory, isResponsive: { (try? query.ask(within: patience)) != nil },
            note: { text in
                if output != .none { Screen.show("  \(text)\n") }
                log.warning("\(text)")
            })
    }

    /// Returns the state of a new run: initial weights, or those of a file, zeros for the
    /// optimizer, and the weights for their average.
    private static func initial(
        _ material: RunMaterial, output: ProgressOutput, log: Logger
    ) throws(RunError) -> Checkpoint {
        let first = try InitialWeights(material.configuration, material.network)
        if let report = first.report {
            if output != .none { Screen.show("  \(report)\n") }
            log.info("\(report)")
        }
        var start = Checkpoint.initial(
            first.weights, partCount: material.partCount,
            order: material.network.parameters.order)
        // The average begins with the weights. Both are only read from here on.
        if let part = material.averagePart { start.parts[part] = start.parts[0] }
        return start
    }

    /// Asks the run to stop, as Ctrl-C does: all members stop at one step, and its state is written
    /// as a checkpoint.
    package func requestStop() { thread.post(.stop) }

    /// Whether the run has ended.
    package var hasEnded: Bool { outcome.wait { .some($0 != nil) } }

    /// Waits for the end of the run and returns its outcome.
    package func join() -> CoordinatorMachine.Outcome {
        let result = outcome.wait { $0 }
        thread.join()
        return result
    }
}
