/// How a simulated cluster looks and what is done to it.
package struct SimulationSettings: Sendable {
    package var seed: UInt64
    package var workerCount = 2
    package var serverCount = 1
    package var virtualWorkerCount = 4
    package var parameterCount = 50
    package var chunkElementCount = 16
    package var stepsPerEpoch = 5
    package var totalSteps = 12
    package var checkpointEvery = 4
    package var evaluationChunkCount = 3
    package var heartbeatInterval: Duration = .seconds(1)
    /// Share of the leaves that are audited.
    package var auditRate = 0.0
    /// Beyond so many workers they relay for the servers; 0 for never.
    package var fanIn = 0
    /// The loss of this step, and of all after it, is not a finite number.
    package var flawedStep: Int?
    /// The weights that the flawed step begins with are not finite either.
    package var hasFlawedWeights = false
    package var faults = FaultSettings()
    /// Simulated time after which a run that has not ended counts as stuck.
    package var timeLimit: Duration = .seconds(900)

    package init(seed: UInt64) { self.seed = seed }
}

/// What the network and the hosts do wrong. Probabilities are per message or per process and second.
package struct FaultSettings: Sendable {
    package var minimumDelay: Duration = .microseconds(50)
    package var maximumDelay: Duration = .milliseconds(5)
    /// Bulk messages may overtake one another.
    package var duplicateProbability = 0.0
    package var lossProbability = 0.0
    /// A process dies; another starts in its place a little later.
    package var workerCrashRate = 0.0
    package var serverCrashRate = 0.0
    package var coordinatorCrashRate = 0.0
    /// A process stops for a while and then goes on as if nothing had happened.
    package var pauseRate = 0.0
    package var maximumPause: Duration = .seconds(8)
    /// A link is dead in one direction for a while.
    package var cutRate = 0.0
    package var maximumCut: Duration = .seconds(6)
    /// What is sent over a link, in one direction, waits for a while.
    package var clogRate = 0.0
    package var maximumClog: Duration = .seconds(3)
    /// A process stops for good; its launcher ends it once it has been silent for too long, and starts
    /// another.
    package var hangRate = 0.0
    /// The coordinator stops for a while, or so long that its launcher ends it.
    package var coordinatorPauseRate = 0.0
    /// The disk of the run directory answers nothing for a while.
    package var diskStallRate = 0.0
    package var maximumDiskStall: Duration = .seconds(10)
    /// Share of the coordinator's crashes that come in the middle of what it does: after some of
    /// its actions, within a line of the journal, or with half a checkpoint on disk.
    package var tornWriteProbability = 0.0
    /// A worker that computes this many times slower than the others.
    package var slowWorkerFactor = 1.0
    /// A computed node has one bit flipped.
    package var bitFlipProbability = 0.0
    /// Nobody dies, and nothing is paused, cut or clogged, before this time.
    package var calmBefore: Duration = .zero
    /// Faults stop at this time; from then on the run must finish.
    package var calmAfter: Duration = .seconds(60)

    package init() {}
}

/// How a simulated run ended.
package struct SimulationResult: Sendable {
    package var exitCode: Int?
    package var finalStep: Int
    /// First thing that must not happen, if it did.
    package var violation: String?
    package var simulatedTime: Duration
    package var deliveredMessageCount: Int
    package var crashCount: Int
    package var retryCount: Int
    package var helpCount: Int
    package var bitFlipCount: Int
    /// Sums that relays added before a shard got them.
    package var relayedSumCount: Int
    /// Lines of the journal and checkpoints that a crash left incomplete.
    package var tornLineCount: Int
    package var tornCheckpointCount: Int
    /// Processes that hung for good, and times that the disk did.
    package var hangCount: Int
    package var diskStallCount: Int
    /// Messages that waited for the journal.
    package var heldCount: Int
    package var traffic: SimulatedTraffic
    /// The weights in the last checkpoint; empty when there is none of the last step.
    package var finalWeights: [Float]
    /// What happened last, for a failure's report; empty when all was well.
    package var trace: [String]
}
