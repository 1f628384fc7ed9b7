import ClusterProtocol

/// The size of a simulated cluster, and the faults it suffers.
package struct SimulationSettings: Sendable {
    /// The seed of the problem, the delays and the faults.
    package var seed: UInt64
    /// The number of workers.
    package var workerCount = 2
    /// The number of servers; 0 puts a shard into every worker.
    package var serverCount = 1
    /// The number of virtual workers, whose gradients are the leaves of the tree.
    package var virtualWorkerCount = 4
    /// The length of the weight vector, in floats.
    package var parameterCount = 50
    /// The number of floats in each chunk.
    package var chunkElementCount = 16
    /// The number of steps in an epoch. The test set is evaluated after each epoch.
    package var stepsPerEpoch = 5
    /// The number of steps after which the run ends.
    package var totalSteps = 12
    /// The number of steps from one checkpoint to the next.
    package var checkpointEvery = 4
    /// The number of chunks of test records in each evaluation.
    package var evaluationChunkCount = 3
    /// The heartbeat setting of the cluster. All time-outs derive from it.
    package var heartbeatInterval: Duration = .seconds(1)
    /// The share of the virtual workers that are audited, from 0 to 1.
    package var auditRate = 0.0
    /// The largest number of workers that need no relays; with more, workers relay for the servers.
    /// 0 means no relays.
    package var fanIn = 0
    /// The largest norm of a gradient; nil for no clipping.
    package var clipNorm: Float?
    /// The first step whose loss is not a finite number. The losses of all later steps are not
    /// finite either.
    package var flawedStep: Int?
    /// Whether the weights at the beginning of the flawed step are not finite either.
    package var hasFlawedWeights = false
    /// When the run ends early, and when the learning rate is reduced.
    package var rules = EvaluationRules()
    /// The faults of the network, the processes and the disk.
    package var faults = FaultSettings()
    /// The simulated time after which a run that has not ended counts as stuck.
    package var timeLimit: Duration = .seconds(900)

    /// Creates settings without faults.
    package init(seed: UInt64) { self.seed = seed }
}

/// The faults of the network and the hosts. A probability is per message. A rate is per process and
/// second of simulated time.
package struct FaultSettings: Sendable {
    /// The shortest time that a message travels.
    package var minimumDelay: Duration = .microseconds(50)
    /// The longest time that a message travels. Bulk messages may overtake one another; control
    /// messages on one link stay in order.
    package var maximumDelay: Duration = .milliseconds(5)
    /// The probability that a message arrives twice.
    package var duplicateProbability = 0.0
    /// The probability that a message is lost.
    package var lossProbability = 0.0
    /// The rate at which a worker dies. Another worker starts in its place a little later.
    package var workerCrashRate = 0.0
    /// The rate at which a server dies. Another server starts in its place a little later.
    package var serverCrashRate = 0.0
    /// The rate at which the coordinator dies. Another coordinator starts in its place a little
    /// later.
    package var coordinatorCrashRate = 0.0
    /// The rate at which a worker or server stops for a while and then goes on as if nothing had
    /// happened.
    package var pauseRate = 0.0
    /// The longest pause of a process.
    package var maximumPause: Duration = .seconds(8)
    /// The rate at which a link loses everything in one direction for a while.
    package var cutRate = 0.0
    /// The longest time that a link loses messages.
    package var maximumCut: Duration = .seconds(6)
    /// The rate at which messages over a link, in one direction, are held back for a while.
    package var clogRate = 0.0
    /// The longest time that a link holds messages back.
    package var maximumClog: Duration = .seconds(3)
    /// The rate at which a worker or server stops for good. Its launcher ends it once it has been
    /// silent for too long, and starts another.
    package var hangRate = 0.0
    /// The rate at which the coordinator stops for a while. A long pause makes its launcher end it.
    package var coordinatorPauseRate = 0.0
    /// The rate at which the disk of the run directory stops answering for a while.
    package var diskStallRate = 0.0
    /// The longest time that the disk does not answer.
    package var maximumDiskStall: Duration = .seconds(10)
    /// The share of the coordinator's crashes that interrupt its work: after some of its actions,
    /// within a line of the journal, or with half a checkpoint on disk.
    package var tornWriteProbability = 0.0
    /// The factor by which some workers compute more slowly than the others.
    package var slowWorkerFactor = 1.0
    /// The probability that a computed node has one bit flipped.
    package var bitFlipProbability = 0.0
    /// The time before which no process dies or pauses, no link is cut or clogged and no disk
    /// stalls.
    package var calmBefore: Duration = .zero
    /// The time from which no message is lost or duplicated and no new fault of a process, link or
    /// disk begins. The run must finish after it. Bit flips and slow workers go on.
    package var calmAfter: Duration = .seconds(60)

    /// Creates settings without faults.
    package init() {}
}

/// The result of a simulated run.
package struct SimulationResult: Sendable {
    /// The run's exit code; nil when it did not end by itself.
    package var exitCode: Int?
    /// The step that the run ended at; -1 when it did not end by itself.
    package var finalStep: Int
    /// The first violation of an invariant, in words; nil when there was none.
    package var violation: String?
    /// The time on the simulated clock when the run ended.
    package var simulatedTime: Duration
    /// The number of messages delivered.
    package var deliveredMessageCount: Int
    /// The number of processes that died, including those that a launcher ended.
    package var crashCount: Int
    /// The number of times that a worker asked again for weights that did not come.
    package var retryCount: Int
    /// The number of answers to workers that asked which contributions are missing.
    package var helpCount: Int
    /// The number of bits flipped in computed sums.
    package var bitFlipCount: Int
    /// The number of additions made by relays before a shard got the sum.
    package var relayedSumCount: Int
    /// The number of updates of a chunk with a gradient that was scaled.
    package var clipCount: Int
    /// The number of times that a host of shards asked another one for sums of squares.
    package var squareQuestionCount: Int
    /// The number of journal lines that a crash left incomplete.
    package var tornLineCount: Int
    /// The number of checkpoints that a crash left incomplete.
    package var tornCheckpointCount: Int
    /// The number of processes that hung for good, and of the coordinator's pauses that were long
    /// enough to be ended.
    package var hangCount: Int
    /// The number of times that the disk stalled.
    package var diskStallCount: Int
    /// The number of actions that waited for the journal, summed over the lines that reached the
    /// disk late.
    package var heldCount: Int
    /// The messages of the run.
    package var traffic: SimulatedTraffic
    /// The weights in the checkpoint of the last step; empty when there is no such checkpoint.
    package var finalWeights: [Float]
    /// The number of reductions of the learning rate in the serial run.
    package var reductionCount: Int
    /// Whether the serial run ends early.
    package var endsEarly: Bool
    /// The last events, for the report of a failure; empty when there was no violation.
    package var trace: [String]
}
