import ClusterSimulation
import FoundationEssentials
import Synchronization
import Testing
import Threads

/// Thousands of schedules, each from a seed; a failure prints the seed and the last events.
@Suite struct ScheduleTests {
    /// - Returns: the fault with the last events of the schedule; nil when all was well.
    static func fault(
        _ result: SimulationResult, _ settings: SimulationSettings, exitCode: Int, family: String
    ) -> String? {
        guard result.violation != nil || result.exitCode != exitCode else { return nil }
        let found = result.exitCode.map(String.init) ?? "none"
        return """
            \(family):\(settings.seed): \(result.violation ?? "exit code \(found), expected \(exitCode)") \(settings)
            \(result.trace.suffix(40).joined(separator: "\n"))
            """
    }

    @discardableResult
    static func expectGood(_ settings: SimulationSettings, exitCode: Int = 0) -> SimulationResult {
        var simulation = Simulation(settings)
        let result = simulation.run()
        let fault = fault(result, settings, exitCode: exitCode, family: "settings")
        #expect(fault == nil, "\(fault ?? "")")
        return result
    }

    @Test(arguments: ScheduleFamily.all)
    func schedules(of family: ScheduleFamily) {
        var counts = [Int](repeating: 0, count: family.evidence.count)
        for seed in family.seeds {
            let fault = family.fault(seed: seed, evidence: &counts)
            #expect(fault == nil, "\(fault ?? "")")
        }
        for (evidence, count) in zip(family.evidence, counts) {
            let mean = Double(count) / Double(family.seeds.count)
            #expect(mean >= evidence.atLeast, "\(family.name): \(mean) \(evidence.name) a schedule")
        }
    }

    /// Seeds that once showed a bug.
    @Test(arguments: [
        // An assignment was lost before another that built on it; weights were of an earlier
        // placement; a slice's state was still on its way when the coordinator died.
        "everything:7049,7094,7095,7367,7403,7567,7592,7884",
        // A checkpoint was written after the shards had been put back to the one before it, and a
        // shard that had missed the order was put back to the new one.
        "cutsAndClogs:110196",
        // Contributions from before the shards were put back let one shard run two steps ahead,
        // while the others waited for weights that were kept nowhere.
        "cutsAndClogs:110346",
        // A worker that had only another's leaf to check died, and no other worker took the check
        // over.
        "auditsAmongFaults:80341",
        // The only leaf went to a worker that came back two steps later. Until then its checker was
        // the worker that computed it.
        "auditsAmongFaults:9000002884",
        // The last worker died while the run was on its way back to finite weights.
        "flawedLosses:130562,130752,130780",
        // The disk was slower than a run that is cut short waits, and the last finite weights were lost.
        "flawedLosses:14000003782",
    ])
    func onceWrong(seeds: String) throws { try Self.replay(seeds) }

    static func replay(_ text: String) throws {
        let parts = text.split(separator: ":")
        let family = try #require(ScheduleFamily.named(parts[0]), "no family \(parts[0])")
        var counts = [Int](repeating: 0, count: family.evidence.count)
        for part in parts.dropFirst().joined().split(separator: ",") {
            let ends = part.split(separator: "-").compactMap { UInt64($0) }
            let (first, last) = (try #require(ends.first), try #require(ends.last))
            for seed in first...max(first, last) {
                let fault = family.fault(seed: seed, evidence: &counts)
                #expect(fault == nil, "\(fault ?? "")")
            }
        }
    }

    /// Without faults, relays add most sums on their way, and no message is asked for again.
    @Test func quietRunsUseRelays() {
        for seed in UInt64(200_001)...200_100 {
            var settings = ScheduleFamily.relayed(ScheduleFamily.plain(seed))
            settings.totalSteps = 20
            let result = Self.expectGood(settings)
            #expect(result.relayedSumCount > settings.totalSteps, "\(settings)")
            #expect(result.retryCount == 0, "\(settings)")
        }
    }

    // MARK: - On demand

    /// What `CONVOY_SCHEDULES` asks for. A number is the count of schedules over all families, as
    /// in `Scripts/bench/schedules.sh`. Families after the number, as `1000000 everything stalls`,
    /// restrict it to their share. `stalls:120001-120010,120400` names seeds of one family.
    private static let demand = ProcessInfo.processInfo.environment["CONVOY_SCHEDULES"]

    @Test(.enabled(if: demand != nil, "CONVOY_SCHEDULES names a number of schedules, or family:seeds"))
    func onDemand() throws {
        let demand = try #require(Self.demand)
        let words = demand.split(separator: " ")
        guard let total = words.first.flatMap({ Int($0) }) else { return try Self.replay(demand) }
        let names = words.dropFirst().map(String.init)
        let known = Set(ScheduleFamily.all.map(\.name))
        #expect(known.isSuperset(of: names), "the families are \(known.sorted())")
        print("| family | schedules | violations | time |\n|---|--:|--:|--:|")
        var (count, faults, seconds) = (0, 0, 0.0)
        for family in ScheduleFamily.all where names.isEmpty || names.contains(family.name) {
            let outcome = Self.series(family, of: total)
            print(
                "| \(family.name) | \(family.longSeries(of: total).count) | \(outcome.faults.count)"
                    + " | \(Int(outcome.seconds)) s |")
            count += family.longSeries(of: total).count
            faults += outcome.faults.count
            seconds += outcome.seconds
            for fault in outcome.faults.prefix(3) { Issue.record("\(fault)") }
        }
        print("| all | \(count) | \(faults) | \(Int(seconds)) s |")
    }

    /// Goes through the seeds of a long series, on every core.
    private static func series(
        _ family: ScheduleFamily, of total: Int
    ) -> (faults: [String], seconds: Double) {
        let seeds = family.longSeries(of: total)
        let next = Atomic(seeds.lowerBound)
        let faults = Mutex<[String]>([])
        let began = ContinuousClock.now
        let threads = ProcessInfo.processInfo.activeProcessorCount
        let search: @Sendable () -> Void = {
            var counts = [Int](repeating: 0, count: family.evidence.count)
            while true {
                let seed = next.add(1, ordering: .relaxed).oldValue
                guard seed < seeds.upperBound else { return }
                guard let fault = family.fault(seed: seed, evidence: &counts) else { continue }
                faults.withLock { $0.append(fault) }
            }
        }
        for thread in (0..<threads).map({ _ in WorkThread(search) }) { thread.join() }
        let passed = (ContinuousClock.now - began) / .seconds(1)
        return (faults.withLock { $0 }, passed)
    }
}
