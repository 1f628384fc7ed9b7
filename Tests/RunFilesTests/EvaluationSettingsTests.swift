import ClusterProtocol
import CounterRandom
import FoundationEssentials
import NeuralNetwork
import RunFiles
import TestSupport
import Testing

/// Early stopping and plateau in run files, and schedules that do not fit their run.
@Suite struct EvaluationSettingsTests {
    private func parse(_ training: String) throws -> RunConfiguration {
        try RunConfiguration.parse("training: {\(training)}", fileName: "run.yaml")
    }

    private func material(
        testCount: Int = 10, _ change: (inout RunConfiguration) -> Void
    ) throws -> RunMaterial {
        let sample = try Sample.material()
        var configuration = sample.configuration
        var data = sample.data
        data.testCount = testCount
        change(&configuration)
        return try RunMaterial(configuration, data: data, backend: .reference)
    }

    @Test func plateausReadBack() throws {
        let usual = try parse("schedule: plateau")
        #expect(usual.training.plateau == RatePlateau())
        #expect(usual.training.schedule == LearningRateSchedule())
        let text =
            "{name: plateau, metric: test-accuracy, factor: 0.5, patience: 3, threshold: 0.01, "
            + "threshold-mode: abs, cooldown: 2, min-factor: 0.001, warmup-epochs: 1.5}"
        let read = try parse("schedule: \(text)")
        #expect(
            read.training.plateau
                == RatePlateau(
                    metric: .testAccuracy, factor: 0.5, patience: 3, threshold: 0.01,
                    isRelative: false, cooldown: 2, minimumFactor: 0.001))
        #expect(read.training.schedule == LearningRateSchedule(warmup: .epochs(1.5)))
        #expect(Setting.named("training.schedule")?.inlineText(read) == text)
        for configuration in [usual, read] {
            let again = try RunConfiguration.parse(configuration.yaml, fileName: "again.yaml")
            #expect(again == configuration)
        }
        // Another schedule takes the plateau's place.
        var changed = read
        try SettingFlags(["--schedule", "cosine"]).apply(to: &changed)
        #expect(changed.training.plateau == nil)
    }

    @Test(arguments: [
        ("off", nil), ("5", EarlyStopping(patience: 5)),
        ("{patience: 2}", EarlyStopping(patience: 2)),
        (
            "{metric: test-accuracy, patience: 3, min-delta: 0.001}",
            EarlyStopping(metric: .testAccuracy, patience: 3, minimumDelta: 0.001)
        ),
    ])
    func earlyStoppingReadsBack(_ text: String, _ rule: EarlyStopping?) throws {
        let read = try parse("early-stopping: \(text)")
        #expect(read.training.earlyStopping == rule)
        #expect(try RunConfiguration.parse(read.yaml, fileName: "again.yaml") == read)
    }

    @Test(arguments: [
        ("early-stopping: 0", "training.early-stopping: expected off, a number of epochs from 1"),
        ("early-stopping: {patience: 0}", "patience: expected a whole number from 1"),
        ("early-stopping: {metric: test-loss}", "patience: is required here"),
        (
            "early-stopping: {metric: train-loss, patience: 2}",
            "metric: expected one of test-accuracy, test-loss, found \"train-loss\""
        ),
        (
            "early-stopping: {patience: 2, min-delta: -1}",
            "min-delta: expected a number of at least 0"
        ),
        ("early-stopping: {patience: 2, delta: 1}", "unknown key \"delta\""),
        ("schedule: {name: plateau, metric: accuracy}", "expected one of test-accuracy, test-loss"),
        ("schedule: {name: plateau, factor: 1}", "factor: expected a number from 0 to 0.99"),
        ("schedule: {name: plateau, patience: -1}", "patience: expected a whole number from 0"),
        ("schedule: {name: plateau, minimum: 0}", "unknown key \"minimum\""),
        ("schedule: plateaux", "expected one of constant, step"),
    ])
    func whatCannotBe(_ text: String, _ problem: String) {
        let error = #expect(throws: RunError.self) { try parse(text) }
        #expect(error?.text.contains(problem) == true, "\(error?.text ?? "")")
        #expect(error.map { Failure($0).exitCode } == 65)
    }

    /// The sample's run has 40 steps: ten epochs of four.
    @Test func schedulesMustFitTheRun() throws {
        #expect(try material { _ in }.totalSteps == 40)
        func problem(_ schedule: LearningRateSchedule, steps: Int? = nil) -> String? {
            let error = failure {
                try material {
                    $0.training.schedule = schedule
                    $0.training.steps = steps
                }
            }
            return error?.text
        }
        #expect(
            problem(LearningRateSchedule(warmup: .steps(41)))
                == "training.schedule: expected a warm-up of at most the run's 40 steps, found 41; "
                + "shorten it, or train for longer")
        #expect(problem(LearningRateSchedule(warmup: .epochs(11)))?.contains("44") == true)
        #expect(problem(LearningRateSchedule(warmup: .steps(40))) == nil)
        let times = LearningRateSchedule(.multiStep(at: [.steps(20), .epochs(9.75)], factor: 0.1))
        #expect(problem(times) == nil)
        #expect(
            problem(times, steps: 39)
                == "training.schedule: expected every time below the run's 39 steps, found 39; "
                + "leave it out, or train for longer")
        #expect(
            problem(LearningRateSchedule(.multiStep(at: [.epochs(10)], factor: 0.1)))?
                .contains("below the run's 40 steps, found 40") == true)
    }

    @Test func testRecordsAreNeeded() throws {
        let stopping = failure {
            try material(testCount: 0) { $0.training.earlyStopping = EarlyStopping(patience: 1) }
        }
        #expect(
            stopping?.text.contains("training.early-stopping is decided from test records") == true)
        let plateau = failure {
            try material(testCount: 0) { $0.training.plateau = RatePlateau() }
        }
        #expect(plateau?.text.contains("expected at least one, found 0 in sample") == true)
        #expect(try material(testCount: 0) { _ in }.evaluationRules == EvaluationRules())
    }

    /// PyTorch's least change of a rate is one of the factor, for a rate of 0.1.
    @Test func theLeastChangeFollowsTheRate() throws {
        let found = try material {
            $0.training.plateau = RatePlateau()
            $0.optimizer = .sgd(SGD(learningRate: 0.1))
        }
        #expect(found.evaluationRules.plateau?.leastChange == 1e-8 / 0.1)
        #expect(found.shardHost.waitsForLimit)
        #expect(try !material { _ in }.shardHost.waitsForLimit)
    }

    @Test func aTrainerDecidesNothing() {
        for change in [
            { (training: inout RunConfiguration.Training) in training.plateau = RatePlateau() },
            { training in training.earlyStopping = EarlyStopping(patience: 1) },
        ] {
            var configuration = RunConfiguration()
            change(&configuration.training)
            let error = failure { try Trainer(configuration) }
            #expect(error?.text.contains("decided from evaluations, which a Trainer") == true)
        }
    }

    /// A coordinator that takes over decides from what it reads in the journal, so every bit
    /// counts.
    @Test func theJournalKeepsEveryBit() throws {
        var random = RandomStream(seed: 5, purpose: .simulation)
        for step in 0..<2000 {
            var judgement = Judgement()
            judgement.stopping = .init(.testLoss)
            judgement.stopping?.best =
                Double(random.nextUniform()) * Double(random.nextUniform()) / 3
            judgement.rateFactor = judgement.stopping?.best ?? 0
            var summary = EvaluationSummary(
                step: Step(step), recordCount: 7, correctCount: 3,
                lossSum: judgement.rateFactor * 1e3 / 7, trainingSeconds: 1)
            summary.judgement = judgement
            let line = JournalLine(time: 1, entry: .evaluated(summary))
            let bytes = try [UInt8](JSONEncoder().encode(line)) + [UInt8(ascii: "\n")]
            let read = JournalReader.recovery(bytes, now: 1)
            #expect(read.evaluation == summary)
            #expect(read.course.last == judgement)
        }
    }

    @Test func numbersThatNoRunHasAreLeftOut() throws {
        var summary = EvaluationSummary(
            step: Step(4), recordCount: 7, correctCount: 3, lossSum: 1, trainingSeconds: 1)
        summary.judgement = Judgement()
        summary.judgement?.stopping = .init(.testLoss)
        summary.judgement?.stopping?.idleCount = .max
        let line = JournalLine(time: 1, entry: .evaluated(summary))
        let bytes = try [UInt8](JSONEncoder().encode(line)) + [UInt8(ascii: "\n")]
        #expect(JournalReader.recovery(bytes, now: 1).evaluation == nil)
    }

    @Test(arguments: [
        (0.1, "0.1"), (0.1 * 0.1, "0.01"), (0.5, "0.5"), (0.0625 * 0.0625, "0.003906"), (1, "1"),
        (0, "0.0"), (1e-7, "0.0000001"),
    ])
    func factorsForPeople(_ value: Double, _ text: String) {
        #expect(NumberText.significant(value) == text)
    }
}
