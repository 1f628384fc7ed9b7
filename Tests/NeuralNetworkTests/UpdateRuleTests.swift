import NeuralNetwork
import Testing

/// What decides how each element of the flat vector changes.
@Suite struct UpdateRuleTests {
    /// Weight decay of matrices alone, against PyTorch's parameter groups. A dense layer has the
    /// matrix, and its bias the first elements of the vector.
    @Test(arguments: GoldenCase.load("updates").filter { $0.name.hasPrefix("decay-1d") })
    func vectorsDoNotDecay(golden: GoldenCase) throws {
        let optimizer: OptimizerSpecification =
            golden.name.hasSuffix("adamw")
            ? .adamW(
                AdamW(
                    learningRate: golden.number("learning-rate"), epsilon: golden.number("epsilon"),
                    weightDecay: golden.number("weight-decay")))
            : .sgd(
                SGD(
                    learningRate: golden.number("learning-rate"),
                    momentum: golden.number("momentum"), nesterov: golden.number("nesterov") == 1,
                    weightDecay: golden.number("weight-decay")))
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [5, 1, 1], layers: [.flatten, .dense(units: 4)]))
        let count = network.parameters.elementCount
        let matrix = try #require(golden.parameters["matrix"]).values("matrix")
        let vector = try #require(golden.parameters["vector"]).values("vector")
        var weights = matrix + vector.prefix(4)
        #expect(weights.count == count)
        let rule = UpdateRule(optimizer, network.parameters, decays1D: false)
        var state = optimizer.stateNames.map { _ in [Float](repeating: 0, count: count) }
        for step in 1...10 {
            let gradient = Array(GoldenNumbers.values("step\(step)", count: 33).prefix(count))
            // Any cut gives the same bits.
            weights = Self.update(rule, step, weights, gradient, &state, cuts: [0, 7, 21, count])
            guard [1, 2, 10].contains(step) else { continue }
            expectClose(
                weights, Array(golden["step\(step)"].prefix(count)), absolute: 1e-6,
                relative: 1e-5, "\(golden.name) step \(step)")
        }
    }

    /// The scale and the shift of a layer normalisation have the shape of an image.
    @Test func normalisationsDoNotDecay() throws {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [2, 2, 2],
                layers: [
                    .conv2D(filters: 2, kernel: Size2D(1)), .layerNorm(), .flatten, .dense(units: 2),
                ]))
        let count = network.parameters.elementCount
        var state: [[Float]] = []
        let found = Self.update(
            UpdateRule(
                .sgd(SGD(learningRate: 0.5, weightDecay: 1)), network.parameters, decays1D: false),
            1, [Float](repeating: 1, count: count), [Float](repeating: 0, count: count), &state,
            cuts: [0, count])
        for slot in network.parameters.slots {
            #expect(found[slot.range].allSatisfy { $0 == (slot.kind == .weight ? 0.5 : 1) })
        }
    }

    @Test func statisticsAreRunningMeans() throws {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [3, 2, 2],
                layers: [.batchNorm(momentum: 0.25), .flatten, .dense(units: 2)]))
        let layout = network.parameters
        let rule = UpdateRule(.sgd(SGD(learningRate: 0.5)), layout)
        let weights = GoldenInput.values(layout.elementCount, salt: 1)
        let sums = GoldenInput.values(layout.elementCount, salt: 2)
        var state: [[Float]] = []
        let next = Self.update(
            rule, 1, weights, sums, &state, sampleCount: 8, cuts: [0, layout.elementCount])
        for slot in layout.slots {
            for element in slot.range {
                let mean = sums[element] / 8
                let expected =
                    slot.role == .statistic
                    ? 0.75 * weights[element] + 0.25 * mean : weights[element] - 0.5 * mean
                #expect(abs(next[element] - expected) <= 1e-6)
            }
        }
        #expect(layout.statistics.count == 6)
    }

    @Test func rateFollowsTheSchedule() throws {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [1, 1, 3], layers: [.flatten, .dense(units: 2)]))
        let rates = UpdateRule.Rates(
            LearningRateSchedule(.cosine(minimum: 0), warmup: .steps(2)), totalSteps: 10,
            stepsPerEpoch: 5)
        let count = network.parameters.elementCount
        for step in 1...10 {
            var state: [[Float]] = []
            let found = Self.update(
                UpdateRule(.sgd(SGD(learningRate: 0.5)), network.parameters, rates: rates), step,
                [Float](repeating: 0, count: count), [Float](repeating: 1, count: count), &state,
                cuts: [0, count])
            #expect(found[0] == -Float(0.5 * rates.factor(step: step)))
        }
        #expect(rates.factor(step: 1) == 0.5 && rates.factor(step: 2) == 1)
        #expect(rates.factor(step: 10) < 0.05)
    }

    private static func update(
        _ rule: UpdateRule, _ step: Int, _ weights: [Float], _ gradient: [Float],
        _ state: inout [[Float]], sampleCount: Int = 1, cuts: [Int]
    ) -> [Float] {
        var next = weights
        for (start, end) in zip(cuts, cuts.dropFirst()) {
            var parts = state.map { Array($0[start..<end]) }
            var output = [Float](repeating: 0, count: end - start)
            let pointers = parts.indices.map { index in
                let pointer = UnsafeMutablePointer<Float>.allocate(capacity: end - start)
                pointer.initialize(from: parts[index], count: end - start)
                return pointer
            }
            defer { for pointer in pointers { pointer.deallocate() } }
            rule.update(
                start..<end, step: step, weights: Array(weights[start..<end]), into: &output,
                gradientSum: Array(gradient[start..<end]), sampleCount: sampleCount,
                state: pointers)
            for (index, pointer) in pointers.enumerated() {
                parts[index] = Array(UnsafeBufferPointer(start: pointer, count: end - start))
                state[index].replaceSubrange(start..<end, with: parts[index])
            }
            next.replaceSubrange(start..<end, with: output)
        }
        return next
    }
}
