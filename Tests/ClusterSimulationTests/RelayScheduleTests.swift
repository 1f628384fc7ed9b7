import ClusterSimulation
import CounterRandom
import Testing

/// The schedules of `ScheduleTests`, with relays between workers and shards.
@Suite struct RelayScheduleTests {
    /// More workers than a shard hears.
    private static func relayed(_ settings: SimulationSettings) -> SimulationSettings {
        var random = RandomStream(seed: settings.seed, purpose: .simulation, 0x4E1A)
        var settings = settings
        settings.workerCount = 4 + random.next(below: 6)
        settings.serverCount = 1 + random.next(below: 3)
        settings.virtualWorkerCount = settings.workerCount + random.next(below: 12)
        settings.fanIn = 1 + random.next(below: 3)
        return settings
    }

    /// - Returns: sums that relays added, in all runs together.
    @discardableResult
    private static func expectGood(
        _ seeds: ClosedRange<UInt64>, _ settings: (UInt64) -> SimulationSettings
    ) -> Int {
        seeds.reduce(0) { sum, seed in
            sum + ScheduleTests.expectGood(relayed(settings(seed))).relayedSumCount
        }
    }

    /// Nothing goes wrong: most sums are added on their way, and nobody has to ask again.
    @Test func quietRunsUseThem() {
        for seed in UInt64(200_001)...200_100 {
            var settings = Self.relayed(ScheduleTests.settings(seed: seed))
            settings.totalSteps = 20
            let result = ScheduleTests.expectGood(settings)
            #expect(result.relayedSumCount > settings.totalSteps, "\(settings)")
            #expect(result.retryCount == 0, "\(settings)")
        }
    }

    @Test func duplicatesAndLoss() {
        Self.expectGood(210_001...210_300) { seed in
            var settings = ScheduleTests.settings(seed: seed)
            settings.faults.duplicateProbability = 0.1
            settings.faults.lossProbability = seed.isMultiple(of: 2) ? 0.02 : 0
            return settings
        }
    }

    @Test func slowWorkers() {
        let sums = Self.expectGood(220_001...220_100) { seed in
            var settings = ScheduleTests.settings(seed: seed)
            settings.totalSteps += 60
            settings.faults.slowWorkerFactor = 40
            return settings
        }
        #expect(sums > 100 * 60)
    }

    @Test func everythingTorn() {
        let sums = Self.expectGood(230_001...230_400) { ScheduleTests.everythingTorn(seed: $0) }
        // Else this would show nothing.
        #expect(sums > 400 * 10)
    }

    @Test func cutsAndClogs() {
        Self.expectGood(240_001...240_200) { ScheduleTests.cutsAndClogs(seed: $0) }
    }

    @Test func auditsAmongFaults() {
        Self.expectGood(250_001...250_200) { ScheduleTests.auditsAmongFaults(seed: $0) }
    }
}
