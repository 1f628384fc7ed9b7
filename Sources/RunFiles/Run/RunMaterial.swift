import ClusterProtocol
import NeuralNetwork
import Partitions

/// Everything a process works out from a run's configuration and data set.
public struct RunMaterial: Sendable {
    public let configuration: RunConfiguration
    public let data: DataSummary
    public let network: Network
    public let batchPlan: BatchPlan
    public let tree: ReductionTree
    public let slicePlan: SlicePlan
    public let backend: BackendKind

    /// Test records that are evaluated together; it decides the order of the loss sum.
    public static let evaluationChunkRecordCount = 256

    private static let maximumStepCount = 1 << 47

    public init(
        _ configuration: RunConfiguration, data: DataSummary,
        backend: BackendKind? = nil
    ) throws(Failure) {
        try configuration.validate()
        self.configuration = configuration
        self.data = data
        network = try configuration.network(for: data)
        do throws(DataError) {
            batchPlan = try BatchPlan(
                partitionRecordCounts: data.partitionRecordCounts,
                batchSize: configuration.training.batchSize,
                virtualWorkerCount: configuration.training.virtualWorkers,
                seed: configuration.training.seed)
        } catch {
            throw .data("\(error)")
        }
        tree = ReductionTree(leafCount: configuration.training.virtualWorkers)
        let cluster = configuration.cluster
        slicePlan = SlicePlan(
            parameterCount: network.parameters.elementCount,
            shardCount: cluster.servers > 0 ? cluster.servers : cluster.workers,
            layerStarts: network.parameters.layers.map(\.lowerBound))
        if let backend {
            self.backend = backend
        } else {
            self.backend = try configuration.resolvedBackend()
        }
    }

    public var totalSteps: Int {
        let (all, isTooMany) = configuration.training.epochs.multipliedReportingOverflow(
            by: batchPlan.stepsPerEpoch)
        // No run comes to its end with so many, and no message names a step beyond.
        let possible = isTooMany ? Self.maximumStepCount : min(all, Self.maximumStepCount)
        return min(possible, configuration.training.steps ?? possible)
    }

    /// What contributions and weights travel in.
    public var wire: WirePlan {
        WirePlan(
            precision: configuration.training.wirePrecision,
            stepsPerEpoch: batchPlan.stepsPerEpoch, totalSteps: Step(totalSteps))
    }

    public var evaluationChunkCount: Int {
        let (count, rest) = data.testCount.quotientAndRemainder(
            dividingBy: Self.evaluationChunkRecordCount)
        return count + (rest > 0 ? 1 : 0)
    }

    /// Test records of one evaluation chunk; none of a chunk that is none.
    public func evaluationRecords(chunk: Int) -> Range<Int> {
        let size = Self.evaluationChunkRecordCount
        guard (0..<evaluationChunkCount).contains(chunk) else { return 0..<0 }
        return min(data.testCount, chunk * size)..<min(data.testCount, (chunk + 1) * size)
    }

    /// Parts of a chunk's state: the weights, then each vector of the optimizer's state.
    public var partCount: Int { 1 + configuration.optimizer.stateNames.count }

    public var shardHost: ShardHostMachine.Configuration {
        ShardHostMachine.Configuration(
            tree: tree, plan: slicePlan, partCount: partCount,
            checkpointEvery: configuration.training.checkpointEvery, retryInterval: retryInterval,
            audit: audit)
    }

    /// Nil when nothing is audited.
    public var audit: AuditPlan? {
        let rate = configuration.training.auditRate
        return rate > 0 ? AuditPlan(seed: configuration.training.seed, rate: rate) : nil
    }

    public func worker(
        _ identity: PeerIdentity, salt: Int, threadCount: Int
    ) -> WorkerMachine.Run {
        WorkerMachine.Run(
            identity: identity, tree: tree, plan: slicePlan, retryInterval: retryInterval, salt: salt,
            threadCount: threadCount, audit: audit)
    }

    /// Half a heartbeat, but never so short that ordinary steps are asked for twice.
    private var retryInterval: Duration {
        max(.milliseconds(200), configuration.cluster.heartbeatInterval / 2)
    }

    public func engineConfiguration(instructionSet: String?) -> EngineConfiguration {
        EngineConfiguration(
            seed: configuration.training.seed, tileSize: configuration.training.tileSize,
            precision: configuration.training.precision, instructionSet: instructionSet)
    }
}

extension DataSetDescription {
    /// What processes that do not open the data set must know of it.
    public func summary(partitionRecordCounts: [Int]) -> DataSummary {
        DataSummary(
            name: name, shape: shape, classCount: classCount, testCount: testCount,
            fingerprint: fingerprint, sourceFingerprint: sourceFingerprint,
            partitionRecordCounts: partitionRecordCounts)
    }
}

extension RunConfiguration {
    /// Puts the backend that `auto` comes to on this host in its place. Bits depend on it, so the
    /// coordinator does this before anybody else learns of the run.
    public mutating func resolveBackend() throws(Failure) {
        switch try resolvedBackend() {
        case .reference: training.backend = .reference
        case .native: training.backend = .native
        case .oneDNN: training.backend = .oneDNN
        }
    }

    /// Refuses what workers on this host could not compute: otherwise they would leave, one after
    /// the other, and the run would wait for others.
    public func requireInstructions() throws(Failure) {
        let backend = try resolvedBackend()
        do throws(BackendError) {
            try Backends.requireInstructions(
                backend, precision: training.precision, instructionSet: training.instructionSet)
        } catch {
            throw .data("training.precision: \(error)")
        }
    }

    fileprivate func resolvedBackend() throws(Failure) -> BackendKind {
        do throws(BackendError) {
            return try Backends.resolve(
                training.backend, precision: training.precision, tileSize: training.tileSize)
        } catch {
            throw .data("\(error)")
        }
    }
}
