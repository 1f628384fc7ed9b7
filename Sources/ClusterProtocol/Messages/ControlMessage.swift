/// Everything said between the coordinator and the other processes, a JSON frame each.
///
/// Written as `{"version":1,"kind":"hello","body":{...}}`. A kind that is not known is dropped.
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
    // From the coordinator to whoever asked.
    case status(ClusterStatus)

    /// Version of the control protocol; both sides must have the same.
    public static let version = 1
}

/// First words of a process that joins.
public struct Hello: Hashable, Codable, Sendable {
    /// Compute threads of one process; whoever says more is refused.
    static let maximumThreadCount = 1 << 16

    public var identity: PeerIdentity
    public var role: Role
    public var host: String
    public var processIdentifier: Int
    public var threadCount: Int
    public var protocolVersion: Int
    /// Fingerprint of the build: only equal builds compute equal contributions.
    public var build: String
    /// Backends this build has.
    public var backends: [String]
    /// The best instruction set of this host, as oneDNN names it.
    public var instructionSet: String
    /// Where its shards can be reached.
    public var bulkEndpoint: String?
    /// Its public CURVE key, which its shards prove to hold; nil without keys.
    public var publicKey: String?
    /// What its launcher calls it, for people, for instance "worker 2".
    public var label: String?
    /// What an earlier coordinator told it, if this is not its first run in the job.
    public var session: Session?

    /// State of a process that has been at work before the coordinator restarted.
    public struct Session: Hashable, Codable, Sendable {
        public var run: String
        public var generation: Generation
        /// The placement its shards belong to; 0 when it hosts none.
        public var placement: Int

        public init(run: String, generation: Generation, placement: Int) {
            self.run = run
            self.generation = generation
            self.placement = placement
        }
    }

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
    /// Of the data set a worker opened; nil from a server, which opens none.
    public var dataFingerprint: String?
    public var modelFingerprint: String
    /// Of the settings that decide bits.
    public var settingsFingerprint: String

    public init(
        dataFingerprint: String?, modelFingerprint: String, settingsFingerprint: String = ""
    ) {
        self.dataFingerprint = dataFingerprint
        self.modelFingerprint = modelFingerprint
        self.settingsFingerprint = settingsFingerprint
    }
}

/// A sign of life.
public struct Heartbeat: Hashable, Codable, Sendable {
    public var generation: Generation
    public var step: Step
    /// Everything is loaded: said again here in case `ready` was lost.
    public var isReady: Bool
    /// Time a virtual worker took since the last heartbeat, mean, in microseconds; 0 when none ran.
    public var computeMicroseconds: Int
    /// Of that, waiting for input.
    public var inputMicroseconds: Int
    /// Time from the last contribution of a step to the first weights of the next, mean.
    public var waitMicroseconds: Int
    /// Memory the process has resident; nil when that is not known.
    public var residentByteCount: Int?

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

/// A shard's state is in place.
public struct ShardReady: Hashable, Codable, Sendable {
    public var shard: ShardIndex
    public var placement: Int
    public var step: Step

    public init(shard: ShardIndex, placement: Int, step: Step) {
        self.shard = shard
        self.placement = placement
        self.step = step
    }
}

/// What a finished step says of itself.
public struct StepReport: Hashable, Codable, Sendable {
    public var step: Step
    public var sampleCount: Int
    /// Bit pattern of the loss sum: JSON numbers are not trusted with the last bit.
    public var lossBits: UInt64
    public var correctCount: Int
    public var recordDigest: UInt64

    public var lossSum: Double { Double(bitPattern: lossBits) }

    /// The first virtual worker whose loss was not a finite number.
    public var flawedLeaf: Int? { ContributionTotals(lossSum: lossSum).flawedLeaf }

    /// Whether the counts can be those of a step at all: they came over the network.
    var isPlausible: Bool {
        (0..<(1 << 40)).contains(sampleCount) && (0...sampleCount).contains(correctCount)
    }

    public init(step: Step, totals: ContributionTotals) {
        self.step = step
        sampleCount = totals.sampleCount
        lossBits = totals.lossSum.bitPattern
        correctCount = totals.correctCount
        recordDigest = totals.recordDigest
    }
}

/// How far a shard is; the first shard also reports each step.
public struct Progress: Hashable, Codable, Sendable {
    public var shard: ShardIndex
    public var placement: Int
    /// The version all its chunks have reached.
    public var step: Step
    public var reports: [StepReport]

    public init(shard: ShardIndex, placement: Int, step: Step, reports: [StepReport]) {
        self.shard = shard
        self.placement = placement
        self.step = step
        self.reports = reports
    }
}

/// The worker will begin no step from `step` on until told; all before it are contributed.
public struct Holding: Hashable, Codable, Sendable {
    public var number: Int
    public var step: Step

    public init(number: Int, step: Step) {
        self.number = number
        self.step = step
    }
}

/// Result of one evaluation chunk.
public struct EvaluationResult: Hashable, Codable, Sendable {
    public var chunk: Int
    public var recordCount: Int
    public var correctCount: Int
    public var lossBits: UInt64

    public init(chunk: Int, recordCount: Int, correctCount: Int, lossSum: Double) {
        self.chunk = chunk
        self.recordCount = recordCount
        self.correctCount = correctCount
        lossBits = lossSum.bitPattern
    }

    /// Whether the counts can be those of a chunk at all: they came over the network.
    var isPlausible: Bool {
        (0..<(1 << 40)).contains(recordCount) && (0...recordCount).contains(correctCount)
    }
}

public struct Evaluated: Hashable, Codable, Sendable {
    public var step: Step
    public var results: [EvaluationResult]

    public init(step: Step, results: [EvaluationResult]) {
        self.step = step
        self.results = results
    }
}

public struct Leaving: Hashable, Codable, Sendable {
    public var reason: String

    public init(reason: String) { self.reason = reason }
}

/// Trouble that ends a process, with the exit code that names its kind.
public struct Failure: Hashable, Codable, Sendable, Error {
    public var text: String
    public var exitCode: Int

    public init(text: String, exitCode: Int) {
        self.text = text
        self.exitCode = exitCode
    }
}

/// The coordinator takes a process in.
public struct Welcome: Hashable, Codable, Sendable {
    public var run: String
    /// The run file, resolved: the same text that stands in the run directory.
    public var configuration: String
    /// Where shards send and fetch state.
    public var bulkEndpoint: String
    public var backend: String
    /// The data set as the coordinator read it.
    public var data: DataSummary
    /// Where partitions can be had.
    public var dataEndpoint: String?

    public init(
        run: String, configuration: String, bulkEndpoint: String, backend: String,
        data: DataSummary, dataEndpoint: String? = nil
    ) {
        self.run = run
        self.configuration = configuration
        self.bulkEndpoint = bulkEndpoint
        self.backend = backend
        self.data = data
        self.dataEndpoint = dataEndpoint
    }
}

/// A data set in so many words that a server needs not open it.
public struct DataSummary: Hashable, Codable, Sendable {
    public var name: String
    /// [C, H, W].
    public var shape: [Int]
    public var classCount: Int
    public var testCount: Int
    public var fingerprint: String
    /// Before any transformation; nil: as `fingerprint`.
    public var sourceFingerprint: String?
    /// Records of each training partition.
    public var partitionRecordCounts: [Int]

    public init(
        name: String, shape: [Int], classCount: Int, testCount: Int, fingerprint: String,
        sourceFingerprint: String? = nil, partitionRecordCounts: [Int]
    ) {
        self.sourceFingerprint = sourceFingerprint
        self.name = name
        self.shape = shape
        self.classCount = classCount
        self.testCount = testCount
        self.fingerprint = fingerprint
        self.partitionRecordCounts = partitionRecordCounts
    }
}

/// Host these shards; their state at `step` follows on the bulk socket.
public struct HostShards: Hashable, Codable, Sendable {
    public var shards: [ShardIndex]
    public var shardCount: Int
    public var placement: Int
    public var step: Step
    /// Beyond this version nothing is asked for yet; reports are sent at once when it is reached.
    public var stepLimit: Step

    public init(
        shards: [ShardIndex], shardCount: Int, placement: Int, step: Step, stepLimit: Step
    ) {
        self.shards = shards
        self.shardCount = shardCount
        self.placement = placement
        self.step = step
        self.stepLimit = stepLimit
    }
}

/// Begin no further step and answer with `holding`.
public struct Hold: Hashable, Codable, Sendable {
    public var number: Int

    public init(number: Int) { self.number = number }
}

/// Send the state of your shards at this version, which they rest at.
public struct Snapshot: Hashable, Codable, Sendable {
    public var step: Step

    public init(step: Step) { self.step = step }
}

/// Evaluate these chunks of the test records with the weights of `step`.
public struct Evaluate: Hashable, Codable, Sendable {
    public var step: Step
    public var chunks: [Int]

    public init(step: Step, chunks: [Int]) {
        self.step = step
        self.chunks = chunks
    }
}

/// The coordinator's sign of life.
public struct Alive: Hashable, Codable, Sendable {
    public var stepLimit: Step
    /// Reports of steps below this one are in the ledger, and need not be kept any longer.
    public var recorded: Step
    /// Reports of steps below this one have arrived, and need not be sent again.
    public var received: Step
    /// Workers at work; an audit takes two.
    public var workerCount: Int

    public init(stepLimit: Step, recorded: Step, received: Step? = nil, workerCount: Int) {
        self.stepLimit = stepLimit
        self.recorded = recorded
        self.received = received ?? recorded
        self.workerCount = workerCount
    }
}

/// What an audit found about the gradient of a leaf: the workers who disagree, or those whom two
/// others contradict.
public struct AuditFinding: Hashable, Codable, Sendable {
    public var step: Step
    public var virtualWorker: Int
    public var peers: [PeerIdentity]

    public init(step: Step, virtualWorker: Int, peers: [PeerIdentity]) {
        self.step = step
        self.virtualWorker = virtualWorker
        self.peers = peers
    }
}

/// Compute this leaf (once more) and contribute it: others disagree about it.
public struct Recompute: Hashable, Codable, Sendable {
    public var step: Step
    public var virtualWorker: Int

    public init(step: Step, virtualWorker: Int) {
        self.step = step
        self.virtualWorker = virtualWorker
    }
}

/// The coordinator does not know the sender (it restarted, or gave the sender up): say hello again.
public struct Introduce: Hashable, Codable, Sendable {
    public init() {}
}

/// The run is over, or over for the receiver.
public struct Shutdown: Hashable, Codable, Sendable {
    public var reason: String
    public var exitCode: Int

    public init(reason: String, exitCode: Int) {
        self.reason = reason
        self.exitCode = exitCode
    }
}
