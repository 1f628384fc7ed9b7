import ClusterProtocol
import Testing

/// What follows from evaluations: early stopping as Keras has it, and what a journal keeps of it.
@Suite struct JudgementTests {
    /// Returns the judgements of one evaluation an epoch of two steps.
    private func judge(
        _ rules: EvaluationRules, losses: [Double] = [], correct: [Int] = []
    ) -> [Judgement] {
        var judgements: [Judgement] = []
        for epoch in 0..<max(losses.count, correct.count) {
            let summary = EvaluationSummary(
                step: Step(2 * epoch + 2), recordCount: 10,
                correctCount: correct.isEmpty ? 0 : correct[epoch],
                lossSum: losses.isEmpty ? 0 : 10 * losses[epoch], trainingSeconds: 0)
            if let judgement = rules.judge(summary, after: judgements.last) {
                judgements.append(judgement)
            }
        }
        return judgements
    }

    /// Returns the first epoch, from 1, after which the run ends; nil when it goes on.
    private func end(_ judgements: [Judgement]) -> Int? {
        judgements.firstIndex(where: \.endsRun).map { $0 + 1 }
    }

    private func accuracy(_ patience: Int, _ delta: Double = 0) -> EvaluationRules {
        EvaluationRules(
            stopping: EarlyStopping(
                metric: .testAccuracy, patience: patience, minimumDelta: delta))
    }

    private func loss(_ patience: Int, _ delta: Double = 0) -> EvaluationRules {
        EvaluationRules(stopping: EarlyStopping(patience: patience, minimumDelta: delta))
    }

    @Test func patienceCountsEpochsWithoutImprovement() {
        #expect(end(judge(accuracy(2), correct: [5, 6, 6, 6, 7])) == 4)
        #expect(end(judge(accuracy(2), correct: [5, 6, 5, 7, 6, 7])) == 6)
        #expect(end(judge(accuracy(1), correct: [5, 6, 7, 7])) == 4)
        #expect(end(judge(accuracy(3), correct: [5, 6, 6, 6, 7, 7, 7])) == nil)
        #expect(end(judge(loss(2), losses: [2, 1, 1.5, 0.5, 0.5, 0.5])) == 6)
    }

    /// The best value is that of the last improvement by more than the least difference.
    @Test func smallImprovementsDoNotCount() {
        let losses = [2, 1.9, 1.8, 1.7, 1.4]
        #expect(end(judge(loss(4, 0.5), losses: losses)) == nil)
        let judgements = judge(loss(3, 0.5), losses: losses)
        #expect(end(judgements) == 4)
        #expect(judgements[3].stopping?.best == 2 && judgements[3].stopping?.bestStep == Step(2))
        #expect(judge(loss(4, 0.5), losses: losses).last?.stopping?.bestStep == Step(10))
    }

    @Test func lossesThatAreNotFiniteAreNoImprovement() {
        #expect(end(judge(loss(2), losses: [.nan, .nan])) == 2)
        #expect(end(judge(loss(2), losses: [2, .infinity, 1, .nan, .nan])) == 5)
        let rules = EvaluationRules(plateau: RatePlateau(factor: 0.5, patience: 1))
        #expect(
            judge(rules, losses: [1, .nan, .nan, .nan, .nan]).map(\.rateFactor)
                == [1, 1, 0.5, 0.5, 0.25])
    }

    /// The best value of one metric says nothing about another one.
    @Test func anotherMetricBeginsAnew() {
        let former = judge(loss(2), losses: [0.1, 0.2]).last
        let summary = EvaluationSummary(
            step: Step(6), recordCount: 10, correctCount: 1, lossSum: 1, trainingSeconds: 0)
        let watch = accuracy(2).judge(summary, after: former)?.stopping
        #expect(watch?.best == 0.1 && watch?.bestStep == Step(6) && watch?.idleCount == 0)
    }

    @Test func withoutRulesNothingFollows() {
        #expect(judge(EvaluationRules(), losses: [1, 2]).isEmpty)
    }

    // MARK: The course of a run

    private let both = EvaluationRules(
        stopping: EarlyStopping(patience: 3), plateau: RatePlateau(factor: 0.5, patience: 0))

    /// The course after four epochs: the rate is halved three times, then the run ends.
    private func course() -> EvaluationCourse {
        var course = EvaluationCourse()
        for (epoch, judgement) in judge(both, losses: [1, 2, 2, 2]).enumerated() {
            add(judgement, Step(2 * epoch + 2), &course)
        }
        return course
    }

    private func add(_ judgement: Judgement, _ step: Step, _ course: inout EvaluationCourse) {
        var summary = EvaluationSummary(
            step: step, recordCount: 10, correctCount: 0, lossSum: 1, trainingSeconds: 0)
        summary.judgement = judgement
        course.add(summary)
    }

    @Test func ratesHoldFromTheirEvaluationOn() {
        let course = course()
        #expect(course.end == Step(8))
        #expect(course.rates.map(\.from.value) == [4, 6, 8])
        let factors = (0..<10).map { RateChange.factor(of: Step($0), after: course.rates) }
        #expect(factors == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125])
        #expect(RateChange.factor(of: Step(7), after: []) == 1)
    }

    @Test func goingBackForgetsWhatCameLater() {
        var course = course()
        course.goBack(to: Step(5))
        #expect(course.end == nil && course.rates.map(\.factor) == [0.5])
        #expect(course.last?.stopping?.idleCount == 1)
        course.goBack(to: Step(1))
        #expect(course.last == nil && course.rates.isEmpty)
    }

    /// A changed setting takes a run on that had ended early. The factor stays, unless the schedule
    /// changes; a second change at one step takes the place of the first.
    @Test func aChangeBeginsAnew() {
        func change(_ keys: [String]) -> [SettingChange] {
            keys.map { SettingChange(key: $0, from: "a", to: "b") }
        }
        var course = course()
        course.change(change(["training.early-stopping"]), at: Step(8))
        #expect(course.end == nil && course.last?.stopping?.idleCount == 0)
        #expect(course.last?.stopping?.best == 1 && course.last?.stopping?.bestStep == Step(2))
        #expect(course.last?.rateFactor == 0.125 && course.rates.count == 3)
        course.change(change(["training.schedule"]), at: Step(8))
        #expect(course.rates.map(\.factor) == [0.5, 0.25, 0.125, 1])
        #expect(course.last?.stopping?.best == 1 && course.last?.plateau == nil)
        course.change([], at: Step(8))
        #expect(course == self.course())
        course.change(change(["data.source"]), at: Step(8))
        #expect(course.last?.stopping == nil && course.last?.rateFactor == 0.125)
        course.change(change(["training.seed"]), at: Step(6))
        #expect(course.rates.map(\.factor) == [0.5, 0.25] && course.end == nil)
    }

    // MARK: Machines

    /// A sign of life that goes out before the disk has answered tells no rate of later steps.
    @Test func theGateKeepsRatesBack() {
        func alive(_ limit: Int, _ rates: [RateChange]?) -> CoordinatorMachine.Action {
            .send(
                .alive(
                    Alive(stepLimit: Step(limit), recorded: Step(0), workerCount: 1, rates: rates)),
                to: PeerIdentity(rawValue: "worker-a"))
        }
        let (first, second) = (
            RateChange(from: Step(4), factor: 0.5), RateChange(from: Step(8), factor: 0.25)
        )
        var gate = DurabilityGate()
        #expect(gate.pass(alive(4, nil)) == [alive(4, nil)])
        _ = gate.pass(.journal(.tookOver))
        #expect(gate.pass(alive(8, [first])) == [alive(4, nil)])
        #expect(gate.becameDurable(1) == [alive(8, [first])])
        _ = gate.pass(.journal(.tookOver))
        #expect(gate.pass(alive(12, [first, second])) == [alive(8, [first])])
    }

    /// A worker may hear of a higher limit before a shard does, and send its sum of the next step.
    /// The shard updates when it has heard of the limit, and so of the rate.
    @Test func aShardWaitsForTheLimit() {
        var configuration = ShardHostMachine.Configuration(
            tree: ReductionTree(leafCount: 1), plan: SlicePlan(parameterCount: 8, shardCount: 1),
            partCount: 1, checkpointEvery: 0, retryInterval: .seconds(1))
        configuration.waitsForLimit = true
        var host = ShardHostMachine(configuration)
        let shard = ShardIndex(0)
        func updates(_ event: ShardHostMachine.Event) -> [Step] {
            host.step(event, now: .zero).compactMap {
                if case .shard(_, .update(_, let step, _, _)) = $0 { step } else { nil }
            }
        }
        func contribution(_ step: Int) -> ShardHostMachine.Event {
            let totals = ContributionTotals(
                sampleCount: 1, lossSum: 1, correctCount: 1, recordDigest: 7)
            return .shard(
                shard,
                .contribution(
                    .init(
                        placement: Placement(1), step: Step(step), chunk: ChunkIndex(0),
                        node: TreeNode(level: 0, index: 0), totals: totals,
                        peer: PeerIdentity(rawValue: "worker"), digest: 0)))
        }
        func alive(_ limit: Int, _ rates: [RateChange]?) -> ShardHostMachine.Event {
            .everyShard(
                .alive(
                    Alive(stepLimit: Step(limit), recorded: Step(0), workerCount: 1, rates: rates)))
        }
        _ = host.step(
            .host(
                HostShards(
                    shards: [shard], shardCount: 1, placement: Placement(1), step: Step(0),
                    stepLimit: Step(1))), now: .zero)
        #expect(
            updates(
                .state(
                    .init(
                        shard: shard, chunk: ChunkIndex(0), part: 0, step: Step(0),
                        placement: Placement(1)))) == [])
        #expect(updates(contribution(0)) == [Step(0)])
        #expect(updates(contribution(1)) == [])
        #expect(updates(contribution(1)) == [])
        #expect(updates(alive(1, nil)) == [])
        let change = RateChange(from: Step(1), factor: 0.1)
        #expect(updates(alive(2, [change])) == [Step(1)])
        #expect(host.rateFactor(of: Step(1)) == 0.1 && host.rateFactor(of: Step(0)) == 1)
        #expect(updates(contribution(2)) == [])
    }
}
