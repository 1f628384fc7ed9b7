import ClusterProtocol
import Testing

/// How a run ends, and what a successor of the coordinator does with a run that has ended.
@Suite struct EndingTests {
    private typealias Action = CoordinatorMachine.Action

    /// A successor of the scenario's coordinator, at the last of its four steps.
    private func successor(
        _ recovery: CoordinatorMachine.Recovery, totalSteps: Int = 4
    ) -> CoordinatorMachine {
        var configuration = Scenario([:]).coordinator.configuration
        configuration.startStep = Step(4)
        configuration.totalSteps = Step(totalSteps)
        return CoordinatorMachine(configuration, recovery: recovery)
    }

    private func recovery(finished exitCode: Int?) -> CoordinatorMachine.Recovery {
        var recovery = CoordinatorMachine.Recovery()
        for name in ["server-a", "worker-a", "worker-b"] {
            let role = name.hasPrefix("server") ? Role.server : .worker
            let peer = PeerIdentity(rawValue: name)
            recovery.add(.joined(peer: peer, role: role, host: "host", processIdentifier: 1))
        }
        recovery.add(.limit(Step(4), trainingSeconds: 0))
        if let exitCode { recovery.add(.finished(step: Step(4), exitCode: exitCode)) }
        recovery.recorded = Step(4)
        return recovery
    }

    private func outcome(_ actions: [Action]) -> CoordinatorMachine.Outcome? {
        for case .end(let outcome) in actions { return outcome }
        return nil
    }

    private static let beat = ControlMessage.heartbeat(
        Heartbeat(generation: Generation(1), step: Step(4)))

    /// The journal says that the run is over before members are sent home: without them the run
    /// could not go on.
    @Test func theJournalSaysItFirst() {
        var scenario = Scenario([:])
        for name in ["server-a", "worker-a"] { scenario.start(name, [:]) }
        let actions = scenario.coordinator.step(.stopRequested, now: scenario.now)
        #expect(actions.first == .journal(.finished(step: Step(0), exitCode: 130)))
        let shutdowns = actions.filter { if case .send(.shutdown, _) = $0 { true } else { false } }
        #expect(shutdowns.count == 2)
        #expect(outcome([actions[actions.count - 1]])?.exitCode == 130)
    }

    /// The coordinator was killed after the journal said so: its successor sends the remaining
    /// members home and ends well.
    @Test func aSuccessorSendsTheOthersHome() {
        var machine = successor(recovery(finished: 0))
        #expect(machine.step(.tick, now: .milliseconds(100)) == [])
        let goodbye = ControlMessage.shutdown(Shutdown(reason: "finished", exitCode: 0))
        for name in ["server-a", "worker-a"] {
            let peer = PeerIdentity(rawValue: name)
            let actions = machine.step(.message(Self.beat, from: peer), now: .milliseconds(200))
            #expect(actions == [.send(goodbye, to: peer)])
        }
        let last = PeerIdentity(rawValue: "worker-b")
        let actions = machine.step(.message(Self.beat, from: last), now: .milliseconds(300))
        #expect(actions.first == .send(goodbye, to: last))
        #expect(outcome(actions)?.exitCode == 0)
        #expect(outcome(actions)?.step == Step(4))
        #expect(outcome(actions)?.workerCount == 2)
    }

    /// So too after an early end, whatever the number of steps; the reason stays. A changed setting
    /// takes the run on.
    @Test func aSuccessorOfAnEarlyEnd() {
        let rules = EvaluationRules(stopping: EarlyStopping(metric: .testAccuracy, patience: 1))
        var known = recovery(finished: nil)
        var judgement: Judgement?
        for (step, count) in [(2, 7), (4, 7)] {
            var summary = EvaluationSummary(
                step: Step(step), recordCount: 20, correctCount: count, lossSum: 1,
                trainingSeconds: 0)
            judgement = rules.judge(summary, after: judgement)
            summary.judgement = judgement
            known.add(.evaluated(summary))
        }
        #expect(!known.isComplete(steps: Step(9), checkpoint: Step(4)))
        known.add(.finished(step: Step(4), exitCode: 0))
        #expect(known.isComplete(steps: Step(9), checkpoint: Step(4)))
        #expect(known.best?.step == Step(2))
        var configuration = Scenario([:]).coordinator.configuration
        configuration.startStep = Step(4)
        configuration.totalSteps = Step(9)
        configuration.stepsPerEpoch = 2
        configuration.rules = rules
        var machine = CoordinatorMachine(configuration, recovery: known)
        let end = outcome(machine.step(.tick, now: .milliseconds(3001)))
        #expect(end?.exitCode == 0 && end?.step == Step(4))
        #expect(
            end?.reason
                == "early stopping: test accuracy 0.3500 at epoch 1 was not improved on in 1 epoch")
        let change = SettingChange(key: "training.early-stopping", from: "a", to: "b")
        known.add(.changed(step: Step(4), settings: [change], formerSource: nil))
        #expect(!known.isComplete(steps: Step(9), checkpoint: Step(4)))
    }

    /// A member that cannot compute ends a run that gathers its members. Where they join anew for a
    /// later plan, it is lost, as in training, and the run waits for another one.
    @Test(arguments: [false, true]) func aFailureWhileMembersAreGathered(membersRejoin: Bool) {
        var scenario = Scenario([:])
        var configuration = scenario.coordinator.configuration
        configuration.membersRejoin = membersRejoin
        scenario.coordinator = CoordinatorMachine(configuration)
        for name in ["server-a", "worker-a"] { scenario.start(name, [:]) }
        let worker = PeerIdentity(rawValue: "worker-a")
        let failure = Failure(text: "no such data", exitCode: 65)
        let actions = scenario.coordinator.step(
            .message(.failed(failure), from: worker), now: scenario.now)
        #expect(outcome(actions)?.exitCode == (membersRejoin ? nil : 65))
        #expect(outcome(actions)?.reason == (membersRejoin ? nil : "no such data"))
        let lost = Action.journal(.lost(peer: worker, reason: "no such data"))
        #expect(actions.contains(lost) == membersRejoin)
        guard membersRejoin else { return }
        for name in ["worker-b", "worker-c"] { scenario.start(name, [:]) }
        scenario.run(to: 4)
        #expect(scenario.lines.contains { $0.hasPrefix("coordinator: end: step 4, exitCode 0") })
    }

    /// All processes died after an evaluation that was the best so far, and before its checkpoint was
    /// written. The resumed run finds the same weights the best again, and keeps them.
    @Test func theBestAfterTheCheckpointIsFoundAgain() {
        var known = CoordinatorMachine.Recovery()
        for (step, count) in [(4, 3), (8, 10)] {
            known.add(
                .evaluated(
                    EvaluationSummary(
                        step: Step(step), recordCount: 20, correctCount: count, lossSum: 3,
                        trainingSeconds: 0)))
        }
        known.mayHaveMembers = false
        var scenario = Scenario([:])
        var configuration = scenario.coordinator.configuration
        configuration.startStep = Step(4)
        configuration.totalSteps = Step(12)
        scenario.coordinator = CoordinatorMachine(configuration, recovery: known)
        for name in ["server-a", "worker-a", "worker-b"] { scenario.start(name, [:]) }
        scenario.run(to: 12)
        #expect(scenario.lines.contains("coordinator: write checkpoint of step 8"))
        #expect(scenario.lines.contains { $0.hasPrefix("coordinator: end: step 12, exitCode 0") })
    }

    /// The members have gone already: the successor waits no longer than a member needs to find a
    /// coordinator.
    @Test func aSuccessorThatFindsNobodyEndsWell() {
        var machine = successor(recovery(finished: 0))
        #expect(machine.step(.tick, now: .seconds(3)) == [])
        #expect(outcome(machine.step(.tick, now: .milliseconds(3001)))?.exitCode == 0)
    }

    /// `--resume` of a finished run sends the members started for it home at once.
    @Test func membersStartedForAFinishedRunAreSentHome() {
        var known = recovery(finished: 0)
        known.mayHaveMembers = false
        var machine = successor(known)
        var actions: [Action] = []
        for name in ["server-n", "worker-n", "worker-o"] {
            let peer = PeerIdentity(rawValue: name)
            #expect(outcome(actions) == nil)
            actions = machine.step(.message(Self.beat, from: peer), now: .milliseconds(1))
        }
        #expect(outcome(actions)?.exitCode == 0)
    }

    /// A run is over only when it ended well and is not to be taken further.
    @Test func whatIsNotOverGoesOn() {
        for (exitCode, steps) in [(nil, 4), (130, 4), (69, 4), (0, 8)] as [(Int?, Int)] {
            var machine = successor(recovery(finished: exitCode), totalSteps: steps)
            for second in 1...20 {
                let actions = machine.step(.tick, now: .seconds(second))
                #expect(outcome(actions) == nil, "exit code \(exitCode ?? -1), \(steps) steps")
            }
        }
    }

    /// A run stopped at the end of an epoch begins with that epoch's evaluation, unless it was
    /// complete before. Evaluations beyond the checkpoint are repeated.
    @Test(arguments: [nil, 0, 4, 8] as [Int?]) func anEpochIsEvaluatedAllTheSame(evaluated: Int?) throws {
        var known = recovery(finished: 130)
        known.mayHaveMembers = false
        if let evaluated {
            let summary = CoordinatorMachine.EvaluationSummary(
                step: Step(evaluated), recordCount: 20, correctCount: 10, lossSum: 3,
                trainingSeconds: 1)
            known.add(.evaluated(summary))
        }
        var scenario = Scenario([:])
        scenario.coordinator = successor(known, totalSteps: 8)
        for name in ["server-a", "worker-a", "worker-b"] { scenario.start(name, [:]) }
        scenario.tick(milliseconds: 1100)
        let evaluations = scenario.lines.indices.filter {
            scenario.lines[$0].hasPrefix("coordinator: evaluated")
        }
        #expect(evaluations.count == (evaluated ?? 0 >= 4 ? 0 : 1), "\(scenario.lines)")
        let computed = try #require(
            scenario.lines.firstIndex { $0.contains("compute step 4") }, "\(scenario.lines)")
        #expect(evaluations.allSatisfy { $0 < computed })
        scenario.lines = []
        scenario.run(to: 8)
        #expect(scenario.lines.count { $0.hasPrefix("coordinator: evaluated") } == 1)
    }

    /// After Ctrl-C the last workers die before the step is over: the run ends with 130 soon, not
    /// with 69 later.
    @Test func workersThatDieAfterCtrlC() {
        var scenario = Scenario([:])
        for name in ["server-a", "worker-a", "worker-b"] { scenario.start(name, [:]) }
        scenario.tick(milliseconds: 1100)
        scenario.run(to: 2)
        scenario.deliver(.toCoordinator(.stopRequested))
        scenario.lines = []
        scenario.kill("worker-a", isSeen: true)
        scenario.kill("worker-b", isSeen: true)
        scenario.tick(milliseconds: 2500)
        let end = scenario.lines.last { $0.hasPrefix("coordinator: end") }
        #expect(end?.contains("exitCode 130") == true, "\(scenario.lines)")
        #expect(end?.contains("step 2") == true, "\(scenario.lines)")
    }

    /// When help completes a step, shards may be beyond the step that a late worker reports: a run
    /// that stopped at that worker's step would never come to rest.
    @Test(arguments: [[2, 3], [3, 2]]) func stoppingGoesAsFarAsAnyoneHasBegun(steps: [Int]) {
        var scenario = Scenario([:])
        for name in ["server-a", "worker-a", "worker-b"] { scenario.start(name, [:]) }
        scenario.tick(milliseconds: 1100)
        scenario.run(to: 2)
        _ = scenario.coordinator.step(.stopRequested, now: scenario.now)
        var actions: [Action] = []
        for (name, step) in zip(["worker-a", "worker-b"], steps) {
            #expect(!actions.contains(.note(.stopping(step: Step(3)))))
            let answer = ControlMessage.holding(Holding(number: 1, step: Step(step)))
            actions = scenario.coordinator.step(
                .message(answer, from: PeerIdentity(rawValue: name)), now: scenario.now)
        }
        #expect(actions.contains(.note(.stopping(step: Step(3)))), "\(actions)")
    }

    /// Speed counts from where the run was taken up last, without rests.
    @Test func whatTheJournalSaysOfTime() {
        var recovery = recovery(finished: nil)
        recovery.add(.limit(Step(8), trainingSeconds: 5))
        #expect(recovery.trainingSeconds == 5 && recovery.countedFrom == Step(0))
        recovery.add(.resumed(Step(4)))
        #expect(recovery.trainingSeconds == 0 && recovery.countedFrom == Step(4))
        #expect(recovery.members.isEmpty && recovery.workers.isEmpty)
        let summary = CoordinatorMachine.EvaluationSummary(
            step: Step(8), recordCount: 20, correctCount: 10, lossSum: 3, trainingSeconds: 0)
        recovery.add(.evaluated(summary))
        #expect(recovery.evaluated == Step(8))
        recovery.add(.resumed(Step(4)))
        #expect(recovery.evaluated == Step(4))
        recovery.add(.finished(step: Step(8), exitCode: 0))
        #expect(recovery.isComplete(steps: Step(8), checkpoint: Step(8)))
        #expect(!recovery.isComplete(steps: Step(8), checkpoint: Step(4)))
        recovery.add(.limit(Step(9), trainingSeconds: 6))
        #expect(recovery.finished == nil)
    }
}
