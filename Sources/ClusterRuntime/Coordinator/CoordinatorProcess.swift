import ClusterProtocol
import Logging
import NeuralNetwork
import Partitions
import RunFiles
import Threads
import ZeroMQ

/// The coordinator: its socket thread and the thread that writes its checkpoints.
package final class CoordinatorProcess: Sendable {
    package struct Settings: Sendable {
        package var configuration: RunConfiguration
        package var directory: RunDirectory
        package var listen: Endpoint
        /// Port of the state socket; nil: the system chooses.
        package var statePort: Int?
        /// What others are to call this host; nil: where it listens.
        package var announce: Endpoint.Host?
        package var transport: Transport
        /// Go on with the run in the directory, from its newest whole checkpoint.
        package var isResuming: Bool
        /// Members of the run may still be at work, and are taken back: the coordinator alone died.
        package var mayHaveMembers: Bool
        /// Takes settings that decide bits and differ from those that the run has.
        package var changesSettings = false
        package var startTimeout: Duration
        package var lossTimeout: Duration

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

    /// Everything that is worked out before the first socket opens.
    struct Plan: Sendable {
        var settings: Settings
        var lock: RunLock
        var material: RunMaterial
        var description: DataSetDescription
        var store: CheckpointStore
        var start: Checkpoint
        var skipped: [Failure]
        var recovery: CoordinatorMachine.Recovery?
        /// What is to be said of settings that were changed, before anyone joins.
        var change: SettingsHistory.Entry?
        /// The optimizer begins with zeros, since it is another one.
        var optimizerBeginsAnew = false
        /// Steps whose lines stay in the run's records.
        var recordedCount: Int
        /// Steps from this one on count into the run's speed.
        var countedFrom: Int
    }

    private let thread: SocketThread<CoordinatorLoop.Order>
    private let outcome: Monitor<CoordinatorMachine.Outcome?>

    /// Checks configuration, data and run directory, then starts.
    package init(
        _ settings: Settings, log: Logger, output: ProgressOutput,
        onEnd: @escaping @Sendable () -> Void
    ) throws(Failure) {
        let plan = try Self.prepare(settings, output: output, log: log)
        let outcome = Monitor<CoordinatorMachine.Outcome?>(nil)
        self.outcome = outcome
        (thread, _) = try SocketThread.start("coordinator") { () throws(Failure) in
            Scheduling.carryMessages()
            let (loop, poll, mailbox) = try CoordinatorLoop.make(plan, log: log, output: output)
            return .init(mailbox: mailbox, value: ()) {
                let end = loop.run(poll)
                outcome.change { $0 = end }
                onEnd()
            }
        }
    }

    private static func prepare(
        _ settings: Settings, output: ProgressOutput, log: Logger
    ) throws(Failure) -> Plan {
        var settings = settings
        try settings.configuration.validate()
        let lock = try lock(settings, output: output, log: log)
        try settings.configuration.resolveBackend()
        let configuration = settings.configuration
        let description: DataSetDescription
        let counts: [Int]
        do throws(DataError) {
            let specification = try DataSpecification(configuration.data.source)
            (description, counts) = try DataSource.survey(
                specification, partitionCount: configuration.data.partitions,
                transformations: configuration.data.transformations)
        } catch {
            throw .data("\(error)")
        }
        let material = try RunMaterial(
            configuration, data: description.summary(partitionRecordCounts: counts))
        if configuration.training.precision != .fp32, material.backend == .reference {
            throw .data(
                "training.precision: the reference backend computes in fp32 only, found "
                    + "\(configuration.training.precision.rawValue)")
        }
        if material.backend == .native, configuration.training.tileSize != NativeEngine.tileSize {
            throw .data(
                "training.tile-size: the native backend computes tiles of "
                    + "\(NativeEngine.tileSize), found \(configuration.training.tileSize); leave it "
                    + "out or use another backend")
        }
        try material.requireMemoryOfCoordinator()
        guard settings.isResuming else {
            let start = try initial(material)
            return Plan(
                settings: settings, lock: lock, material: material, description: description,
                store: CheckpointStore(
                    settings.directory.checkpoints, material: material, fence: lock.fence),
                start: start, skipped: [], recordedCount: start.step, countedFrom: start.step)
        }
        let resumption = try Resumption(settings, material, fence: lock.fence)
        let start = resumption.start
        settings = resumption.settings
        var recordedCount = start.step
        var countedFrom = start.step
        var known = resumption.known
        known.mayHaveMembers = settings.mayHaveMembers
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

    /// Whoever goes on with a run ends a coordinator of it that hangs.
    private static func lock(
        _ settings: Settings, output: ProgressOutput, log: Logger
    ) throws(Failure) -> RunLock {
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

    private static func initial(_ material: RunMaterial) throws(Failure) -> Checkpoint {
        let training = material.configuration.training
        let network = material.network
        var start = Checkpoint.initial(
            network.initialParameters(seed: training.seed), partCount: material.partCount)
        if let file = training.initialWeights {
            start.parts[0] = try CheckpointReader.weights(file: file, layout: network.parameters)
        }
        return start
    }

    /// Ctrl-C: everyone rests at one step, which is checkpointed.
    package func requestStop() { thread.post(.stop) }

    package var hasEnded: Bool { outcome.wait { .some($0 != nil) } }

    /// Waits for the end.
    package func join() -> CoordinatorMachine.Outcome {
        let result = outcome.wait { $0 }
        thread.join()
        return result
    }
}
