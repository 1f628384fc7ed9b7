/// All messages between the coordinator and other processes, one JSON frame each.
///
/// A frame is written as `{"version":1,"kind":"hello","body":{...}}`. A frame of an unknown kind is
/// dropped.
public enum ControlMessage: Hashable, Sendable {
    // To the coordinator.
    case hello(Hello)
    case ready(Ready)
    case heartbeat(Heartbeat)
    case shardReady(ShardReady)
    case progress(Progress)
    case holding(Holding)
    case evaluated(Evaluated)
    case leaving(Leaving)
    case failed(Failure)
    case disputed(AuditFinding)
    case contradicted(AuditFinding)
    case statusRequest(StatusRequest)
    // From the coordinator.
    case welcome(Welcome)
    case refused(Failure)
    case host(HostShards)
    case assignment(Assignment)
    case hold(Hold)
    case snapshot(Snapshot)
    case evaluate(Evaluate)
    case recompute(Recompute)
    case alive(Alive)
    case introduce(Introduce)
    case shutdown(Shutdown)
    // From the coordinator to the process that asked.
    case status(ClusterStatus)

    /// The version of the control protocol; both sides must have the same.
    public static let version = 1
}

/// The first message of a process that joins.
public struct Hello: Hashable, Codable, Sendable {
    /// The highest number of compute threads in a process; a process with more is refused.
    static let maximumThreadCount = 1 << 16

    /// The name of the process.
    public var identity: PeerIdentity
    /// The role that the process is to play.
    public var role: Role
    /// The name of the process's host.
    public var host: String
    /// The process identifier on that host.
    public var processIdentifier: Int
    /// The number of compute threads.
    public var threadCount: Int
    /// The version of the control protocol that the process speaks.
    public var protocolVersion: Int
    /// The fingerprint of the build: only equal builds compute equal contributions.
    public var build: String
    /// The names of the backends in this build.
    public var backends: [String]
    /// The best instruction set of this host, by oneDNN's name.
    public var instructionSet: String
    /// Where the shards of the process can be reached; nil when it can host none.
    public var bulkEndpoint: String?
    /// The process's public CURVE key, which its shards prove to hold; nil without keys.
    public var publicKey: String?
    /// The name that the launcher gave the process, for people, for instance "worker 2".
    public var label: String?
    /// What an earlier coordinator told the process; nil when the process joins for the first time.
    public var session: Session?

    /// The state of a process that was at work before the coordinator restarted.
    public struct Session: Hashable, Codable, Sendable {
        /// The run that the process takes part in.
        public var run: String
        /// The generation of its last assignment.
        public var generation: Generation
        /// The placement that its shards belong to; 0 when it hosts none.
        public var placement: Placement

        /// Creates a session.
        public init(run: String, generation: Generation, placement: Placement) {
            self.run = run
            self.generation = generation
            self.placement = placement
        }
    }

    /// Creates the first message of a process.
    public init(
        identity: PeerIdentity, role: Role, host: String, processIdentifier: Int, threadCount: Int,
        build: String, backends: [String], instructionSet: String, bulkEndpoint: String?,
        publicKey: String? = nil, label: String? = nil, session: Session? = nil
    ) {
        self.identity = identity
        self.role = role
        self.host = host
        self.processIdentifier = processIdentifier
        self.threadCount = threadCount
        protocolVersion = ControlMessage.version
        self.build = build
        self.backends = backends
        self.instructionSet = instructionSet
        self.bulkEndpoint = bulkEndpoint
        self.publicKey = publicKey
        self.label = label
        self.session = session
    }
}

/// A process has loaded what it needs.
public struct Ready: Hashable, Codable, Sendable {
    /// The fingerprint of the data set that a worker opened; nil from a server, which opens none.
    public var dataFingerprint: String?
    /// The fingerprint of the model that the process built.
    public var modelFingerprint: String
    /// The fingerprint of the settings that decide bits.
    public var settingsFingerprint: String

    /// Creates the message.
    public init(
        dataFingerprint: String?, modelFingerprint: String, settingsFingerprint: String = ""
    ) {
        self.dataFingerprint = dataFingerprint
        self.modelFingerprint = modelFingerprint
        self.settingsFingerprint = settingsFingerprint
    }
}

/// A member's sign of life.
public struct Heartbeat: Hashable, Codable, Sendable {
    /// The generation of the member's assignment.
    public var generation: Generation
    /// The step that a worker is at.
    public var step: Step
    /// Whether everything is loaded: repeated here in case `ready` was lost.
    public var isReady: Bool
    /// The mean time that a virtual worker computed since the last heartbeat, in microseconds; 0 when
    /// none ran.
    public var computeMicroseconds: Int
    /// The mean time that a virtual worker waited for its records before it computed, in microseconds.
    public var inputMicroseconds: Int
    /// The mean time from the last contribution of a step to the whole weights of the next, in
    /// microseconds.
    public var waitMicroseconds: Int
    /// The resident memory of the process in bytes; nil when it is not known.
    public var residentByteCount: Int?

    /// Creates a heartbeat.
    public init(
        generation: Generation, step: Step, isReady: Bool = false, computeMicroseconds: Int = 0,
        inputMicroseconds: Int = 0, waitMicroseconds: Int = 0, residentByteCount: Int? = nil
    ) {
        self.generation = generation
        self.step = step
        self.isReady = isReady
        self.computeMicroseconds = computeMicroseconds
        self.inputMicroseconds = inputMicroseconds
        self.waitMicroseconds = waitMicroseconds
        self.residentByteCount = residentByteCount
    }
}

/// A shard has its state.
public struct ShardReady: Hashable, Codable, Sendable {
    /// The shard.
    public var shard: ShardIndex
    /// The number of the placement that the state belongs to.
    public var placement: Placement
    /// The version that the shard is at.
    public var step: Step

    /// Creates the message.
    public init(shard: ShardIndex, placement: Placement, step: Step) {
        self.shard = shard
        self.placement = placement
        self.step = step
    }
}

/// The figures of a finished step.
public struct StepReport: Hashable, Codable, Sendable {
    /// The step.
    public var step: Step
    /// The number of records that were trained.
    public var sampleCount: Int
    /// The bit pattern of the loss sum, since JSON numbers may lose the last bit.
    public var lossBits: UInt64
    /// The number of records that were right.
    public var correctCount: Int
    /// The wrapping sum of one hash for each record: the ledger's evidence of which records were used.
    public var recordDigest: UInt64
    /// The bit pattern of the sum of the records' weights.
    public var weightBits: UInt64

    /// The sum of the records' weighted losses.
    public var lossSum: Double { Double(bitPattern: lossBits) }

    /// The sum of the records' weights: their number where each record weighs 1.
    public var weightSum: Double { Double(bitPattern: weightBits) }

    /// The weighted mean of the records' losses; without any weight, the sum.
    public var meanLoss: Double { lossSum / (weightSum > 0 ? weightSum : 1) }

    /// The first virtual worker whose loss was not a finite number.
    public var flawedVirtualWorker: VirtualWorkerIndex? {
        ContributionTotals(lossSum: lossSum).flawedVirtualWorker
    }

    /// Whether the counts can be those of a step: they came over the network.
    var isPlausible: Bool {
        (0..<(1 << 40)).contains(sampleCount) && (0...sampleCount).contains(correctCount)
            && weightSum.isFinite && weightSum >= 0
    }

    /// Creates the report of a step from the totals of its tree.
    public init(step: Step, totals: ContributionTotals) {
        self.step = step
        sampleCount = totals.sampleCount
        lossBits = totals.lossSum.bitPattern
        correctCount = totals.correctCount
        recordDigest = totals.recordDigest
        weightBits = totals.weightSum.bitPattern
    }
}

/// How far a shard is; the first shard also reports each step.
public struct Progress: Hashable, Codable, Sendable {
    /// The shard.
    public var shard: ShardIndex
    /// The number of the placement that the shard's state belongs to.
    public var placement: Placement
    /// The version that all chunks of the shard have reached.
    public var step: Step
    /// The reports of steps that were finished since the last message.
    public var reports: [StepReport]

    /// Creates the message.
    public init(shard: ShardIndex, placement: Placement, step: Step, reports: [StepReport]) {
        self.shard = shard
        self.placement = placement
        self.step = step
        self.reports = reports
    }
}

/// The answer to `hold`: the worker begins no step from `step` on until told to, and has contributed to
/// all steps before it.
public struct Holding: Hashable, Codable, Sendable {
    /// The number of the `hold` message that is answered.
    public var number: Int
    /// The first step that the worker will not begin.
    public var step: Step

    /// Creates the answer.
    public init(number: Int, step: Step) {
        self.number = number
        self.step = step
    }
}

/// The result of one evaluation chunk.
public struct EvaluationResult: Hashable, Codable, Sendable {
    /// The number of the chunk of test records.
    public var chunk: EvaluationChunkIndex
    /// The number of records in the chunk.
    public var recordCount: Int
    /// The number of records that were right.
    public var correctCount: Int
    /// The bit pattern of the sum of the records' losses.
    public var lossBits: UInt64

    /// Creates a result.
    public init(
        chunk: EvaluationChunkIndex, recordCount: Int, correctCount: Int, lossSum: Double
    ) {
        self.chunk = chunk
        self.recordCount = recordCount
        self.correctCount = correctCount
        lossBits = lossSum.bitPattern
    }

    /// Whether the counts can be those of a chunk: they came over the network.
    var isPlausible: Bool {
        (0..<(1 << 40)).contains(recordCount) && (0...recordCount).contains(correctCount)
    }
}

/// A worker has evaluated chunks of the test records.
public struct Evaluated: Hashable, Codable, Sendable {
    /// The version of the weights that was evaluated.
    public var step: Step
    /// The results, one for each chunk.
    public var results: [EvaluationResult]

    /// Creates the message.
    public init(step: Step, results: [EvaluationResult]) {
        self.step = step
        self.results = results
    }
}

/// A member wants to leave the run.
public struct Leaving: Hashable, Codable, Sendable {
    /// Why the member leaves, for people.
    public var reason: String

    /// Creates the message.
    public init(reason: String) { self.reason = reason }
}

/// The coordinator takes a process in.
public struct Welcome: Hashable, Codable, Sendable {
    /// The run's name, which is the path of its run directory.
    public var run: String
    /// The resolved run file: the same text as in the run directory.
    public var configuration: String
    /// Where shards send and fetch their state.
    public var bulkEndpoint: String
    /// The name of the backend that workers compute with.
    public var backend: String
    /// The data set as the coordinator read it.
    public var data: DataSummary
    /// Where workers get partitions that are not on their host.
    public var dataEndpoint: String?
    /// Whether what was frozen at the start of the run is trained by now.
    public var isUnfrozen: Bool

    /// Creates the message.
    public init(
        run: String, configuration: String, bulkEndpoint: String, backend: String,
        data: DataSummary, dataEndpoint: String? = nil, isUnfrozen: Bool = false
    ) {
        self.run = run
        self.configuration = configuration
        self.bulkEndpoint = bulkEndpoint
        self.backend = backend
        self.data = data
        self.dataEndpoint = dataEndpoint
        self.isUnfrozen = isUnfrozen
    }
}

/// What a server needs to know about a data set, so that it need not open the data.
public struct DataSummary: Hashable, Codable, Sendable {
    /// The data set's name.
    public var name: String
    /// The shape of one record, [C, H, W].
    public var shape: [Int]
    /// The number of classes; 0 for records with targets.
    public var classCount: Int
    /// The number of targets of a record; nil for records with labels.
    public var targetCount: Int?
    /// The number of training records of each class; empty for records with targets.
    public var classHistogram: [Int]
    /// The number of test records.
    public var testCount: Int
    /// The fingerprint of the records that are trained with.
    public var fingerprint: String
    /// The fingerprint before any transformation; nil when it is the same as `fingerprint`.
    public var sourceFingerprint: String?
    /// The number of records in each training partition.
    public var partitionRecordCounts: [Int]
    /// The names of the classes; nil where they are not known.
    public var classNames: [String]?
    /// The shape of a record before any transformation; nil when it is the same as `shape`.
    public var storedShape: [Int]?
    /// Whether records are stored as bytes; nil from an earlier program.
    public var holdsBytes: Bool?

    /// The number of outputs that a model of this data has: one for each class or target.
    public var outputCount: Int { targetCount ?? classCount }

    /// Creates a summary.
    public init(
        name: String, shape: [Int], classCount: Int, targetCount: Int? = nil,
        classHistogram: [Int] = [], testCount: Int, fingerprint: String,
        sourceFingerprint: String? = nil, partitionRecordCounts: [Int]
    ) {
        self.targetCount = targetCount
        self.classHistogram = classHistogram
        self.sourceFingerprint = sourceFingerprint
        self.name = name
        self.shape = shape
        self.classCount = classCount
        self.testCount = testCount
        self.fingerprint = fingerprint
        self.partitionRecordCounts = partitionRecordCounts
    }
}

/// Tells a member to host shards; their state at `step` follows on the bulk socket.
public struct HostShards: Hashable, Codable, Sendable {
    /// The shards that the member hosts.
    public var shards: [ShardIndex]
    /// The number of shards in the run.
    public var shardCount: Int
    /// The number of the placement; a later one replaces an earlier one.
    public var placement: Placement
    /// The version at which the shards start.
    public var step: Step
    /// Steps below this one may run; a shard that reaches this version reports at once.
    public var stepLimit: Step
    /// The places of all shards; nil unless hosts of shards exchange the norm of the gradient.
    public var peers: [ShardPlacement]?
    /// The changes of the learning rate's factor, complete for the steps below the limit; nil
    /// without any.
    public var rates: [RateChange]?

    /// Creates the message.
    public init(
        shards: [ShardIndex], shardCount: Int, placement: Placement, step: Step, stepLimit: Step,
        peers: [ShardPlacement]? = nil, rates: [RateChange]? = nil
    ) {
        self.rates = rates
        self.shards = shards
        self.shardCount = shardCount
        self.placement = placement
        self.step = step
        self.stepLimit = stepLimit
        self.peers = peers
    }
}

/// Tells a worker to begin no further step and to answer with `holding`.
public struct Hold: Hashable, Codable, Sendable {
    /// The number of the question, which the answer repeats.
    public var number: Int

    /// Creates the message.
    public init(number: Int) { self.number = number }
}

/// Asks a member for the state of its shards at the version at which they rest.
public struct Snapshot: Hashable, Codable, Sendable {
    /// The version.
    public var step: Step

    /// Creates the message.
    public init(step: Step) { self.step = step }
}

/// Tells a worker to evaluate chunks of the test records.
public struct Evaluate: Hashable, Codable, Sendable {
    /// The version of the weights to evaluate.
    public var step: Step
    /// The numbers of the chunks.
    public var chunks: [EvaluationChunkIndex]

    /// Creates the message.
    public init(step: Step, chunks: [EvaluationChunkIndex]) {
        self.step = step
        self.chunks = chunks
    }
}

/// The coordinator's sign of life.
public struct Alive: Hashable, Codable, Sendable {
    /// Steps below this one may run.
    public var stepLimit: Step
    /// Reports of steps below this one are in the ledger; shards need not keep them any longer.
    public var recorded: Step
    /// Reports of steps below this one have arrived; shards need not send them again.
    public var received: Step
    /// The number of workers that are ready; an audit takes two.
    public var workerCount: Int
    /// The changes of the learning rate's factor, complete for the steps below the limit; nil
    /// without any.
    public var rates: [RateChange]?

    /// Creates the message; without `received`, the reports below `recorded` have arrived.
    public init(
        stepLimit: Step, recorded: Step, received: Step? = nil, workerCount: Int,
        rates: [RateChange]? = nil
    ) {
        self.rates = rates
        self.stepLimit = stepLimit
        self.recorded = recorded
        self.received = received ?? recorded
        self.workerCount = workerCount
    }
}

/// What an audit found about a virtual worker's gradient: that workers disagree, or that two
/// workers contradict others.
public struct AuditFinding: Hashable, Codable, Sendable {
    /// The step of the gradient.
    public var step: Step
    /// The virtual worker of the gradient.
    public var virtualWorker: VirtualWorkerIndex
    /// The workers that disagree, or the workers that two others contradict.
    public var peers: [PeerIdentity]

    /// Creates a finding.
    public init(step: Step, virtualWorker: VirtualWorkerIndex, peers: [PeerIdentity]) {
        self.step = step
        self.virtualWorker = virtualWorker
        self.peers = peers
    }
}

/// Tells a worker to compute and contribute a virtual worker's gradient, once more if it did so
/// already: others disagree about it.
public struct Recompute: Hashable, Codable, Sendable {
    /// The step to compute the gradient for.
    public var step: Step
    /// The virtual worker to compute.
    public var virtualWorker: VirtualWorkerIndex

    /// Creates the message.
    public init(step: Step, virtualWorker: VirtualWorkerIndex) {
        self.step = step
        self.virtualWorker = virtualWorker
    }
}

/// Asks the sender of a message to say hello again: the coordinator does not know it, since the
/// coordinator restarted or had given it up.
public struct Introduce: Hashable, Codable, Sendable {
    /// Creates the message.
    public init() {}
}

/// Tells a process that the run is over, or over for this process.
public struct Shutdown: Hashable, Codable, Sendable {
    /// Why the run is over, for people.
    public var reason: String
    /// The exit code of the process.
    public var exitCode: Int
    /// Whether the run goes on with another plan, and the process is to join it anew.
    public var rejoins: Bool

    /// Creates the message.
    public init(reason: String, exitCode: Int, rejoins: Bool = false) {
        self.reason = reason
        self.exitCode = exitCode
        self.rejoins = rejoins
    }
}
