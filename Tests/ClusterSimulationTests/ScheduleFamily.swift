import ClusterProtocol
import ClusterSimulation
import CounterRandom
import Testing

/// Schedules with one kind of fault: settings from a seed, and the evidence that the faults must
/// leave.
struct ScheduleFamily: Sendable, CustomTestStringConvertible {
    let name: String
    /// The seeds of an ordinary test run.
    let seeds: ClosedRange<UInt64>
    /// The family's share of a long series, in thousandths.
    let weight: Int
    /// The exit code that the run must have.
    var exitCode = 0
    let settings: @Sendable (UInt64) -> SimulationSettings
    /// What must have happened in the schedules: without it the family shows nothing.
    var evidence: [Evidence] = []

    struct Evidence: Sendable {
        let name: String
        /// The least mean count a schedule.
        let atLeast: Double
        let count: @Sendable (SimulationResult) -> Int
    }

    var testDescription: String { name }

    /// Returns the seeds of a long series. They differ between families, and from those of an
    /// ordinary run.
    func longSeries(of total: Int) -> Range<UInt64> {
        let first = (seeds.lowerBound / 10_000 + 1) * 1_000_000_000
        return first..<first + UInt64(total * weight / 1000)
    }

    /// - Returns: the fault with the last events of the schedule; nil when all was well.
    func fault(seed: UInt64, evidence counts: inout [Int]) -> String? {
        let settings = settings(seed)
        var simulation = Simulation(settings)
        let result = simulation.run()
        for (index, evidence) in evidence.enumerated() { counts[index] += evidence.count(result) }
        return ScheduleTests.fault(result, settings, exitCode: exitCode, family: name)
    }

    static func named(_ name: some StringProtocol) -> ScheduleFamily? { all.first { $0.name == name } }

    // MARK: - The table

    static let all: [ScheduleFamily] = [
        ScheduleFamily(name: "delay", seeds: 1...4000, weight: 200, settings: plain),
        ScheduleFamily(name: "duplicates", seeds: 10_001...14_000, weight: 280) { seed in
            var settings = plain(seed)
            settings.faults.duplicateProbability = 0.2
            return settings
        },
        ScheduleFamily(name: "loss", seeds: 20_001...22_000, weight: 287) { seed in
            var settings = plain(seed)
            settings.faults.lossProbability = 0.02
            settings.faults.duplicateProbability = 0.05
            return settings
        },
        ScheduleFamily(name: "crashes", seeds: 30_001...33_000, weight: 80) { seed in
            var settings = plain(seed)
            settings.totalSteps += 20
            settings.faults.workerCrashRate = 0.5
            settings.faults.serverCrashRate = 0.2
            settings.faults.pauseRate = 0.05
            settings.faults.calmAfter = .seconds(20)
            return settings
        },
        ScheduleFamily(name: "coordinatorCrashes", seeds: 40_001...43_000, weight: 40) { seed in
            var settings = plain(seed)
            settings.totalSteps += 40
            settings.faults.maximumDelay = .milliseconds(60)
            settings.faults.coordinatorCrashRate = 0.5
            settings.faults.calmAfter = .seconds(30)
            return settings
        },
        ScheduleFamily(name: "everything", seeds: 50_001...53_000, weight: 30, settings: everything),
        ScheduleFamily(name: "slowWorkers", seeds: 60_001...60_400, weight: 2) { seed in
            var settings = plain(seed)
            settings.workerCount = max(2, settings.workerCount)
            settings.virtualWorkerCount = 16
            settings.totalSteps += 60
            settings.faults.slowWorkerFactor = 40
            settings.faults.duplicateProbability = 0.05
            return settings
        },
        // Every leaf is audited, and one in a hundred has a flipped bit. None gets through while
        // two workers are there to compare.
        ScheduleFamily(name: "audits", seeds: 70_001...70_400, weight: 5) { seed in
            var settings = plain(seed)
            settings.workerCount = 5 + Int(seed % 4)
            settings.totalSteps += 20
            settings.auditRate = 1
            settings.faults.bitFlipProbability = 0.01
            return settings
        },
        ScheduleFamily(
            name: "auditsAmongFaults", seeds: 80_001...80_400, weight: 8, settings: auditsAmongFaults),
        // The coordinator dies within an action: in a line of the journal, with half a checkpoint
        // on disk, between two messages.
        ScheduleFamily(
            name: "tornWrites", seeds: 90_001...91_000, weight: 15,
            settings: { seed in
                var settings = plain(seed)
                settings.totalSteps += 20
                settings.checkpointEvery = 1 + Int(seed % 4)
                settings.faults.maximumDelay = .milliseconds(60)
                settings.faults.coordinatorCrashRate = 1.5
                settings.faults.tornWriteProbability = 0.8
                settings.faults.calmAfter = .seconds(30)
                return settings
            },
            evidence: [
                Evidence(name: "torn lines", atLeast: 0.3) { $0.tornLineCount },
                Evidence(name: "torn checkpoints", atLeast: 0.03) { $0.tornCheckpointCount },
            ]),
        ScheduleFamily(
            name: "everythingTorn", seeds: 100_001...101_000, weight: 8, settings: everythingTorn),
        ScheduleFamily(name: "cutsAndClogs", seeds: 110_001...110_500, weight: 8, settings: cutsAndClogs),
        // Processes hang for good, a coordinator may wake up again, and a disk does not answer.
        // Launchers end processes that hang, and members are told nothing that is not on disk.
        ScheduleFamily(
            name: "stalls", seeds: 120_001...120_400, weight: 4,
            settings: { seed in
                var settings = plain(seed)
                settings.totalSteps += 30
                settings.checkpointEvery = Int(seed % 5)
                settings.faults.maximumDelay = .milliseconds(60)
                settings.faults.hangRate = 0.1
                settings.faults.coordinatorPauseRate = 0.2
                settings.faults.diskStallRate = 0.3
                settings.faults.coordinatorCrashRate = 0.1
                settings.faults.calmAfter = .seconds(30)
                return settings
            },
            evidence: [
                Evidence(name: "hangs", atLeast: 2.5) { $0.hangCount },
                Evidence(name: "stalls of the disk", atLeast: 2.5) { $0.diskStallCount },
                Evidence(name: "held messages", atLeast: 2.5) { $0.heldCount },
            ]),
        // A loss that is not finite comes up: the run ends with 65 and the last finite weights,
        // whatever other faults occur.
        ScheduleFamily(
            name: "flawedLosses", seeds: 130_001...130_800, weight: 4, exitCode: 65, settings: flawed),
        ScheduleFamily(name: "everythingStalled", seeds: 140_001...140_400, weight: 4) { seed in
            var settings = everythingTorn(seed)
            settings.faults.hangRate = 0.05
            settings.faults.coordinatorPauseRate = 0.1
            settings.faults.diskStallRate = 0.2
            return settings
        },
        // The coordinator ends runs early and reduces the rate, and dies around these decisions.
        // Every successor decides the same, and every shard updates each step at the same rate.
        ScheduleFamily(
            name: "decisions", seeds: 150_001...151_000, weight: 8,
            settings: { deciding(everythingTorn($0)) }, evidence: decisions),
        ScheduleFamily(
            name: "decisionsAmongStalls", seeds: 160_001...160_500, weight: 4,
            settings: { seed in
                var settings = everythingTorn(seed)
                settings.faults.hangRate = 0.05
                settings.faults.coordinatorPauseRate = 0.1
                settings.faults.diskStallRate = 0.3
                return deciding(settings)
            }, evidence: decisions),
        ScheduleFamily(
            name: "decisionsAmongCutsAndClogs", seeds: 170_001...170_500, weight: 4,
            settings: { deciding(cutsAndClogs($0)) }, evidence: decisions),
        ScheduleFamily(name: "relayedDuplicatesAndLoss", seeds: 210_001...210_300, weight: 1) { seed in
            var settings = plain(seed)
            settings.faults.duplicateProbability = 0.1
            settings.faults.lossProbability = seed.isMultiple(of: 2) ? 0.02 : 0
            return relayed(settings)
        },
        ScheduleFamily(
            name: "relayedSlowWorkers", seeds: 220_001...220_100, weight: 1,
            settings: { seed in
                var settings = plain(seed)
                settings.totalSteps += 60
                settings.faults.slowWorkerFactor = 40
                return relayed(settings)
            },
            evidence: [Evidence(name: "relayed sums", atLeast: 60) { $0.relayedSumCount }]),
        ScheduleFamily(
            name: "relayedEverythingTorn", seeds: 230_001...230_400, weight: 1,
            settings: { relayed(everythingTorn($0)) },
            evidence: [Evidence(name: "relayed sums", atLeast: 10) { $0.relayedSumCount }]),
        ScheduleFamily(name: "relayedCutsAndClogs", seeds: 240_001...240_200, weight: 1) {
            relayed(cutsAndClogs($0))
        },
        ScheduleFamily(name: "relayedAuditsAmongFaults", seeds: 250_001...250_200, weight: 1) {
            relayed(auditsAmongFaults($0))
        },
        // The gradient is clipped by its norm, which the hosts of shards tell one another.
        ScheduleFamily(
            name: "clippedLoss", seeds: 310_001...310_600, weight: 5,
            settings: { seed in
                var settings = plain(seed)
                settings.faults.lossProbability = 0.02
                settings.faults.duplicateProbability = 0.05
                return clipped(settings)
            },
            evidence: [
                Evidence(name: "clipped updates", atLeast: 10) { $0.clipCount },
                Evidence(name: "questions for squares", atLeast: 1) { $0.squareQuestionCount },
            ]),
        ScheduleFamily(
            name: "clippedEverythingTorn", seeds: 320_001...320_600, weight: 5,
            settings: { clipped(everythingTorn($0)) },
            evidence: [Evidence(name: "clipped updates", atLeast: 20) { $0.clipCount }]),
        ScheduleFamily(name: "clippedCutsAndClogs", seeds: 330_001...330_300, weight: 5) {
            clipped(cutsAndClogs($0))
        },
        ScheduleFamily(name: "clippedAuditsAmongFaults", seeds: 340_001...340_200, weight: 3) {
            clipped(auditsAmongFaults($0))
        },
        ScheduleFamily(name: "clippedAndRelayed", seeds: 350_001...350_200, weight: 2) {
            clipped(relayed(everything($0)))
        },
        // While the coordinator is away, the steps of an epoch go on.
        ScheduleFamily(name: "clippedWithoutCoordinator", seeds: 360_001...360_300, weight: 3) { seed in
            var settings = plain(seed)
            settings.totalSteps += 40
            settings.stepsPerEpoch = 20
            settings.faults.maximumDelay = .milliseconds(60)
            settings.faults.coordinatorCrashRate = 1
            settings.faults.calmAfter = .seconds(30)
            return clipped(settings)
        },
    ]

    /// The evidence that there was something to decide.
    private static let decisions = [
        Evidence(name: "reductions of the rate", atLeast: 1) { $0.reductionCount },
        Evidence(name: "early ends", atLeast: 0.2) { $0.endsEarly ? 1 : 0 },
    ]

    // MARK: - Settings from a seed

    /// Judges the evaluations of a run, by rules from its seed.
    static func deciding(_ settings: SimulationSettings) -> SimulationSettings {
        var random = RandomStream(seed: settings.seed, purpose: .simulation, 0xDEC1)
        var settings = settings
        let metric = { EvaluationMetric.allCases[random.next(below: 2)] }
        settings.totalSteps += settings.stepsPerEpoch * 4
        settings.rules.plateau = RatePlateau(
            metric: metric(), factor: 0.5, patience: random.next(below: 2),
            isRelative: false, cooldown: random.next(below: 2), minimumFactor: 0.01)
        if random.next(below: 3) > 0 {
            settings.rules.stopping = EarlyStopping(
                metric: metric(), patience: 1 + random.next(below: 5))
        }
        return settings
    }

    /// A small cluster whose messages take different times, without other faults.
    static func plain(_ seed: UInt64) -> SimulationSettings {
        var random = RandomStream(seed: seed, purpose: .simulation, 0x5E77)
        var settings = SimulationSettings(seed: seed)
        settings.workerCount = 1 + random.next(below: 6)
        settings.serverCount = random.next(below: 4)
        settings.virtualWorkerCount = 1 + random.next(below: 9)
        settings.parameterCount = 1 + random.next(below: 120)
        settings.stepsPerEpoch = 1 + random.next(below: 6)
        settings.totalSteps = 1 + random.next(below: 14)
        settings.checkpointEvery = random.next(below: 6)
        settings.faults.maximumDelay = .milliseconds(1 + random.next(below: 40))
        return settings
    }

    static func everything(_ seed: UInt64) -> SimulationSettings {
        var settings = plain(seed)
        settings.totalSteps += 30
        settings.faults.workerCrashRate = 0.3
        settings.faults.serverCrashRate = 0.1
        settings.faults.coordinatorCrashRate = 0.1
        settings.faults.pauseRate = 0.05
        settings.faults.cutRate = 0.05
        settings.faults.lossProbability = 0.005
        settings.faults.duplicateProbability = 0.02
        settings.faults.calmAfter = .seconds(30)
        return settings
    }

    /// All faults, with a coordinator that dies within its actions and links that clog.
    static func everythingTorn(_ seed: UInt64) -> SimulationSettings {
        var settings = everything(seed)
        settings.faults.coordinatorCrashRate = 0.5
        settings.faults.tornWriteProbability = 0.7
        settings.faults.clogRate = 0.05
        return settings
    }

    static func cutsAndClogs(_ seed: UInt64) -> SimulationSettings {
        var settings = plain(seed)
        settings.totalSteps += 20
        settings.faults.cutRate = 0.2
        settings.faults.clogRate = 0.5
        settings.faults.calmAfter = .seconds(30)
        return settings
    }

    /// All faults, while a share of the leaves is audited.
    static func auditsAmongFaults(_ seed: UInt64) -> SimulationSettings {
        var settings = everything(seed)
        settings.auditRate = 0.3
        settings.faults.calmAfter = .seconds(15)
        return settings
    }

    static func flawed(_ seed: UInt64) -> SimulationSettings {
        var settings = plain(seed)
        settings.totalSteps += 20
        settings.flawedStep = Int(seed % UInt64(settings.totalSteps))
        settings.hasFlawedWeights = seed % 3 == 0 && settings.flawedStep != 0
        guard seed % 2 == 0 else { return settings }
        settings.faults.workerCrashRate = 0.3
        settings.faults.serverCrashRate = 0.1
        settings.faults.coordinatorCrashRate = 0.3
        settings.faults.diskStallRate = 0.1
        settings.faults.duplicateProbability = 0.05
        settings.faults.calmAfter = .seconds(30)
        return settings
    }

    /// Clips the gradient, in a cluster that mostly has several hosts of shards.
    static func clipped(_ settings: SimulationSettings) -> SimulationSettings {
        var random = RandomStream(seed: settings.seed, purpose: .simulation, 0xC11B)
        var settings = settings
        settings.parameterCount = 40 + random.next(below: 120)
        if settings.fanIn == 0 { settings.serverCount = [0, 2, 3, 4][random.next(below: 4)] }
        settings.clipNorm = [0.02, 0.1, 0.5][random.next(below: 3)]
        return settings
    }

    /// Gives the cluster more workers than a shard hears, and so relays between them.
    static func relayed(_ settings: SimulationSettings) -> SimulationSettings {
        var random = RandomStream(seed: settings.seed, purpose: .simulation, 0x4E1A)
        var settings = settings
        settings.workerCount = 4 + random.next(below: 6)
        settings.serverCount = 1 + random.next(below: 3)
        settings.virtualWorkerCount = settings.workerCount + random.next(below: 12)
        settings.fanIn = 1 + random.next(below: 3)
        return settings
    }
}
