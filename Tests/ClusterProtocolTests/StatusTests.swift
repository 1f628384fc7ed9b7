import ClusterProtocol
import Testing

/// What the coordinator's machine reports about the cluster.
@Suite struct StatusTests {
    private static let asker = PeerIdentity(rawValue: "status-1")

    /// A cluster that has trained two of its four steps.
    private func training(_ settings: [String: String] = [:]) -> Scenario {
        var scenario = Scenario(settings)
        for name in ["server-a", "worker-a", "worker-b"] { scenario.start(name, [:]) }
        scenario.tick(milliseconds: 1100)
        scenario.run(to: 2)
        scenario.tick(milliseconds: 100)
        return scenario
    }

    private func status(_ scenario: Scenario) -> ClusterStatus {
        scenario.coordinator.status(now: scenario.now)
    }

    @Test func waitingForMembers() {
        var scenario = Scenario([:])
        scenario.start("worker-a", [:])
        let status = status(scenario)
        #expect(status.state == .waiting)
        #expect(status.workerCount == 1)
        #expect(status.wantedWorkerCount == 2)
        #expect(status.missingShardCount == 1)
        #expect(status.loss == nil)
        #expect(!status.isHealthy)
        #expect(status.problems.contains { $0.contains("1 of 2 workers, 0 of 1 servers") })
    }

    @Test func trainingIsHealthy() throws {
        let scenario = training()
        let status = status(scenario)
        #expect(status.state == .training)
        #expect(status.problems == [])
        #expect(status.step == 2)
        #expect(status.stepCount == 4)
        #expect(status.epoch == 1)
        #expect(status.epochCount == 1)
        #expect(status.memberCount == 3)
        #expect(status.members.map(\.name) == ["server 1", "worker 1", "worker 2"])
        #expect(status.members.map(\.state) == [.ready, .ready, .ready])
        #expect(status.members.map(\.virtualWorkers) == ["", "0-1", "2-3"])
        #expect(status.members.map(\.shards) == ["0", "", ""])
        #expect(status.loss == 0)
        #expect(status.uptimeMilliseconds == 1200)
        #expect(status.imagesPerSecond > 0)
    }

    /// Any peer gets an answer, and an answer changes nothing but the budget.
    @Test func anyoneMayAskButNotTooOften() throws {
        var scenario = training()
        let before = scenario.coordinator.stateText
        let actions = scenario.coordinator.step(
            .message(.statusRequest(StatusRequest()), from: Self.asker), now: scenario.now)
        #expect(actions == [.send(.status(status(scenario)), to: Self.asker)])
        #expect(scenario.coordinator.stateText == before)
        #expect(!scenario.coordinator.isMember(Self.asker))
        var answers = 0
        for _ in 0..<1000 {
            answers +=
                scenario.coordinator.step(
                    .message(.statusRequest(StatusRequest()), from: Self.asker), now: scenario.now
                ).count
        }
        #expect(answers == 15)
        scenario.tick(milliseconds: 1000)
        let later = scenario.coordinator.step(
            .message(.statusRequest(StatusRequest()), from: Self.asker), now: scenario.now)
        #expect(later.count == 1)
    }

    @Test func silenceIsSeenBeforeItCountsAsLoss() throws {
        var scenario = training()
        scenario.kill("worker-b", isSeen: false)
        scenario.tick(milliseconds: 2500)
        let row = try #require(status(scenario).members.first { $0.name == "worker 2" })
        #expect(row.state == .silent)
        #expect(row.lastHeardMilliseconds > 2000)
        #expect(status(scenario).workerCount == 1)
        #expect(status(scenario).isHealthy)
        #expect(status(scenario).tally.lostMembers == 0)
        scenario.tick(milliseconds: 1500)
        #expect(status(scenario).tally.lostMembers == 1)
        #expect(status(scenario).members.map(\.name) == ["server 1", "worker 1"])
    }

    @Test func aSilentServerTakesItsShardsAlong() {
        var scenario = training()
        scenario.kill("server-a", isSeen: false)
        scenario.tick(milliseconds: 2500)
        #expect(status(scenario).missingShards == "0")
        #expect(!status(scenario).isHealthy)
        scenario.tick(milliseconds: 1500)
        #expect(status(scenario).state == .waiting)
        #expect(status(scenario).tally.shardLosses == 1)
    }

    @Test func withoutWorkersItWaits() {
        var scenario = training()
        scenario.kill("worker-a", isSeen: true)
        scenario.kill("worker-b", isSeen: true)
        #expect(status(scenario).state == .waiting)
        #expect(status(scenario).problems.contains("no worker is at work"))
        #expect(status(scenario).tally.lostMembers == 2)
    }

    @Test func whoIsSlowAndInWhat() throws {
        var scenario = training(["heartbeats": "none"])
        for (name, compute, input) in [("worker-a", 1000, 0), ("worker-b", 900, 1000)] {
            let heartbeat = Heartbeat(
                generation: scenario.coordinator.generation, step: Step(2), isReady: true,
                computeMicroseconds: compute, inputMicroseconds: input, waitMicroseconds: 7,
                residentByteCount: 1 << 20)
            _ = scenario.coordinator.step(
                .message(.heartbeat(heartbeat), from: PeerIdentity(rawValue: name)),
                now: scenario.now)
        }
        let rows = status(scenario).members.filter { $0.role == .worker }
        #expect(rows.map(\.slowPhase) == [nil, "input"])
        #expect(rows.map(\.slowFactor) == [1, 1.9])
        #expect(rows.map(\.computeMicroseconds) == [1000, 900])
        #expect(rows.map(\.waitMicroseconds) == [7, 7])
        #expect(rows.map(\.residentByteCount) == [1 << 20, 1 << 20])
        #expect(rows.map(\.step) == [2, 2])
    }

    /// The heartbeat's numbers would overflow a sum of integers.
    @Test func absurdHeartbeatsDoNotTrap() {
        var scenario = training()
        let heartbeat = Heartbeat(
            generation: scenario.coordinator.generation, step: Step(2), isReady: true,
            computeMicroseconds: .max, inputMicroseconds: .max, waitMicroseconds: .min,
            residentByteCount: .min)
        _ = scenario.coordinator.step(
            .message(.heartbeat(heartbeat), from: PeerIdentity(rawValue: "worker-a")),
            now: scenario.now)
        #expect(status(scenario).members.contains { $0.computeMicroseconds == .max })
    }

    @Test func whoLeavesIsNoFailure() {
        var scenario = training()
        scenario.deliver(.toMember(PeerIdentity(rawValue: "worker-b"), .stopRequested))
        #expect(status(scenario).memberCount == 2)
        #expect(status(scenario).tally == RunTally())
    }

    @Test func endIsSaid() {
        var scenario = training()
        scenario.run(to: 4)
        scenario.tick(milliseconds: 200)
        #expect(status(scenario).state == .finished)
        #expect(!status(scenario).isHealthy)
    }

    /// A run of 1,300 members comes in three pages without a gap.
    @Test func pagesCoverEveryone() {
        var scenario = Scenario(["workers": "3000"])
        for index in 0..<1300 {
            let identity = PeerIdentity(role: .worker, random: UInt64(index))
            let hello = Hello(
                identity: identity, role: .worker, host: "h", processIdentifier: index,
                threadCount: 1, build: "b1", backends: ["reference"], instructionSet: "avx2",
                bulkEndpoint: "ipc://e")
            _ = scenario.coordinator.step(.message(.hello(hello), from: identity), now: .zero)
        }
        var rows: [MemberStatus] = []
        var pages: [Int] = []
        while rows.count < 1300, pages.count < 5 {
            let page = scenario.coordinator.status(from: rows.count, now: .zero)
            #expect(page.memberCount == 1300)
            #expect(page.firstMember == rows.count)
            pages.append(page.members.count)
            rows += page.members
        }
        #expect(pages == [512, 512, 276])
        #expect(rows.map(\.processIdentifier) == Array(0..<1300))
        for odd in [Int.min, -1, 1300, .max] {
            let page = scenario.coordinator.status(from: odd, now: .zero)
            #expect(page.members.count == (odd < 0 ? 512 : 0))
        }
    }

    @Test(arguments: [
        ([], ""), ([4], "4"), ([0, 1, 2], "0-2"), ([0, 2, 3, 9], "0,2-3,9"),
        ([0, 2, 4, 6, 8, 10, 12, 14, 16, 18], "0,2,4,6,8,10,12,14,..."),
    ])
    func rangesOfIndices(_ indices: [Int], _ text: String) {
        #expect(IndexRanges.text(indices) == text)
    }

    /// What a successor counts from the journal.
    @Test func takeoversAndLossesComeFromTheJournal() {
        var recovery = CoordinatorMachine.Recovery()
        let peer = PeerIdentity(rawValue: "worker-a")
        recovery.add(.lost(peer: peer, reason: "connection closed"))
        recovery.add(.lost(peer: peer, reason: "left"))
        recovery.add(.tookOver)
        let machine = CoordinatorMachine(
            Scenario([:]).coordinator.configuration, recovery: recovery, now: .seconds(5))
        let tally = machine.status(now: .seconds(7)).tally
        #expect(tally.takeovers == 2)
        #expect(tally.lostMembers == 1)
        #expect(machine.status(now: .seconds(7)).state == .recovering)
        #expect(machine.status(now: .seconds(7)).uptimeMilliseconds == 2000)
    }
}
