import ClusterProtocol
import ClusterSimulation
import Testing

/// What up to a thousand workers cost the coordinator.
@Suite struct ScaleTests {
    private static let steps = 8

    private static func settings(_ workers: Int, servers: Int = 2) -> SimulationSettings {
        var settings = SimulationSettings(seed: 31)
        settings.workerCount = workers
        settings.serverCount = servers
        settings.virtualWorkerCount = 1000
        settings.parameterCount = 40
        settings.stepsPerEpoch = 5
        settings.totalSteps = steps
        settings.evaluationChunkCount = 10
        return settings
    }

    /// Any number of workers gives one worker's result, to the bit. The cost of control does not
    /// grow with their number: messages a worker and step, and actions of the coordinator a
    /// message.
    @Test func controlCostsTheSamePerWorker() {
        let one = ScheduleTests.expectGood(Self.settings(1))
        #expect(one.finalWeights.count == 40)
        for workers in [10, 100, 1000] {
            let result = ScheduleTests.expectGood(Self.settings(workers))
            #expect(result.finalWeights == one.finalWeights)
            let (traffic, report) = (result.traffic, Self.report(result, workers))
            print(report)
            #expect(traffic.controlMessages <= Self.bound(result, workers), "\(report)")
            // Each new member is journaled, logged and welcomed, and every member is told each new
            // limit.
            #expect(traffic.coordinatorActions <= 5 * traffic.coordinatorEvents, "\(report)")
            // Each worker is sent each chunk once, and a few more in the first step and after an
            // evaluation.
            let chunks = 4
            let weights = traffic.bulk[.weights] ?? 0
            #expect(weights <= workers * chunks * (Self.steps + 4), "\(report)")
        }
    }

    /// The weights stay the same when some of a thousand workers die during training.
    @Test func aThousandWorkersOfWhomSomeDie() {
        let one = ScheduleTests.expectGood(Self.settings(1))
        var settings = Self.settings(1000)
        // About ten workers die a second.
        settings.faults.workerCrashRate = 0.01
        settings.faults.calmBefore = .milliseconds(150)
        settings.faults.calmAfter = .seconds(2)
        settings.faults.maximumDelay = .milliseconds(60)
        let result = ScheduleTests.expectGood(settings)
        #expect(result.finalWeights == one.finalWeights)
        let report = Self.report(result, 1000)
        print(report)
        #expect(result.crashCount >= 5, "\(report)")
        // Each loss and each replacement costs one more assignment for every member, and one more
        // for those whose heartbeat was on its way.
        let bound = Self.bound(result, 1000) + 1000 * 4 * result.crashCount
        #expect(result.traffic.controlMessages <= bound, "\(report)")
    }

    /// The most control messages allowed. Joining, the assignment, limits and the end come once a
    /// worker, signs of life twice a heartbeat. Evaluations are dealt by chunks, and progress comes
    /// from shards.
    private static func bound(_ result: SimulationResult, _ workers: Int) -> Int {
        let seconds = Int(result.simulatedTime / .seconds(1))
        return (workers + 4) * (8 + 2 * seconds) + 4 * steps + 60
    }

    private static func report(_ result: SimulationResult, _ workers: Int) -> String {
        let traffic = result.traffic
        let perStep = Double(traffic.controlMessages) / Double(workers * steps)
        let events = Double(max(1, traffic.coordinatorEvents))
        let kinds = traffic.byKind.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        return "\(workers) workers: \(traffic.controlMessages) control messages, "
            + "\(Int(perStep * 100)) % of one a worker and step, in \(result.simulatedTime) of "
            + "simulated time; \(Double(traffic.coordinatorActions) / events) actions a message or "
            + "tick, \(traffic.coordinatorTime / .microseconds(1) / events) us each; "
            + "\(result.crashCount) crashes; \(kinds.joined(separator: ", "))"
    }
}
