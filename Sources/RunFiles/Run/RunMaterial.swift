import Backends
import ClusterProtocol
import NeuralNetwork
import Partitions

/// Everything that a process derives from a run's configuration and data set.
public struct RunMaterial: Sendable {
    /// The settings of the run.
    public let configuration: RunConfiguration
    /// The summary of the data set.
    public let data: DataSummary
    /// The network, with its input and output fitted to the data set.
    public let network: Network
    /// The plan that deals the training records to steps and virtual workers.
    public let batchPlan: BatchPlan
    /// The tree along which the gradients of the virtual workers are added.
    public let tree: ReductionTree
    /// The division of the flat parameter vector into shards and chunks.
    public let slicePlan: SlicePlan
    /// The backend, with `auto` already settled.
    public let backend: BackendKind
    /// Whether what is frozen at the start of the run is trained, because the run is past the epoch
    /// of `unfreeze`.
    public let isUnfrozen: Bool
    /// The loss, with class weights as numbers.
    public let loss: LossFunction

    /// The number of test records that are evaluated together. It decides the order of the loss
    /// sum.
    public static let evaluationChunkRecordCount = 256

    /// Derives the material of a run.
    ///
    /// - Parameters:
    ///   - configuration: the settings, with the backend settled.
    ///   - data: the data set.
    ///   - backend: the backend that the coordinator settled on; nil settles `auto` for this host.
    ///   - isUnfrozen: whether the run is past the epoch of `unfreeze`.
    /// - Throws: `.configuration` for settings that contradict one another or that this host cannot
    ///   do, `.model` for a model that does not fit the data set, `.data` for a data set without
    ///   records.
    public init(
        _ configuration: RunConfiguration, data: DataSummary,
        backend: BackendKind? = nil, isUnfrozen: Bool = false
    ) throws(RunError) {
        try configuration.validate()
        self.configuration = configuration
        self.data = data
        self.isUnfrozen = isUnfrozen
        let frozen = try configuration.network(for: data)
        network = isUnfrozen ? frozen.unfrozen : frozen
        guard network.parameters.elementCount > 0 else {
            throw .configuration(
                "model: expected at least one layer with parameters, found none in "
                    + network.specification.name)
        }
        guard network.parameters.statistics.isEmpty || configuration.training.wirePrecision == .fp32
        else {
            throw .configuration(
                "training.wire-precision: expected fp32, since bf16 would round the running "
                    + "statistics of batch normalisation, found "
                    + configuration.training.wirePrecision.rawValue)
        }
        loss = try configuration.loss(for: data, network)
        try configuration.requireMetrics(of: loss)
        do throws(DataError) {
            batchPlan = try BatchPlan(
                partitionRecordCounts: data.partitionRecordCounts,
                batchSize: configuration.training.batchSize,
                virtualWorkerCount: configuration.training.virtualWorkers,
                seed: configuration.training.seed)
        } catch {
            throw RunError(error)
        }
        try configuration.requireFitting(data, stepsPerEpoch: batchPlan.stepsPerEpoch)
        tree = ReductionTree(leafCount: configuration.training.virtualWorkers)
        let cluster = configuration.cluster
        let layout = network.parameters
        slicePlan = SlicePlan(
            parameterCount: layout.activeCount,
            shardCount: cluster.servers > 0 ? cluster.servers : cluster.workers,
            layerStarts: layout.layers.map(\.lowerBound).filter { $0 < layout.activeCount },
            granularity: configuration.training.clipNorm == nil
                ? SlicePlan.alignment : GradientClipping.blockElementCount)
        try Self.requireSquaresThatFit(slicePlan, configuration)
        if let backend {
            self.backend = backend
        } else {
            self.backend = try configuration.resolvedBackend(for: frozen)
        }
        try requireValuesToNormalize()
    }

    /// The number of steps of the run: the steps of all epochs, or `training.steps` if that is
    /// less.
    public var totalSteps: Int {
        configuration.totalSteps(stepsPerEpoch: batchPlan.stepsPerEpoch)
    }

    /// The step from which on nothing is frozen; nil where that is never.
    public var unfreezeStep: Int? {
        guard let unfreeze = configuration.unfreeze else { return nil }
        let (step, isTooLarge) = (unfreeze.epoch - 1).multipliedReportingOverflow(
            by: batchPlan.stepsPerEpoch)
        return isTooLarge || step >= totalSteps ? nil : step
    }

    /// The number of steps up to which this material holds: those of the run, or those up to the
    /// epoch of `unfreeze`.
    public var plannedSteps: Int { isUnfrozen ? totalSteps : unfreezeStep ?? totalSteps }

    /// The material of the run from ``unfreezeStep`` on.
    public func unfrozen() throws(RunError) -> RunMaterial {
        try RunMaterial(configuration, data: data, backend: backend, isUnfrozen: true)
    }

    /// The groups, with the rate of what was frozen at the start.
    private var groups: [ParameterGroup] {
        guard isUnfrozen, let unfreeze = configuration.unfreeze else { return configuration.groups }
        let thawed = configuration.freeze.map {
            ParameterGroup(match: NamePattern($0), rate: unfreeze.rate)
        }
        return thawed + configuration.groups
    }

    /// The precision in which contributions and weights travel.
    public var wire: WirePlan {
        WirePlan(
            precision: configuration.training.wirePrecision,
            stepsPerEpoch: batchPlan.stepsPerEpoch, totalSteps: Step(totalSteps))
    }

    /// The number of chunks that the test records are evaluated in.
    public var evaluationChunkCount: Int {
        let (count, rest) = data.testCount.quotientAndRemainder(
            dividingBy: Self.evaluationChunkRecordCount)
        return count + (rest > 0 ? 1 : 0)
    }

    /// Returns the test records of one evaluation chunk. The range is empty for a chunk that does
    /// not exist.
    public func evaluationRecords(chunk: EvaluationChunkIndex) -> Range<Int> {
        let size = Self.evaluationChunkRecordCount
        guard (0..<evaluationChunkCount).contains(chunk.value) else { return 0..<0 }
        return min(
            data.testCount, chunk.value * size)..<min(
                data.testCount, chunk.next.value * size)
    }

    /// How a step changes each element of the flat vector.
    public var updateRule: UpdateRule {
        var rule = UpdateRule(
            configuration.optimizer, network.parameters,
            rates: UpdateRule.Rates(
                configuration.training.schedule, totalSteps: totalSteps,
                stepsPerEpoch: batchPlan.stepsPerEpoch),
            decays1D: configuration.training.decays1D, groups: groups)
        rule.clipping = configuration.training.clipNorm.map {
            GradientClipping(limit: $0, network.parameters)
        }
        rule.average = configuration.training.averageDecay.map {
            WeightAverage(decay: $0, network.parameters)
        }
        return rule
    }

    /// The number of vectors in the state of a run: the weights, each vector of the optimizer's
    /// state, and the average of the weights if the run keeps one.
    public var partCount: Int {
        1 + configuration.optimizer.stateNames.count + (averagePart == nil ? 0 : 1)
    }

    /// The index of the average of the weights among the vectors of the state; nil for a run
    /// without one.
    package var averagePart: Int? {
        configuration.training.averageDecay == nil
            ? nil : 1 + configuration.optimizer.stateNames.count
    }

    /// The configuration of a process that hosts shards.
    public var shardHost: ShardHostMachine.Configuration {
        var host = ShardHostMachine.Configuration(
            tree: tree, plan: slicePlan, partCount: partCount,
            checkpointEvery: configuration.training.checkpointEvery, retryInterval: retryInterval,
            audit: audit, needsNorm: configuration.training.clipNorm != nil)
        host.waitsForLimit = configuration.training.plateau != nil
        return host
    }

    /// Refuses a model so large that the sums of squares of a shard would not fit into a message.
    private static func requireSquaresThatFit(
        _ plan: SlicePlan, _ configuration: RunConfiguration
    ) throws(RunError) {
        guard configuration.training.clipNorm != nil, plan.shardCount > 1 else { return }
        let largest = plan.shards.lazy.compactMap { plan.elements(of: $0)?.count }.max() ?? 0
        let most = SlicePlan.defaultChunkElementCount / 2 * plan.granularity
        guard largest > most else { return }
        throw .configuration(
            "training.clip-norm: expected at most \(most) parameters a shard, found \(largest); "
                + "use more servers")
    }

    /// The choice of virtual workers that two workers compute; nil when nothing is audited.
    public var audit: AuditPlan? {
        let rate = configuration.training.auditRate
        return rate > 0 ? AuditPlan(seed: configuration.training.seed, rate: rate) : nil
    }

    /// Returns what a worker must know of the run.
    ///
    /// - Parameters:
    ///   - identity: the name of the worker in the cluster.
    ///   - salt: a number that differs between workers, so that two of them do not help with the
    ///     same work.
    ///   - threadCount: the number of compute threads.
    public func worker(
        _ identity: PeerIdentity, salt: Int, threadCount: Int
    ) -> WorkerMachine.Run {
        WorkerMachine.Run(
            identity: identity, tree: tree, plan: slicePlan, retryInterval: retryInterval, salt: salt,
            threadCount: threadCount, audit: audit)
    }

    /// The wait for weights after which a worker asks again: half a heartbeat interval, but at
    /// least 200 ms, so that ordinary steps are not asked for twice.
    private var retryInterval: Duration {
        max(.milliseconds(200), configuration.cluster.heartbeatInterval / 2)
    }

    /// Returns the configuration of the engines.
    ///
    /// - Parameter instructionSet: the instruction set that the workers settled on; nil for this
    ///   host's best.
    public func engineConfiguration(instructionSet: String?) -> EngineConfiguration {
        EngineConfiguration(
            seed: configuration.training.seed, tileSize: configuration.training.tileSize,
            precision: configuration.training.precision, instructionSet: instructionSet,
            loss: loss)
    }
}

extension DataSetDescription {
    /// Returns the facts about the data set that a process needs if it does not open the data set.
    ///
    /// - Parameter partitionRecordCounts: the number of records in each training partition.
    public func summary(partitionRecordCounts: [Int]) -> DataSummary {
        var summary = DataSummary(
            name: name, shape: shape, classCount: classCount, targetCount: targetCount,
            classHistogram: classHistogram, testCount: testCount, fingerprint: fingerprint,
            sourceFingerprint: sourceFingerprint,
            partitionRecordCounts: partitionRecordCounts)
        summary.classNames = classNames
        summary.storedShape = storedShape
        summary.holdsBytes = elementType == .U8
        return summary
    }
}

extension RunConfiguration {
    /// The largest number of steps of a run.
    private static let maximumStepCount = 1 << 47

    /// Returns the number of steps of a run: the steps of all epochs, or `training.steps` if that
    /// is less.
    func totalSteps(stepsPerEpoch: Int) -> Int {
        let (all, isTooMany) = training.epochs.multipliedReportingOverflow(by: stepsPerEpoch)
        // No run reaches so many steps, and no message can name a later one.
        let possible = isTooMany ? Self.maximumStepCount : min(all, Self.maximumStepCount)
        return min(possible, training.steps ?? possible)
    }

    /// Returns the number of steps of a run on a data set.
    func length(_ data: DataSummary) -> Int {
        let plan = try? BatchPlan(
            partitionRecordCounts: data.partitionRecordCounts, batchSize: training.batchSize,
            virtualWorkerCount: training.virtualWorkers, seed: training.seed)
        return totalSteps(stepsPerEpoch: plan?.stepsPerEpoch ?? 1)
    }

    /// Replaces the backend `auto` with the backend that it stands for on this host.
    ///
    /// The bits depend on the backend, so the coordinator does this before any other process learns
    /// of the run.
    ///
    /// - Parameter network: the network that will be computed.
    /// - Throws: `.configuration` for a backend that this build does not have.
    public mutating func resolveBackend(for network: Network) throws(RunError) {
        switch try resolvedBackend(for: network) {
        case .reference: training.backend = .reference
        case .native: training.backend = .native
        case .oneDNN: training.backend = .oneDNN
        }
    }

    /// Checks that this host has the instructions that the settings need.
    ///
    /// Without this check the workers on this host would leave, one after the other, and the run
    /// would wait for others.
    ///
    /// - Throws: `.configuration` when the instructions are missing.
    public func requireInstructions() throws(RunError) {
        let backend = try resolvedBackend()
        do throws(BackendError) {
            try Backends.requireInstructions(
                backend, precision: training.precision, instructionSet: training.instructionSet)
        } catch {
            throw .configuration("training.precision: \(error)")
        }
    }

    /// Returns the backend that the settings stand for on this host.
    fileprivate func resolvedBackend(
        for network: Network? = nil
    ) throws(RunError) -> BackendKind {
        do throws(BackendError) {
            return try Backends.resolve(
                training.backend, precision: training.precision, tileSize: training.tileSize,
                for: network)
        } catch {
            throw .configuration("\(error)")
        }
    }
}
