import CKernels
import FoundationEssentials
import NeuralNetwork
import StrictYAML
import Testing

@Suite struct OptimizerTests {
    static let examples: [OptimizerSpecification] = [
        .sgd(SGD(learningRate: 0.1)),
        .sgd(SGD(learningRate: 0.1, weightDecay: 0.02)),
        .sgd(SGD(learningRate: 0.1, momentum: 0.9, weightDecay: 0.01)),
        .sgd(SGD(learningRate: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01)),
        .adam(Adam()),
        .adam(Adam(learningRate: 0.01, beta1: 0.8, beta2: 0.99, epsilon: 1e-5, weightDecay: 0.03)),
        .adamW(AdamW(learningRate: 0.02, weightDecay: 0.2)),
    ]

    /// Compares ten steps with PyTorch's optimizers.
    @Test(arguments: GoldenCase.load("optimizers"))
    func matchesPyTorch(golden: GoldenCase) throws {
        let optimizer = try #require(specification(golden))
        try optimizer.validate()
        var weights = GoldenInput.values(33, salt: 9)
        var state = OptimizerState(optimizer, count: weights.count)
        for step in 1...10 {
            let sum = GoldenInput.values(33, salt: UInt64(10 + step)).map { $0 * 8 }
            weights = state.update(step, weights, gradientSum: sum, sampleCount: 8)
            if [1, 2, 10].contains(step) {
                expectClose(
                    weights, golden["step\(step)"], absolute: 2e-7, relative: 1e-6,
                    "\(golden.name) step \(step)")
            }
        }
        for (name, vector) in zip(optimizer.stateNames, state.vectors) {
            expectClose(
                vector, golden[name], absolute: 2e-7, relative: 1e-6, "\(golden.name) \(name)")
        }
    }

    private func specification(_ golden: GoldenCase) -> OptimizerSpecification? {
        let rate = golden.number("learning-rate")
        let decay = golden.number("weight-decay")
        let (beta1, beta2) = (golden.number("beta1"), golden.number("beta2"))
        let epsilon = golden.number("epsilon")
        switch golden.name.split(separator: "-")[0] {
        case "adam":
            return .adam(
                Adam(
                    learningRate: rate, beta1: beta1, beta2: beta2, epsilon: epsilon,
                    weightDecay: decay))
        case "adamw":
            return .adamW(
                AdamW(
                    learningRate: rate, beta1: beta1, beta2: beta2, epsilon: epsilon,
                    weightDecay: decay))
        default:
            return .sgd(
                SGD(
                    learningRate: rate, momentum: golden.number("momentum"),
                    nesterov: golden.count("nesterov") == 1, weightDecay: decay))
        }
    }

    /// Compares the vector kernels with a plain twin: equal bits for every length, start and place
    /// in memory.
    @Test(arguments: examples)
    func kernelsEqualThePlainTwin(_ optimizer: OptimizerSpecification) {
        let length = 70 + 17
        for step in [1, 2, 1000] {
            let weights = GoldenInput.values(length, salt: 21)
            let sums = GoldenInput.values(length, salt: 22).map { $0 * 3 }
            let first = GoldenInput.values(length, salt: 23)
            let second = GoldenInput.values(length, salt: 24).map(abs)
            let start = optimizer.stateNames.isEmpty ? [] : [first, second]
            let vectors = Array(start.prefix(optimizer.stateNames.count))
            let twin = OptimizerTwin.update(optimizer, step, weights, sums, 7, vectors)
            for count in 0...70 {
                let offset = count % 17
                for isInPlace in [false, true] {
                    let found = update(
                        optimizer, step, weights, sums, 7, vectors, offset..<offset + count,
                        isInPlace: isInPlace)
                    for (name, pair) in zip(["weights"] + optimizer.stateNames, zip(found, twin)) {
                        expectSameBits(
                            pair.0, Array(pair.1[offset..<offset + count]),
                            "\(optimizer.name) \(name), step \(step), \(count) from \(offset)")
                    }
                }
            }
        }
    }

    /// Updates the elements of `range`, in memory that is aligned as the start of the range.
    private func update(
        _ optimizer: OptimizerSpecification, _ step: Int, _ weights: [Float], _ sums: [Float],
        _ sampleCount: Int, _ state: [[Float]], _ range: Range<Int>, isInPlace: Bool
    ) -> [[Float]] {
        let buffers = ([weights] + state).map { vector in
            let pointer = UnsafeMutablePointer<Float>.allocate(capacity: vector.count)
            pointer.initialize(from: vector, count: vector.count)
            return pointer
        }
        var output = [Float](repeating: .nan, count: weights.count)
        output.withUnsafeMutableBufferPointer { output in
            sums.withUnsafeBufferPointer { sums in
                let target = isInPlace ? buffers[0] : output.baseAddress!
                optimizer.update(
                    step: step, weights: buffers[0] + range.lowerBound,
                    into: target + range.lowerBound,
                    gradientSum: sums.baseAddress! + range.lowerBound, sampleCount: sampleCount,
                    state: buffers.dropFirst().map { $0 + range.lowerBound }, count: range.count)
                if isInPlace { return }
                // Nothing outside the range was written.
                #expect(output[..<range.lowerBound].allSatisfy { $0.isNaN })
                #expect(output[range.upperBound...].allSatisfy { $0.isNaN })
            }
        }
        defer { for buffer in buffers { buffer.deallocate() } }
        let state = buffers.dropFirst().map { buffer in range.map { buffer[$0] } }
        return [range.map { isInPlace ? buffers[0][$0] : output[$0] }] + state
    }

    @Test func addingGivesTheSameBitsAtEveryLength() {
        let (a, b) = (GoldenInput.values(90, salt: 31), GoldenInput.values(90, salt: 32))
        for count in 0...70 {
            let offset = count % 19
            var out = [Float](repeating: .nan, count: 90)
            out.withUnsafeMutableBufferPointer { out in
                a.withUnsafeBufferPointer { a in
                    b.withUnsafeBufferPointer { b in
                        FlatVector.add(
                            a.baseAddress! + offset, b.baseAddress! + 3,
                            into: out.baseAddress! + offset, count: count)
                    }
                }
            }
            let expected = (0..<count).map { a[offset + $0] + b[3 + $0] }
            expectSameBits(Array(out[offset..<offset + count]), expected, "\(count) from \(offset)")
            #expect(
                out[..<offset].allSatisfy { $0.isNaN }
                    && out[(offset + count)...].allSatisfy { $0.isNaN })
        }
        var accumulated = a
        accumulated.withUnsafeMutableBufferPointer { buffer in
            FlatVector.add(buffer.baseAddress!, b, into: buffer.baseAddress!, count: 90)
        }
        expectSameBits(accumulated, zip(a, b).map(+), "in place")
    }

    @Test func defaultsAreTheDocumentedOnes() throws {
        #expect(
            OptimizerSpecification(named: "adam")
                == .adam(
                    Adam(
                        learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0
                    )))
        #expect(
            OptimizerSpecification(named: "adamw")
                == .adamW(
                    AdamW(
                        learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7,
                        weightDecay: 0.01)))
        #expect(
            OptimizerSpecification(named: "sgd")
                == .sgd(
                    SGD(learningRate: 0.01, momentum: 0, nesterov: false, weightDecay: 0)))
        #expect(OptimizerSpecification(named: "lion") == nil)
        #expect(OptimizerSpecification.sgd(SGD()).stateNames.isEmpty)
        #expect(OptimizerSpecification.sgd(SGD(momentum: 0.5)).stateNames == ["momentum_buffer"])
        #expect(OptimizerSpecification.adamW(AdamW()).stateNames == ["exp_avg", "exp_avg_sq"])
    }

    @Test func validatesValuesBuiltInCode() {
        let error = #expect(throws: OptimizerError.self) {
            try OptimizerSpecification.sgd(SGD(learningRate: .infinity)).validate()
        }
        #expect(
            error?.description
                == "optimizer sgd: learning-rate: expected a finite number of at least 0, found inf"
        )
    }
}
