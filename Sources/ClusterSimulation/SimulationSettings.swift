/// How a simulated cluster looks and what is done to it.
public struct SimulationSettings: Sendable {
    public var seed: UInt64
    public var workerCount = 2
    public var serverCount = 1
    public var virtualWorkerCount = 4
    public var parameterCount = 50
    public var chunkElementCount = 16
    public var stepsPerEpoch = 5
    public var totalSteps = 12
    public var checkpointEvery = 4
    public var evaluationChunkCount = 3
    public var heartbeatInterval: Duration = .seconds(1)
    /// Share of the leaves that are audited.
    public var auditRate = 0.0
    /// Beyond so many workers they relay for the servers; 0 for never.
    public var fanIn = 0
    /// The loss of this step, and of all after it, is not a finite number.
    public var flawedStep: Int?
    /// The weights that the flawed step begins with are not finite either.
    public var hasFlawedWeights = false
    public var faults = FaultSettings()
    /// Simulated time after which a run that has not ended counts as stuck.
    public var timeLimit: Duration = .seconds(900)

    public init(seed: UInt64) { self.seed = seed }
}

/// What the network and the hosts do wrong. Probabilities are per message or per process and second.
public struct FaultSettings: Sendable {
    public var minimumDelay: Duration = .microseconds(50)
    public var maximumDelay: Duration = .milliseconds(5)
    /// Bulk messages may overtake one another.
    public var duplicateProbability = 0.0
    public var lossProbability = 0.0
    /// A process dies; another starts in its place a little later.
    public var workerCrashRate = 0.0
    public var serverCrashRate = 0.0
    public var coordinatorCrashRate = 0.0
    /// A process stops for a while and then goes on as if nothing had happened.
    public var pauseRate = 0.0
    public var maximumPause: Duration = .seconds(8)
    /// A link is dead in one direction for a while.
    public var cutRate = 0.0
    public var maximumCut: Duration = .seconds(6)
    /// What is sent over a link, in one direction, waits for a while.
    public var clogRate = 0.0
    public var maximumClog: Duration = .seconds(3)
    /// A process stops for good; its launcher ends it once it has been silent for too long, and starts
    /// another.
    public var hangRate = 0.0
    /// The coordinator stops for a while, or so long that its launcher ends it.
    public var coordinatorPauseRate = 0.0
    /// The disk of the run directory answers nothing for a while.
    public var diskStallRate = 0.0
    public var maximumDiskStall: Duration = .seconds(10)
    /// Share of the coordinator's crashes that come in the middle of what it does: after some of
    /// its actions, within a line of the journal, or with half a checkpoint on disk.
    public var tornWriteProbability = 0.0
    /// A worker that computes this many times slower than the others.
    public var slowWorkerFactor = 1.0
    /// A computed node has one bit flipped.
    public var bitFlipProbability = 0.0
    /// Nobody dies, and nothing is paused, cut or clogged, before this time.
    public var calmBefore: Duration = .zero
    /// Faults stop at this time; from then on the run must finish.
    public var calmAfter: Duration = .seconds(60)

    public init() {}
}

/// How a simulated run ended.
public struct SimulationResult: Sendable {
    public var exitCode: Int?
    public var finalStep: Int
    /// First thing that must not happen, if it did.
    public var violation: String?
    public var simulatedTime: Duration
    public var deliveredMessageCount: Int
    public var crashCount: Int
    public var retryCount: Int
    public var helpCount: Int
    public var bitFlipCount: Int
    /// Sums that relays added before a shard got them.
    public var relayedSumCount: Int
    /// Lines of the journal and checkpoints that a crash left incomplete.
    public var tornLineCount: Int
    public var tornCheckpointCount: Int
    /// Processes that hung for good, and times that the disk did.
    public var hangCount: Int
    public var diskStallCount: Int
    /// Messages that waited for the journal.
    public var heldCount: Int
    public var traffic: SimulatedTraffic
    /// The weights in the last checkpoint; empty when there is none of the last step.
    public var finalWeights: [Float]
    /// What happened last, for a failure's report; empty when all was well.
    public var trace: [String]
}
