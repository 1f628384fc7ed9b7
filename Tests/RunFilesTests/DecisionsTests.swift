import ClusterProtocol
import NeuralNetwork
import RunFiles
import TestSupport
import Testing

/// Every setting is listed with whether it decides bits, so that a new one is not forgotten.
@Suite struct DecisionsTests {
    /// Every setting of a run file, with its key where it decides bits.
    private static let settings: [String: String?] = [
        // What the options make of the source is part of the data's fingerprint.
        "source": "data.source", "options": nil, "partitions": "data.partitions",
        "transformations": "data.transformations", "epochs": nil, "steps": nil,
        "batchSize": "training.batch-size", "virtualWorkers": "training.virtual-workers",
        "seed": "training.seed", "precision": "training.precision",
        "wirePrecision": "training.wire-precision", "checkpointEvery": nil,
        "backend": "training.backend", "tileSize": "training.tile-size",
        "instructionSet": "training.instruction-set",
        "schedule": "training.schedule", "plateau": "training.schedule",
        "earlyStopping": "training.early-stopping", "loss": "training.loss",
        "decays1D": "optimizer.decay-1d", "clipNorm": "training.clip-norm",
        "averageDecay": "training.ema",
        "auditRate": nil, "keepsGoing": nil, "workers": nil, "threads": nil, "servers": nil,
        "heartbeatIntervalMilliseconds": nil, "sharedMemory": nil, "fanIn": nil,
    ]

    @Test func everySettingIsDecidedUpon() throws {
        let configuration = RunConfiguration()
        var names: [String] = []
        for part in [
            Mirror(reflecting: configuration.data), Mirror(reflecting: configuration.training),
            Mirror(reflecting: configuration.cluster),
        ] {
            names += part.children.compactMap(\.label)
        }
        #expect(Set(names) == Set(Self.settings.keys))
        #expect(
            Mirror(reflecting: configuration).children.compactMap(\.label)
                == [
                    "data", "model", "initial", "freeze", "unfreeze", "groups", "training", "optimizer",
                    "cluster",
                ])
        // These decide bits where they are not the usual ones.
        var listed: Set = [
            "model", "training.instruction-set", "training.schedule", "training.loss",
            "training.early-stopping", "optimizer.decay-1d", "training.clip-norm", "training.ema",
        ]
        for decision in try Sample.material().decisions where !decision.key.hasPrefix("optimizer.") {
            listed.insert(decision.key)
        }
        #expect(listed == Set(Self.settings.values.compactMap { $0 } + ["model"]))
    }

    /// The usual schedule, loss and decay are no decisions, so that runs of earlier builds go
    /// on. A schedule that ends with the run names its length.
    @Test func schedulesAreDecisions() throws {
        func texts(_ change: (inout RunConfiguration) -> Void) throws -> [String: String] {
            var configuration = try Sample.material().configuration
            change(&configuration)
            let material = try RunMaterial(configuration, data: Sample.material().data)
            return Dictionary(
                uniqueKeysWithValues: material.decisions.map { ($0.key, $0.text) })
        }
        let usual = try texts { _ in }
        #expect(usual["training.schedule"] == nil && usual["training.loss"] == nil)
        #expect(usual["optimizer.decay-1d"] == nil)
        #expect(usual["training.clip-norm"] == nil && usual["training.ema"] == nil)
        let length = try Sample.material().totalSteps
        let changed = try texts {
            $0.training.schedule = LearningRateSchedule(
                .cosine(minimum: 0), warmup: .epochs(2.5))
            $0.training.loss = .crossEntropy(labelSmoothing: 0.1)
            $0.training.decays1D = false
            $0.training.clipNorm = 0.5
            $0.training.averageDecay = 0.999
        }
        #expect(changed["training.clip-norm"] == "0.5" && changed["training.ema"] == "0.999")
        #expect(
            changed["training.schedule"]
                == "{name: cosine, minimum: 0.0, warmup-epochs: 2.5} over \(length) steps")
        #expect(changed["training.loss"] == "{name: cross-entropy, label-smoothing: 0.1}")
        #expect(changed["optimizer.decay-1d"] == "false")
    }

    @Test(arguments: [
        ("constant", LearningRateSchedule()),
        (
            "{name: step, every-epochs: 30.0, factor: 0.1}",
            LearningRateSchedule(.step(every: .epochs(30), factor: 0.1))
        ),
        (
            "{name: multi-step, at-steps: [32000, 48000], factor: 0.1}",
            LearningRateSchedule(.multiStep(at: [.steps(32000), .steps(48000)], factor: 0.1))
        ),
        (
            "{name: polynomial, power: 2.0, warmup-steps: 7}",
            LearningRateSchedule(.polynomial(power: 2), warmup: .steps(7))
        ),
        (
            "{name: one-cycle, rising: 0.3, divisor: 25.0, last-divisor: 10000.0}",
            LearningRateSchedule(.oneCycle(rising: 0.3, divisor: 25, lastDivisor: 1e4))
        ),
    ])
    func schedulesReadBack(_ text: String, _ schedule: LearningRateSchedule) throws {
        var configuration = RunConfiguration()
        configuration.training.schedule = schedule
        let written = try #require(
            Setting.named("training.schedule")?.inlineText(configuration))
        #expect(written == text)
        let read = try RunConfiguration.parse(
            "training: {schedule: \(text)}", fileName: "run.yaml")
        #expect(read.training.schedule == schedule)
    }

    @Test(arguments: [
        ("step", "expected every-epochs or every-steps"),
        ("{name: multi-step, at-epochs: []}", "expected at-epochs or at-steps"),
        ("{name: cosine, at-epochs: [3]}", "unknown key \"at-epochs\""),
        ("{name: cosine, warmup-steps: 3, warmup-epochs: 1}", "found both"),
        ("{name: step, every-steps: 5, factor: 2}", "from 0 to 1"),
        ("cosines", "expected one of constant, step"),
    ])
    func schedulesThatCannotBe(_ text: String, _ problem: String) {
        let error = #expect(throws: RunError.self) {
            try RunConfiguration.parse("training: {schedule: \(text)}", fileName: "run.yaml")
        }
        #expect(error?.text.contains(problem) == true, "\(error?.text ?? "")")
        #expect(error?.text.hasPrefix("run.yaml:1: training.schedule") == true)
    }

    /// Every number of every optimizer decides bits.
    @Test(arguments: [
        OptimizerSpecification.adam(Adam()), .adamW(AdamW()), .sgd(SGD(momentum: 0.5)),
    ])
    func everyNumberOfAnOptimizer(_ optimizer: OptimizerSpecification) throws {
        var names: Set<String> = ["name"]
        for child in Mirror(reflecting: optimizer).children {
            for field in Mirror(reflecting: child.value).children {
                var name = ""
                for character in field.label ?? "" {
                    name += character.isUppercase ? "-\(character.lowercased())" : "\(character)"
                }
                names.insert(name)
            }
        }
        let listed = try Sample.material(optimizer: optimizer).decisions.map(\.key)
            .filter { $0.hasPrefix("optimizer.") }.map { String($0.dropFirst(10)) }
        #expect(Set(listed) == names)
    }

    @Test func thereIsOneFingerprintForWhatComputesTheSame() throws {
        let material = try Sample.material()
        #expect(try Sample.material().settingsFingerprint == material.settingsFingerprint)
        let other = try Sample.material(optimizer: .adam(Adam(learningRate: 0.5)))
        #expect(other.settingsFingerprint != material.settingsFingerprint)
    }

    // MARK: History

    private func entry(_ step: Int, _ key: String, _ from: String, _ to: String)
        -> SettingsHistory.Entry
    {
        .init(step: Step(step), changes: [SettingChange(key: key, from: from, to: to)])
    }

    @Test func whatHoldsForACheckpoint() {
        var history = SettingsHistory()
        history.add(entry(10, "a", "1", "2"))
        history.add(entry(20, "a", "2", "3"))
        #expect(history.settings(["a": "1", "b": "x"], at: Step(5)) == ["a": "3", "b": "x"])
        #expect(history.settings(["a": "2"], at: Step(20)) == ["a": "3"])
        #expect(history.settings(["a": "3"], at: Step(21)) == ["a": "3"])
        #expect(history.lines == ["step 10: a 1 -> 2", "step 20: a 2 -> 3"])
    }

    /// A run that goes back to an earlier checkpoint undoes a later change.
    @Test func goingBackTakesALaterChangeBack() {
        var history = SettingsHistory()
        history.add(entry(10, "a", "1", "2"))
        history.add(entry(20, "a", "2", "3"))
        history.add(entry(15, "a", "2", "4"))
        #expect(history.lines == ["step 10: a 1 -> 2", "step 15: a 2 -> 4"])
        history.add(.init(step: Step(10), changes: []))
        #expect(history.entries.isEmpty)
    }

    private func evaluation(_ step: Int, correct: Int) -> EvaluationSummary {
        EvaluationSummary(
            step: Step(step), recordCount: 20, correctCount: correct, lossSum: 1, trainingSeconds: 0)
    }

    /// A run that goes back to an earlier checkpoint repeats an evaluation that was the best: its
    /// checkpoint was not written yet, and will be wanted.
    @Test func goingBackTakesALaterBestBack() {
        var recovery = CoordinatorMachine.Recovery()
        for (step, correct) in [(2, 7), (4, 5), (6, 9)] {
            recovery.add(.evaluated(evaluation(step, correct: correct)))
        }
        #expect(recovery.best?.step == Step(6) && recovery.bestCorrectCount == 9)
        recovery.add(.resumed(Step(5)))
        #expect(recovery.best?.step == Step(2) && recovery.bestCorrectCount == 7)
        recovery.add(.resumed(Step(1)))
        #expect(recovery.best == nil && recovery.bestCorrectCount == -1)
    }

    @Test func theJournalTellsOfIt() {
        var recovery = CoordinatorMachine.Recovery()
        recovery.add(.evaluated(evaluation(2, correct: 7)))
        let change = SettingChange(key: "training.seed", from: "1", to: "2")
        recovery.add(.changed(step: Step(4), settings: [change], formerSource: nil))
        #expect(recovery.history.lines == ["step 4: training.seed 1 -> 2"])
        #expect(recovery.bestCorrectCount == 7)
        let data = SettingChange(key: "data.source", from: "x", to: "y")
        recovery.add(.changed(step: Step(6), settings: [data], formerSource: "idx:/a"))
        #expect(recovery.bestCorrectCount == -1)
        #expect(recovery.history.entries.last?.formerSource == "idx:/a")
    }
}
