import Backends
import CounterRandom
import NeuralNetwork
import Testing

/// Every loss against PyTorch, against central differences, and within a step.
@Suite struct LossTests {
    /// Records with labels, and with targets where there are any.
    private struct Records {
        var labels: [Int32]
        var targets: [Float] = []
        /// The second labels of mixed records, and the weights of their own labels.
        var secondLabels: [Int32] = []
        var labelWeights: [Float] = []

        /// Calls `body` with some of the records.
        func withView<Result>(
            _ part: Range<Int>? = nil, images: [Float] = [0], _ body: (MicrobatchView) -> Result
        ) -> Result {
            let part = part ?? labels.indices
            let numbers = labels.indices.map(UInt64.init)
            let (size, targetCount) = (images.count / labels.count, targets.count / labels.count)
            return images.withUnsafeBufferPointer { images in
                labels.withUnsafeBufferPointer { labels in
                    targets.withUnsafeBufferPointer { targets in
                        secondLabels.withUnsafeBufferPointer { second in
                            labelWeights.withUnsafeBufferPointer { weights in
                                numbers.withUnsafeBufferPointer { numbers in
                                    let first = part.lowerBound
                                    return body(
                                        MicrobatchView(
                                            images: images.baseAddress! + first * size,
                                            labels: labels.baseAddress! + first,
                                            mixture: second.isEmpty
                                                ? nil
                                                : MixedLabels(
                                                    labels: second.baseAddress! + first,
                                                    weights: weights.baseAddress! + first),
                                            targets: targets.isEmpty
                                                ? nil : targets.baseAddress! + first * targetCount,
                                            records: numbers.baseAddress! + first, count: part.count))
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Returns the sums and the gradients of all records, computed in tiles of `tileSize`.
    private static func evaluate(
        _ loss: LossFunction, _ outputs: [Float], _ records: Records, tileSize: Int = .max
    ) -> (BatchStatistics, [Float]) {
        let outputCount = outputs.count / records.labels.count
        var statistics = BatchStatistics()
        var gradient = [Float](repeating: .nan, count: outputs.count)
        records.withView { view in
            gradient.withUnsafeMutableBufferPointer { gradient in
                outputs.withUnsafeBufferPointer { outputs in
                    for start in stride(from: 0, to: view.count, by: min(tileSize, view.count)) {
                        let end = min(view.count, start + min(tileSize, view.count))
                        loss.evaluate(
                            outputs: outputs.baseAddress! + start * outputCount, batch: view,
                            records: start..<end, outputCount: outputCount,
                            gradient: gradient.baseAddress! + start * outputCount,
                            into: &statistics)
                    }
                }
            }
        }
        return (statistics, gradient)
    }

    /// The loss, outputs and records of a golden case.
    private static func material(
        _ golden: GoldenCase
    ) -> (loss: LossFunction, outputs: [Float], records: Records) {
        let (count, classes) = (golden.count("count"), golden.count("classes"))
        let outputs = GoldenNumbers.values(
            "logits", count: count * classes, scale: Float(golden.number("scale")))
        var records = Records(labels: GoldenNumbers.labels(count: count, classCount: classes))
        if golden.name.hasPrefix("cross-entropy") {
            let weights = golden.parameters["class-weights"]?.values("class-weights")
            let loss = LossFunction.crossEntropy(
                labelSmoothing: golden.number("smoothing"),
                classWeights: weights.map { .each($0.map(Double.init)) } ?? .equal)
            return (loss, outputs, records)
        }
        records.targets = GoldenNumbers.values("targets", count: count * classes)
        if golden.name.hasPrefix("mse") { return (.meanSquaredError, outputs, records) }
        records.targets = records.targets.map { ($0 + 1) / 2 }
        return (.binaryCrossEntropy, outputs, records)
    }

    @Test(arguments: GoldenCase.load("losses").filter { $0.settings["smoothing"] != 1 })
    func matchesPyTorch(golden: GoldenCase) {
        let (loss, outputs, records) = Self.material(golden)
        let count = golden.count("count")
        let (statistics, gradient) = Self.evaluate(loss, outputs, records)
        let weightSum = golden.settings["weightSum"] ?? Double(count)
        expectClose(
            gradient.map { $0 / Float(weightSum) }, golden["gradient"], absolute: 1e-7,
            relative: 1e-6, golden.name)
        #expect(abs(statistics.weightSum - weightSum) <= 1e-12 * weightSum)
        #expect(statistics.sampleCount == count)
        #expect(loss.isPossible(weightSum: statistics.weightSum, ofRecords: count))
        if let correct = golden.settings["correct"] {
            #expect(Double(statistics.correctCount) == correct)
        }
        let expected = golden.number("loss")
        #expect(
            abs(statistics.meanLoss - expected) <= 1e-12 * (1 + expected),
            "\(statistics.meanLoss), expected \(expected)")
    }

    /// The loss and the records of a golden case of mixed records.
    private static func mixed(
        _ golden: GoldenCase
    ) -> (loss: LossFunction, outputs: [Float], records: Records) {
        let (count, classes) = (golden.count("count"), golden.count("classes"))
        let both = GoldenNumbers.labels(count: 2 * count, classCount: classes)
        let weights = golden.parameters["class-weights"]?.values("class-weights")
        let loss = LossFunction.crossEntropy(
            labelSmoothing: golden.number("smoothing"),
            classWeights: weights.map { .each($0.map(Double.init)) } ?? .equal)
        let outputs = GoldenNumbers.values(
            "logits", count: count * classes, scale: Float(golden.number("scale")))
        let records = Records(
            labels: Array(both[..<count]), secondLabels: Array(both[count...]),
            labelWeights: GoldenNumbers.values("mixing", count: count).map { ($0 + 1) / 2 })
        return (loss, outputs, records)
    }

    /// Records with two labels: PyTorch's cross-entropy of probabilities.
    @Test(arguments: GoldenCase.load("mixed_losses"))
    func mixedRecordsMatchPyTorch(golden: GoldenCase) {
        let (loss, outputs, records) = Self.mixed(golden)
        let (statistics, gradient) = Self.evaluate(loss, outputs, records)
        expectClose(
            gradient, golden["gradient"], absolute: 2e-7, relative: 1e-6, golden.name)
        let (sum, weightSum) = (golden.number("loss"), golden.number("weightSum"))
        #expect(abs(statistics.lossSum - sum) <= 1e-12 * sum, "\(statistics.lossSum), \(sum)")
        #expect(abs(statistics.weightSum - weightSum) <= 1e-12 * weightSum)
        #expect(loss.isPossible(weightSum: statistics.weightSum, ofRecords: golden.count("count")))
        #expect(Double(statistics.correctCount) == golden.number("correct"))
        for tileSize in [1, 3] {
            let (parts, pieces) = Self.evaluate(loss, outputs, records, tileSize: tileSize)
            #expect(parts == statistics)
            expectSameBits(pieces, gradient, "tiles of \(tileSize)")
        }
    }

    /// A record that is mixed with nothing, or with one of its class, has the bits of a plain one.
    @Test(arguments: GoldenCase.load("mixed_losses"))
    func aMixtureOfOneLabelIsPlain(golden: GoldenCase) {
        var (loss, outputs, records) = Self.mixed(golden)
        let plain = Self.evaluate(loss, outputs, Records(labels: records.labels))
        let others = records.secondLabels
        records.secondLabels = records.labels
        let equal = Self.evaluate(loss, outputs, records)
        records.secondLabels = others
        records.labelWeights = records.labels.map { _ in 1 }
        let unmixed = Self.evaluate(loss, outputs, records)
        for found in [equal, unmixed] {
            #expect(found.0 == plain.0)
            expectSameBits(found.1, plain.1, golden.name)
        }
    }

    @Test func onlyCrossEntropyTakesTwoLabels() {
        #expect(LossFunction.names.filter { LossFunction(named: $0)!.takesMixedLabels } == ["cross-entropy"])
    }

    @Test func nothingOfTheGoldenFileIsLeftOut() {
        let names = GoldenCase.load("losses").map(\.name)
        for (prefix, count) in [("cross-entropy", 11), ("mse", 2), ("bce", 2)] {
            #expect(names.count { $0.hasPrefix(prefix) } == count)
        }
    }

    /// Losses, weights and gradients are those of each record, so tiles change no bit. The gradient
    /// may be computed in place.
    @Test(arguments: GoldenCase.load("losses").filter { $0.settings["smoothing"] != 1 })
    func cuttingABatchChangesNoBit(golden: GoldenCase) {
        let (loss, outputs, records) = Self.material(golden)
        let (whole, gradient) = Self.evaluate(loss, outputs, records)
        for tileSize in [1, 2, 8] {
            let (parts, pieces) = Self.evaluate(loss, outputs, records, tileSize: tileSize)
            #expect(parts == whole)
            expectSameBits(pieces, gradient, "tiles of \(tileSize)")
        }
        var inPlace = outputs
        var statistics = BatchStatistics()
        records.withView { view in
            inPlace.withUnsafeMutableBufferPointer { buffer in
                loss.evaluate(
                    outputs: buffer.baseAddress!, batch: view, records: 0..<view.count,
                    outputCount: buffer.count / view.count, gradient: buffer.baseAddress!,
                    into: &statistics)
            }
        }
        #expect(statistics == whole)
        expectSameBits(inPlace, gradient, "in place")
    }

    /// Random losses, outputs and records: the gradient is the derivative of the sum of the losses.
    @Test func theGradientIsTheDerivativeOfTheLoss() {
        for seed in UInt64(1)...60 {
            var random = RandomStream(seed: seed, purpose: .simulation, 71)
            let (count, outputCount) = (1 + random.next(below: 4), 1 + random.next(below: 6))
            var outputs = (0..<count * outputCount).map { _ in
                // Multiples of 2⁻¹⁰, so that a difference of 2⁻¹⁰ is exact.
                Float(random.next(below: 8192) - 4096) / 1024
            }
            var records = Records(
                labels: (0..<count).map { _ in Int32(random.next(below: outputCount)) })
            records.targets = outputs.map { _ in random.nextUniform() }
            let smoothing = random.next(below: 2) == 0 ? 0 : Double(random.nextUniform())
            let weights = (0..<outputCount).map { _ in Double(random.nextUniform()) * 4 }
            let losses: [LossFunction] = [
                .crossEntropy(labelSmoothing: smoothing, classWeights: .each(weights)),
                .crossEntropy(labelSmoothing: smoothing), .meanSquaredError, .binaryCrossEntropy,
            ]
            for loss in losses {
                let gradient = Self.evaluate(loss, outputs, records).1
                for index in outputs.indices {
                    let (value, width) = (outputs[index], Float(0x1p-10))
                    outputs[index] = value + width
                    let above = Self.evaluate(loss, outputs, records).0.lossSum
                    outputs[index] = value - width
                    let below = Self.evaluate(loss, outputs, records).0.lossSum
                    outputs[index] = value
                    let expected = (above - below) / (2 * Double(width))
                    #expect(
                        abs(Double(gradient[index]) - expected) <= 2e-6,
                        "seed \(seed), \(loss.yaml): \(gradient[index]), expected \(expected)")
                }
            }
        }
    }

    /// Equal weights of 1 give the plain loss up to rounding, and twice the weights twice the
    /// gradient.
    @Test func weightsScale() {
        let outputs = GoldenNumbers.values("logits", count: 60, scale: 4)
        let records = Records(labels: GoldenNumbers.labels(count: 12, classCount: 5))
        for smoothing in [0, 0.2] {
            func evaluate(_ weight: Double) -> (BatchStatistics, [Float]) {
                Self.evaluate(
                    .crossEntropy(
                        labelSmoothing: smoothing,
                        classWeights: .each(Array(repeating: weight, count: 5))), outputs, records)
            }
            let plain = Self.evaluate(.crossEntropy(labelSmoothing: smoothing), outputs, records)
            let (one, two) = (evaluate(1), evaluate(2))
            #expect(abs(one.0.lossSum - plain.0.lossSum) < 1e-12 * plain.0.lossSum)
            #expect(one.0.weightSum == 12 && two.0.weightSum == 24)
            expectClose(one.1, plain.1, absolute: 2e-7, relative: 1e-6, "weights of 1")
            expectSameBits(two.1, one.1.map { 2 * $0 }, "weights of 2")
        }
    }

    /// A record of a class without weight changes nothing, and is counted all the same.
    @Test func recordsWithoutWeight() {
        let outputs = GoldenNumbers.values("logits", count: 4)
        let loss = LossFunction.crossEntropy(classWeights: .each([0, 3]))
        let (statistics, gradient) = Self.evaluate(loss, outputs, Records(labels: [0, 0]))
        #expect(statistics.sampleCount == 2 && statistics.weightSum == 0)
        #expect(statistics.lossSum == 0 && statistics.meanLoss == 0)
        #expect(gradient.allSatisfy { $0 == 0 })
        let old: [Float] = [1, -2]
        var new: [Float] = [0, 0]
        OptimizerSpecification.sgd(SGD(learningRate: 0.5)).update(
            step: 1, weights: old, into: &new, gradientSum: [0, 0], sampleCount: 2, weightSum: 0,
            state: [], count: 2)
        #expect(new == old)
    }

    @Test func signsAreRightOrWrong() {
        let records = Records(labels: [0, 0, 0, 0], targets: [1, 0, 1, 0, 0, 1, 0.9, 0.2])
        let outputs: [Float] = [3, -1, 3, 1, 0, 5, 0, -4]
        let statistics = Self.evaluate(.binaryCrossEntropy, outputs, records).0
        #expect(statistics.correctCount == 2)
        #expect(Self.evaluate(.meanSquaredError, outputs, records).0.correctCount == 0)
    }

    @Test func divergedOutputsGiveNoFiniteLoss() {
        let records = Records(labels: [1], targets: [0.5, 0.5])
        for loss in [
            LossFunction(), .crossEntropy(labelSmoothing: 0.1, classWeights: .each([1, 0])),
            .meanSquaredError, .binaryCrossEntropy,
        ] {
            for output in [Float.nan, .infinity] {
                let statistics = Self.evaluate(loss, [output, 1], records).0
                #expect(!statistics.lossSum.isFinite, "\(loss.name) of \(output)")
            }
        }
    }

    /// scikit-learn's formula; classes without records have no weight.
    @Test func balancedWeights() throws {
        func weights(_ histogram: [Int], _ outputCount: Int) throws -> String {
            try LossFunction.crossEntropy(classWeights: .balanced).resolved(
                classHistogram: histogram, outputCount: outputCount
            ).yaml
        }
        #expect(
            try weights([10, 30, 40], 3)
                == "{name: cross-entropy, class-weights: [\(80.0 / 30), \(80.0 / 90), \(80.0 / 120)]}")
        #expect(
            try weights([6, 0, 2], 4)
                == "{name: cross-entropy, class-weights: [\(8.0 / 12), 0.0, 2.0, 0.0]}")
        #expect(throws: LossError.self) { try weights([], 3) }
        #expect(throws: LossError.self) { try weights([0, 0], 2) }
        #expect(throws: LossError.self) { try weights([1, 1, 1], 2) }
    }

    /// What a program may hand over, beyond what a run file allows.
    @Test(arguments: [
        LossFunction.crossEntropy(classWeights: .each([1, 2])),
        .crossEntropy(classWeights: .each([1, 2, 3, 4])),
        .crossEntropy(classWeights: .each([0, 0, 0])),
        .crossEntropy(classWeights: .each([1, -1, 1])),
        .crossEntropy(classWeights: .each([1, .nan, 1])),
        .crossEntropy(classWeights: .each([1, .infinity, 1])),
        .crossEntropy(classWeights: .each([1, 1e-300, 1])),
        .crossEntropy(labelSmoothing: 1), .crossEntropy(labelSmoothing: -0.1),
        .crossEntropy(labelSmoothing: .nan),
    ])
    func settingsThatDoNotFit(_ loss: LossFunction) {
        #expect(throws: LossError.self) {
            try loss.resolved(classHistogram: [1, 1, 1], outputCount: 3)
        }
    }

    @Test func possibleSumsOfWeights() {
        let weighted = LossFunction.crossEntropy(classWeights: .each([0.5, 2]))
        for loss in [LossFunction(), .meanSquaredError, .binaryCrossEntropy] {
            #expect(loss.isPossible(weightSum: 3, ofRecords: 3))
            #expect(!loss.isPossible(weightSum: 3.5, ofRecords: 3))
        }
        #expect(weighted.isPossible(weightSum: 3.5, ofRecords: 3))
        for sum in [Double.nan, .infinity, -1] {
            #expect(!weighted.isPossible(weightSum: sum, ofRecords: 3))
        }
    }

    /// A network's gradient is the one that comes from the gradient of its outputs, on every
    /// backend.
    @Test(arguments: Backends.available, ["cross-entropy", "mixed", "mse", "bce"])
    func gradientsOfANetwork(backend: BackendKind, name: String) throws {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [2, 5, 4],
                layers: [
                    .conv2D(filters: 3, kernel: Size2D(3), activation: .relu), .flatten,
                    .dense(units: 4),
                ]))
        let (count, inputCount) = (13, network.inputElementCount)
        let images = GoldenInput.values(count * inputCount, salt: 1)
        var records = Records(labels: GoldenNumbers.labels(count: count, classCount: 4))
        var loss = LossFunction.crossEntropy(
            labelSmoothing: 0.1, classWeights: .each([0.25, 1, 2, 0.5]))
        if name == "mixed" {
            records.secondLabels = GoldenNumbers.labels(count: 2 * count, classCount: 4).suffix(count)
            records.labelWeights = GoldenNumbers.values("mixing", count: count).map { ($0 + 1) / 2 }
        } else if name != "cross-entropy" {
            loss = try #require(LossFunction(named: name))
            records.targets = GoldenInput.values(count * 4, salt: 5).map { ($0 + 1) / 2 }
        }
        let engine = try Backends.makeEngine(
            backend, network: network,
            configuration: EngineConfiguration(
                tileSize: FastBackend.tileSize(backend, 4), loss: loss))
        engine.setParameters(GoldenInput.parameters(network))
        let outputs = engine.outputs(images: images, count: count)
        let (statistics, outputGradient) = Self.evaluate(loss, outputs, records)
        let expected = engine.gradients(
            images: images, count: count, outputGradient: outputGradient)
        var found = [Float](repeating: .nan, count: network.parameters.elementCount)
        records.withView(images: images) { view in
            #expect(engine.computeGradient(view, epoch: 0, into: &found) == statistics)
            // Test records have neither smoothing nor weights.
            let plain = Self.evaluate(loss.ofTestRecords, outputs, records).0
            #expect(engine.evaluate(view, logits: nil) == plain)
            #expect(plain.weightSum == Double(count))
        }
        expectSameBits(found, expected.parameters, "\(backend.rawValue) \(name)")
    }

    /// Two workers with unlike mixes of classes compute what PyTorch computes in one process. What
    /// averaging their means gives is something else.
    @Test(arguments: Backends.available, GoldenCase.load("weighted_step"))
    func aStepOfTwoWorkers(backend: BackendKind, golden: GoldenCase) throws {
        let network = try golden.network
        let (count, first) = (golden.count("count"), golden.count("first"))
        let classWeights = try #require(golden.parameters["class-weights"])
        let loss = LossFunction.crossEntropy(
            labelSmoothing: golden.number("smoothing"),
            classWeights: .each(classWeights.values("class-weights").map(Double.init)))
        let engine = try Backends.makeEngine(
            backend, network: network,
            configuration: EngineConfiguration(
                tileSize: FastBackend.tileSize(backend, 2), loss: loss))
        var weights = network.parameters.slots.flatMap { slot in
            golden.parameters[slot.name]?.values(slot.name) ?? []
        }
        engine.setParameters(weights)
        let images = GoldenNumbers.images(count: count, elementCount: network.inputElementCount)
        let records = Records(
            labels: GoldenNumbers.labels(count: count, classCount: golden.count("classes")))
        var sum = [Float](repeating: 0, count: weights.count)
        var total = BatchStatistics()
        for part in [0..<first, first..<count] {
            var gradient = sum
            let statistics = records.withView(part, images: images) { view in
                engine.computeGradient(view, epoch: 0, into: &gradient)
            }
            sum = zip(sum, gradient).map { $0 + $1 }
            total.sampleCount += statistics.sampleCount
            total.lossSum += statistics.lossSum
            total.weightSum += statistics.weightSum
        }
        let rule = UpdateRule(
            .sgd(SGD(learningRate: golden.number("rate"))), network.parameters)
        let old = weights
        rule.update(
            0..<weights.count, step: 1, weights: old, into: &weights, gradientSum: sum,
            sampleCount: total.sampleCount, weightSum: total.weightSum, state: [])
        expectClose(weights, golden["weights"], absolute: 1e-6, relative: 1e-6, golden.name)
        let expected = golden.number("loss")
        #expect(abs(total.meanLoss - expected) <= 1e-5 * expected)
        let distance = zip(golden["weights"], golden["averaged"]).map { abs($0 - $1) }.max() ?? 0
        #expect(distance > 1e-3)
    }

    /// Running statistics stay means over records, whatever the records weigh.
    @Test func statisticsAreDividedByRecords() throws {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [1, 2, 2],
                layers: [.batchNorm(), .flatten, .dense(units: 2)]))
        let count = network.parameters.elementCount
        let rule = UpdateRule(.sgd(SGD(learningRate: 1)), network.parameters)
        let weights = [Float](repeating: 0, count: count)
        let sums = [Float](repeating: 12, count: count)
        var new = weights
        rule.update(
            0..<count, step: 1, weights: weights, into: &new, gradientSum: sums, sampleCount: 4,
            weightSum: 3, state: [])
        for slot in network.parameters.slots {
            let expected: Float = slot.role == .statistic ? Float(slot.momentum) * 3 : -4
            #expect(new[slot.range].allSatisfy { $0 == expected }, "\(slot.name)")
        }
        #expect(!network.parameters.statistics.isEmpty)
    }
}
