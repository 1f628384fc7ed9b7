import NeuralNetwork
import Testing

/// The exponential moving average of the weights.
@Suite struct WeightAverageTests {
    /// A network with 33 parameters, as the golden cases have.
    private static func network() throws -> Network {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [32, 1, 1], layers: [.flatten, .dense(units: 1)]))
        #expect(network.parameters.elementCount == 33)
        return network
    }

    private static func update(
        _ rule: UpdateRule, step: Int, _ weights: inout [Float], _ average: inout [Float],
        _ gradient: [Float], cuts: [Int]
    ) {
        for (start, end) in zip(cuts, cuts.dropFirst()) {
            var next = [Float](repeating: 0, count: end - start)
            average.withUnsafeMutableBufferPointer { average in
                rule.update(
                    start..<end, step: step, weights: Array(weights[start..<end]), into: &next,
                    gradientSum: Array(gradient[start..<end]), sampleCount: 1,
                    state: [average.baseAddress! + start])
            }
            weights.replaceSubrange(start..<end, with: next)
        }
    }

    /// The recursion from the initial weights on, and AveragedModel, whose first update copies the
    /// weights.
    @Test(arguments: GoldenCase.load("updates").filter { $0.name.hasPrefix("ema") })
    func asPyTorchAverages(golden: GoldenCase) throws {
        var rule = UpdateRule(
            .sgd(SGD(learningRate: golden.number("learning-rate"))),
            try Self.network().parameters)
        rule.average = WeightAverage(
            decay: golden.number("decay"), try Self.network().parameters)
        #expect(rule.stateNames == ["ema"])
        let matrix = try #require(golden.parameters["matrix"]).values("matrix")
        let vector = try #require(golden.parameters["vector"]).values("vector")
        var weights = matrix + vector
        var (average, later) = (weights, weights)
        for step in 1...10 {
            let gradient = GoldenNumbers.values("step\(step)", count: 33)
            var twin = weights
            Self.update(rule, step: step, &weights, &average, gradient, cuts: [0, 5, 21, 33])
            Self.update(rule, step: step, &twin, &later, gradient, cuts: [0, 33])
            if step == 1 { later = weights }
            guard [1, 2, 10].contains(step) else { continue }
            for (name, found) in [("step", weights), ("ema", average), ("torch", later)] {
                expectClose(
                    found, golden["\(name)\(step)"], absolute: 1e-6, relative: 1e-6,
                    "\(golden.name) \(name)\(step)")
            }
        }
    }

    /// The average of constant weights is the weights, also with a decay whose difference to 1 has
    /// few bits in float.
    @Test func constantWeightsStay() throws {
        let average = WeightAverage(decay: 0.99999, try Self.network().parameters)
        let weights = GoldenNumbers.values("weights", count: 33)
        var found = weights
        for _ in 0..<1000 { average.update(0..<33, weights: weights, average: &found) }
        expectClose(found, weights, absolute: 0, relative: 1e-7, "average")
    }

    @Test func statisticsHaveTheirPresentValues() throws {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [3, 2, 2],
                layers: [.batchNorm(), .flatten, .dense(units: 2)]))
        let layout = network.parameters
        let average = WeightAverage(decay: 0.75, layout)
        let weights = GoldenInput.values(layout.elementCount, salt: 1)
        var found = GoldenInput.values(layout.elementCount, salt: 2)
        let former = found
        average.update(0..<found.count, weights: weights, average: &found)
        for slot in layout.slots {
            for element in slot.range {
                let moved = Float(
                    0.75 * Double(former[element]) + 0.25 * Double(weights[element]))
                #expect(found[element] == (slot.role == .statistic ? weights[element] : moved))
            }
        }
    }
}
