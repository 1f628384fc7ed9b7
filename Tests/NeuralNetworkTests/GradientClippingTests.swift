import NeuralNetwork
import Testing

/// The clipping of a gradient by its norm.
@Suite struct GradientClippingTests {
    /// Returns the layout of a network with so many parameters, all of them trained.
    private static func layout(_ count: Int) throws -> ParameterLayout {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [count - 1, 1, 1], layers: [.flatten, .dense(units: 1)]))
        #expect(network.parameters.elementCount == count)
        return network.parameters
    }

    /// Returns the sums of squares of all blocks, measured range by range.
    private static func measure(
        _ clipping: GradientClipping, _ gradient: [Float], cuts: [Int]
    ) -> [Double] {
        zip(cuts, cuts.dropFirst()).flatMap { start, end -> [Double] in
            let blocks = (end - start + 1023) / 1024
            var sums = [Double](repeating: .nan, count: blocks)
            clipping.measure(
                start..<end, gradientSum: Array(gradient[start..<end]), into: &sums)
            return sums
        }
    }

    private static func factor(
        _ clipping: GradientClipping, _ sums: [Double], sampleCount: Int = 1
    ) -> Float {
        sums.withUnsafeBufferPointer { clipping.factor($0, weightSum: Double(sampleCount)) }
    }

    private static func scale(
        _ clipping: GradientClipping, _ gradient: [Float], by factor: Float, cuts: [Int]
    ) -> [Float] {
        zip(cuts, cuts.dropFirst()).flatMap { start, end -> [Float] in
            var result = [Float](repeating: .nan, count: end - start)
            clipping.scale(
                start..<end, gradientSum: Array(gradient[start..<end]), by: factor, into: &result)
            return result
        }
    }

    /// clip_grad_norm_ in double precision: norm, factor and elements.
    @Test(arguments: GoldenCase.load("updates").filter { $0.name.hasPrefix("clip") })
    func asPyTorchClips(golden: GoldenCase) throws {
        let names = golden.parameters.keys.sorted()
        let parts = names.map { golden.parameters[$0]?.values($0) ?? [] }
        let gradient = parts.flatMap { $0 }
        let clipping = GradientClipping(
            limit: golden.number("max"), try Self.layout(gradient.count))
        // The sum over eight records, as a shard has it.
        let sum = gradient.map { $0 * 8 }
        let sums = Self.measure(clipping, sum, cuts: [0, sum.count])
        let norm = sums.reduce(0, +).squareRoot() / 8
        #expect(abs(norm - golden.number("norm")) <= 1e-12 * golden.number("norm"))
        let factor = Self.factor(clipping, sums, sampleCount: 8)
        #expect(abs(Double(factor) - golden.number("factor")) <= 6e-8 * golden.number("factor"))
        let clipped = Self.scale(clipping, sum, by: factor, cuts: [0, sum.count]).map { $0 / 8 }
        var start = 0
        for (name, part) in zip(names, parts) {
            let found = GoldenNumbers.picks(count: part.count).map { clipped[start + $0] }
            expectClose(
                found, golden["clipped.\(name)"], absolute: 0, relative: 1e-6,
                "\(golden.name) \(name)")
            start += part.count
        }
    }

    /// A cut between blocks changes no bit, and the order is the one that the documents name.
    @Test(arguments: [1, 7, 8, 1023, 1024, 1025, 3000, 5 * 1024, 9 * 1024 + 17])
    func noCutChangesABit(count: Int) throws {
        let clipping = GradientClipping(limit: 0.5, try Self.layout(max(2, count)))
        let gradient = GoldenInput.values(max(2, count), salt: 5)
        let whole = Self.measure(clipping, gradient, cuts: [0, gradient.count])
        #expect(whole.count == clipping.blockCount)
        let blocks = Array(stride(from: 0, to: gradient.count, by: 1024)) + [gradient.count]
        let some = blocks.enumerated().filter { $0.offset % 3 == 0 || $0.element == gradient.count }
        #expect(Self.measure(clipping, gradient, cuts: blocks) == whole)
        #expect(Self.measure(clipping, gradient, cuts: some.map(\.element)) == whole)
        for (block, sum) in whole.enumerated() {
            var parts = [Double](repeating: 0, count: 8)
            for index in block * 1024..<min(gradient.count, (block + 1) * 1024) {
                parts[index % 8] += Double(gradient[index]) * Double(gradient[index])
            }
            let expected =
                ((parts[0] + parts[1]) + (parts[2] + parts[3]))
                + ((parts[4] + parts[5]) + (parts[6] + parts[7]))
            #expect(sum == expected)
        }
        let factor = Self.factor(clipping, whole)
        let scaled = Self.scale(clipping, gradient, by: factor, cuts: [0, gradient.count])
        #expect(scaled == gradient.map { $0 * factor })
        let cut = gradient.count / 2
        #expect(
            Self.scale(clipping, gradient, by: factor, cuts: [0, cut, gradient.count]) == scaled)
    }

    /// The blocks are added in pairs, then the pairs in pairs.
    @Test func blocksAreAddedAlongATree() throws {
        let clipping = GradientClipping(limit: 1, try Self.layout(5 * 1024))
        let sums = [1e16, 1.0, 1.0, -1e16, 3.0]
        let root = ((1e16 + 1.0) + (1.0 + -1e16)) + 3
        #expect(Self.factor(clipping, sums) == Float(1 / (root.squareRoot() + 1e-6)))
    }

    /// Running statistics are neither counted nor scaled, also where they share a block with
    /// trained tensors.
    @Test func statisticsAreNoGradients() throws {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: [3, 2, 2],
                layers: [.batchNorm(), .flatten, .dense(units: 2)]))
        let layout = network.parameters
        let clipping = GradientClipping(limit: 0.25, layout)
        var gradient = GoldenInput.values(layout.elementCount, salt: 3)
        let clean = Self.measure(clipping, gradient, cuts: [0, gradient.count])
        for element in layout.statistics { gradient[element] = 1e20 }
        let sums = Self.measure(clipping, gradient, cuts: [0, gradient.count])
        #expect(sums == clean)
        let factor = Self.factor(clipping, sums)
        #expect(factor < 1)
        let scaled = Self.scale(clipping, gradient, by: factor, cuts: [0, gradient.count])
        for slot in layout.slots {
            for element in slot.range {
                let isTrained = slot.role == .trained
                #expect(scaled[element] == gradient[element] * (isTrained ? factor : 1))
            }
        }
    }

    @Test func whatIsNoNumberIsNotHidden() throws {
        let clipping = GradientClipping(limit: 1, try Self.layout(4))
        #expect(Self.factor(clipping, [.nan]).isNaN)
        #expect(Self.factor(clipping, [.infinity]) == 0)
        let scaled = Self.scale(clipping, [.infinity, 1, 1, 1], by: 0, cuts: [0, 4])
        #expect(scaled[0].isNaN && scaled[1] == 0)
    }
}
