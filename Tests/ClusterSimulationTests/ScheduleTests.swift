import ClusterSimulation
import CounterRandom
import Testing

/// Thousands of schedules, each from a seed; a failure prints the seed and the last things that happened.
@Suite struct ScheduleTests {
    static func settings(seed: UInt64) -> SimulationSettings {
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

    static func expectGood(_ settings: SimulationSettings) {
        var simulation = Simulation(settings)
        let result = simulation.run()
        #expect(
            result.violation == nil && result.exitCode == 0,
            """
            seed \(settings.seed): \(result.violation ?? "") \(settings)
            \(result.trace.suffix(40).joined(separator: "\n"))
            """)
    }

    @Test func delayAndReordering() {
        for seed in 1...1500 { Self.expectGood(Self.settings(seed: UInt64(seed))) }
    }

    @Test func duplicates() {
        for seed in 2001...3000 {
            var settings = Self.settings(seed: UInt64(seed))
            settings.faults.duplicateProbability = 0.2
            Self.expectGood(settings)
        }
    }

    @Test func loss() {
        for seed in 4001...4500 {
            var settings = Self.settings(seed: UInt64(seed))
            settings.faults.lossProbability = 0.02
            settings.faults.duplicateProbability = 0.05
            Self.expectGood(settings)
        }
    }

    @Test func crashes() {
        for seed in 5001...5500 {
            var settings = Self.settings(seed: UInt64(seed))
            settings.totalSteps += 20
            settings.faults.workerCrashRate = 0.5
            settings.faults.serverCrashRate = 0.2
            settings.faults.pauseRate = 0.05
            settings.faults.calmAfter = .seconds(20)
            Self.expectGood(settings)
        }
    }
}
