import ClusterProtocol
import NeuralNetwork
import Partitions
import RunFiles
import TestSupport
import Testing

/// The setting `training.loss`.
@Suite struct LossSettingsTests {
    @Test(arguments: [
        ("cross-entropy", LossFunction(), "cross-entropy"),
        ("{name: cross-entropy}", LossFunction(), "cross-entropy"),
        ("mse", .meanSquaredError, "mse"), ("{name: bce}", .binaryCrossEntropy, "bce"),
        (
            "{label-smoothing: 0.1, name: cross-entropy}", .crossEntropy(labelSmoothing: 0.1),
            "{name: cross-entropy, label-smoothing: 0.1}"
        ),
        (
            "{name: cross-entropy, class-weights: balanced}",
            .crossEntropy(classWeights: .balanced), "{name: cross-entropy, class-weights: balanced}"
        ),
        (
            "{name: cross-entropy, class-weights: [1, 0.1, 0]}",
            .crossEntropy(classWeights: .each([1, 0.1, 0])),
            "{name: cross-entropy, class-weights: [1.0, 0.1, 0.0]}"
        ),
    ])
    func lossesReadBack(_ text: String, _ loss: LossFunction, _ written: String) throws {
        let read = try RunConfiguration.parse("training: {loss: \(text)}", fileName: "run.yaml")
        #expect(read.training.loss == loss)
        #expect(Setting.named("training.loss")?.inlineText(read) == written)
        #expect(try RunConfiguration.parse(read.yaml, fileName: "again.yaml") == read)
    }

    @Test(arguments: [
        ("hinge", "expected one of cross-entropy, mse, bce, found \"hinge\""),
        ("{}", "training.loss.name: is required here"),
        ("[mse]", "expected one of cross-entropy, mse, bce"),
        ("{name: mse, label-smoothing: 0.1}", "unknown key \"label-smoothing\""),
        ("{name: cross-entropy, label-smoothing: 1}", "of at least 0 and below 1"),
        ("{name: cross-entropy, label-smoothing: -0.1}", "of at least 0 and below 1"),
        ("{name: cross-entropy, class-weights: heavy}", "expected balanced or a list of numbers"),
        ("{name: cross-entropy, class-weights: [1, -1]}", "class-weights[1]"),
        ("{name: cross-entropy, class-weights: [.nan, 1]}", "class-weights[0]"),
        ("{name: cross-entropy, class-weights: [1, .inf]}", "class-weights[1]"),
        ("{name: cross-entropy, class-weights: [1e9, 1]}", "class-weights[0]"),
        ("{name: cross-entropy, class-weights: [1e-9, 1]}", "class-weights[0]"),
        ("{name: cross-entropy, class-weights: [0, 0]}", "at least one weight above 0"),
        ("{name: cross-entropy, class-weights: []}", "at least one weight above 0"),
    ])
    func lossesThatCannotBe(_ text: String, _ problem: String) {
        let error = failure {
            try RunConfiguration.parse("training: {loss: \(text)}", fileName: "run.yaml")
        }
        #expect(error?.text.contains(problem) == true, "\(error?.text ?? "none")")
        #expect(error?.text.hasPrefix("run.yaml:1: training.loss") == true)
    }

    private static func data(
        classes: Int = 3, targets: Int? = nil, histogram: [Int] = [10, 30, 40]
    ) -> DataSummary {
        DataSummary(
            name: "sample", shape: [1, 2, 2], classCount: targets == nil ? classes : 0,
            targetCount: targets, classHistogram: targets == nil ? histogram : [], testCount: 10,
            fingerprint: "data", partitionRecordCounts: [100])
    }

    private static func material(
        _ loss: LossFunction, _ data: DataSummary, units: Int = 3
    ) throws -> RunMaterial {
        var configuration = RunConfiguration()
        configuration.training.loss = loss
        configuration.model = .specification(
            ModelSpecification(
                name: "tiny", inputShape: [1, 2, 2], layers: [.flatten, .dense(units: units)]))
        return try RunMaterial(configuration, data: data, backend: .reference)
    }

    private static func decision(_ material: RunMaterial) -> String? {
        material.decisions.first { $0.key == "training.loss" }?.text
    }

    /// The usual loss is no decision, so that runs of earlier builds go on. Weights that follow
    /// from the data stand in the decision, and equal those that are written out.
    @Test func weightsAreDecisions() throws {
        let data = Self.data()
        #expect(Self.decision(try Self.material(LossFunction(), data)) == nil)
        let balanced = try Self.material(.crossEntropy(classWeights: .balanced), data)
        let numbers = [80.0 / 30, 80.0 / 90, 80.0 / 120]
        let written = try Self.material(.crossEntropy(classWeights: .each(numbers)), data)
        #expect(balanced.loss == written.loss && balanced.loss != LossFunction())
        #expect(
            Self.decision(balanced)
                == "{name: cross-entropy, class-weights: \(numbers)}")
        #expect(balanced.settingsFingerprint == written.settingsFingerprint)
        let other = try Self.material(
            .crossEntropy(classWeights: .balanced), Self.data(histogram: [11, 29, 40]))
        #expect(other.settingsFingerprint != balanced.settingsFingerprint)
        // A model may have more outputs than the data has classes.
        let wide = try Self.material(.crossEntropy(classWeights: .balanced), data, units: 5)
        #expect(wide.loss == .crossEntropy(classWeights: .each(numbers + [0, 0])))
        #expect(Self.decision(wide) == Self.decision(balanced))
        let targets = try Self.material(.meanSquaredError, Self.data(targets: 3))
        #expect(Self.decision(targets) == "mse")
    }

    @Test(
        arguments: [
            (
                LossFunction.meanSquaredError, data(), 3,
                "training.loss: mse needs targets, but the records of sample have labels; "
                    + "use cross-entropy"
            ),
            (.binaryCrossEntropy, data(), 3, "bce needs targets"),
            (
                LossFunction(), data(targets: 3), 3,
                "training.loss: cross-entropy needs labels, but the records of sample have targets; "
                    + "use mse or bce"
            ),
            (.meanSquaredError, data(targets: 4), 3, "the records have 4 targets"),
            (.meanSquaredError, data(targets: 2), 3, "the records have 2 targets"),
            (
                .crossEntropy(classWeights: .each([1, 2])), data(), 3,
                "training.loss: class-weights: expected 3 numbers, one for each output of the model, "
                    + "found 2"
            ),
            (
                .crossEntropy(classWeights: .balanced), data(histogram: []), 3,
                "a data set that counts its classes"
            ),
        ] as [(LossFunction, DataSummary, Int, String)])
    func lossesThatDoNotFitTheData(
        _ loss: LossFunction, _ data: DataSummary, _ units: Int, _ problem: String
    ) {
        let error = failure { try Self.material(loss, data, units: units) }
        #expect(error?.text.contains(problem) == true, "\(error?.text ?? "none")")
        #expect(error?.kind == .configuration || error?.kind == .model)
    }

    @Test(arguments: ["mse", "bce"])
    func lossesOfTargetsHaveNoSecondLabels(name: String) throws {
        var configuration = RunConfiguration()
        configuration.training.loss = try #require(LossFunction(named: name))
        configuration.data.transformations = [.randomHorizontalFlip, try Transformation("cutmix")]
        var data = Self.data(targets: 3)
        data.shape = [1, 28, 28]
        let error = failure { try RunMaterial(configuration, data: data, backend: .reference) }
        #expect(
            error?.text
                == "training.loss: cutmix in data.transformations gives a record two labels, which "
                + "\(name) does not have; use cross-entropy, or leave cutmix out")
        #expect(error?.kind == .configuration)
    }

    /// A built-in model gets an output for each target.
    @Test func builtInModelsTakeTheTargets() throws {
        var data = Self.data(targets: 7)
        data.shape = [1, 28, 28]
        #expect(try RunConfiguration().network(for: data).outputShape == [7])
    }
}
