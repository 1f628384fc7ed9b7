import CKernels
import Glibc
import NeuralNetwork
import Testing

/// Compares activations, gates and average pools on lane tensors with their definitions in double.
@Suite struct ElementwiseKernelTests {
    private static let lanes = 8

    // Activations ---------------------------------------------------------------------------------

    /// An activation, its value and its slope by the C library.
    struct Activation: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let kind: convoy_activation
        let value: @Sendable (Double) -> Double
        let slope: @Sendable (Double) -> Double
    }

    static let leak: Float = 0.1

    /// 1 / (1 + e^-x) and e^-x / (1 + e^-x)^2, for any x.
    private static func logistic(_ x: Double) -> (value: Double, slope: Double) {
        let e = exp(-abs(x))
        return (x < 0 ? e / (1 + e) : 1 / (1 + e), e / (1 + e) / (1 + e))
    }

    /// x * y, where a y of 0 wins against an infinite x.
    private static func bounded(_ x: Double, _ y: Double) -> Double { y == 0 ? 0 : x * y }

    private static func normal(_ x: Double) -> Double { erfc(-x / 2.squareRoot()) / 2 }

    static let activations = [
        Activation(
            testDescription: "ReLU6", kind: CONVOY_RELU6, value: { min(max($0, 0), 6) },
            slope: { $0 > 0 && $0 < 6 ? 1 : 0 }),
        Activation(
            testDescription: "leaky ReLU", kind: CONVOY_LEAKY_RELU,
            value: { $0 > 0 ? $0 : $0 * Double(leak) }, slope: { $0 > 0 ? 1 : Double(leak) }),
        Activation(
            testDescription: "hard sigmoid", kind: CONVOY_HARD_SIGMOID,
            value: { min(max($0 + 3, 0), 6) / 6 }, slope: { $0 > -3 && $0 < 3 ? 1.0 / 6 : 0 }),
        Activation(
            testDescription: "hard swish", kind: CONVOY_HARD_SWISH,
            value: { $0 <= -3 ? 0 : $0 >= 3 ? $0 : $0 * ($0 + 3) / 6 },
            slope: { $0 <= -3 ? 0 : $0 >= 3 ? 1 : $0 / 3 + 0.5 }),
        Activation(
            testDescription: "sigmoid", kind: CONVOY_SIGMOID, value: { logistic($0).value },
            slope: { logistic($0).slope }),
        Activation(
            testDescription: "tanh", kind: CONVOY_TANH, value: { tanh($0) },
            slope: { 4 * logistic(2 * $0).slope }),
        Activation(
            testDescription: "SiLU", kind: CONVOY_SILU,
            value: { bounded($0, logistic($0).value) },
            slope: { logistic($0).value + bounded($0, logistic($0).slope) }),
        Activation(
            testDescription: "GELU", kind: CONVOY_GELU, value: { bounded($0, normal($0)) },
            slope: { normal($0) + bounded($0, exp(-$0 * $0 / 2) / (2 * Double.pi).squareRoot()) }),
    ]

    private static func values(_ activation: convoy_activation, _ x: [Float]) -> [Float] {
        let found = inLaneMemory([x, unwritten(x.count), x]) { memory in
            convoy_lanes_activate(activation, leak, memory[0], memory[1], x.count)
            convoy_lanes_activate(activation, leak, memory[2], memory[2], x.count)
        }
        #expect(found[1].map(\.bitPattern) == found[2].map(\.bitPattern), "in place")
        return found[1]
    }

    private static func gradients(
        _ activation: convoy_activation, _ x: [Float], _ gradient: [Float]
    ) -> [Float] {
        let arrays = [x, gradient, unwritten(x.count), gradient, x]
        let found = inLaneMemory(arrays) { memory in
            for (input, output, result) in [(0, 1, 2), (0, 3, 3), (4, 1, 4)] {
                convoy_lanes_activate_backward(
                    activation, leak, memory[input], memory[output], memory[result], x.count)
            }
        }
        for place in [3, 4] {
            #expect(found[place].map(\.bitPattern) == found[2].map(\.bitPattern), "in place")
        }
        return found[2]
    }

    /// Numbers of every size, and many where the curves bend.
    private static let numbers: [Float] = {
        var numbers = GoldenInput.values(4096, salt: 31).flatMap { [$0, $0 * 8, $0 * 30, $0 * 110] }
        for exponent in -140..<120 {
            numbers.append(Float(sign: .plus, exponent: exponent, significand: 1.3))
            numbers.append(Float(sign: .minus, exponent: exponent, significand: 1.7))
        }
        return numbers
    }()

    /// Describes the first results whose error is above a limit.
    private static func failures(
        _ x: [Float], _ results: [Float], expected: (Double) -> Double, limit: (Double) -> Double
    ) -> [String] {
        let all = zip(x, results).compactMap { x, y -> String? in
            let value = expected(Double(x))
            if Double(y) == value || abs(Double(y) - value) <= limit(value) { return nil }
            return "at \(x): \(y), expected \(value)"
        }
        return Array(all.prefix(3))
    }

    @Test(arguments: activations)
    func activationIsClose(_ activation: Activation) {
        let x = Self.numbers
        #expect(
            Self.failures(
                x, Self.values(activation.kind, x), expected: activation.value,
                limit: { 4e-7 * abs($0) + 2e-36 }) == [])
        // Some slopes are sums of numbers of different signs.
        let isSum = [CONVOY_HARD_SWISH, CONVOY_SILU, CONVOY_GELU].contains(activation.kind)
        let ones = [Float](repeating: 1, count: x.count)
        #expect(
            Self.failures(
                x, Self.gradients(activation.kind, x, ones), expected: activation.slope,
                limit: { 5e-7 * (isSum ? max(abs($0), 0.5) : abs($0)) + 2e-36 }) == [])
    }

    @Test(arguments: activations)
    func activationAtTheEdges(_ activation: Activation) {
        let x: [Float] = [
            0, -0.0, 3, -3, 6, -6, 1e-30, -1e-30, 88, -88, 104, -104, 1e30, -1e30, .infinity,
            -.infinity,
        ]
        #expect(
            Self.failures(
                x, Self.values(activation.kind, x), expected: activation.value,
                limit: { 4e-7 * abs($0) + 2e-36 }) == [])
        let ones = [Float](repeating: 1, count: x.count)
        #expect(
            Self.failures(
                x, Self.gradients(activation.kind, x, ones), expected: activation.slope,
                limit: { _ in 4e-7 }) == [])
        let zeros = Self.gradients(activation.kind, x, x.map { _ in 0 })
        #expect(zeros.allSatisfy { $0 == 0 })
        let broken = Self.values(activation.kind, [Float](repeating: .nan, count: 8))
        #expect(broken.allSatisfy { $0.isNaN })
    }

    // Gates ---------------------------------------------------------------------------------------

    @Test(arguments: [1, 7, 16, 17, 200])
    func gate(_ positions: Int) {
        let channels = 3
        let count = channels * positions * Self.lanes
        let x = GoldenInput.values(count, salt: 32)
        let gradient = GoldenInput.values(count, salt: 33)
        let gate = GoldenInput.values(channels * Self.lanes, salt: 34)
        func place(_ index: Int) -> Int {
            index / (positions * Self.lanes) * Self.lanes + index % Self.lanes
        }
        let arrays = [x, gate, gradient, unwritten(count), unwritten(count), unwritten(gate.count)]
        let found = inLaneMemory(arrays) { memory in
            convoy_lanes_multiply(memory[0], memory[1], memory[3], channels, positions)
            convoy_lanes_multiply_backward(
                memory[2], memory[0], memory[1], memory[4], memory[5], channels, positions)
            convoy_lanes_multiply_backward(
                memory[2], memory[0], memory[1], memory[2], memory[5], channels, positions)
            convoy_lanes_multiply(memory[0], memory[1], memory[0], channels, positions)
        }
        let products = x.indices.map { x[$0] * gate[place($0)] }
        let gradients = x.indices.map { gradient[$0] * gate[place($0)] }
        expectSameBits(found[3], products, "the product")
        expectSameBits(found[0], products, "in place")
        expectSameBits(found[4], gradients, "the gradient")
        expectSameBits(found[2], gradients, "the gradient in place")
        var sums = [Double](repeating: 0, count: gate.count)
        for index in x.indices { sums[place(index)] += Double(gradient[index]) * Double(x[index]) }
        expectClose(found[5], sums.map(Float.init), absolute: 1e-5, relative: 0, "the gate")
    }

    // Average pools -------------------------------------------------------------------------------

    struct Window: Sendable {
        let height, width, strideHeight, strideWidth, top, left: Int
    }

    static let windows = [
        Window(height: 2, width: 2, strideHeight: 2, strideWidth: 2, top: 0, left: 0),
        Window(height: 3, width: 3, strideHeight: 2, strideWidth: 2, top: 1, left: 1),
        Window(height: 3, width: 2, strideHeight: 1, strideWidth: 3, top: 1, left: 0),
        Window(height: 5, width: 4, strideHeight: 5, strideWidth: 4, top: 0, left: 0),
    ]

    @Test(arguments: windows, [false, true])
    func averagePool(_ window: Window, _ countsPadding: Bool) {
        for (height, width) in [(6, 6), (7, 9), (5, 4)] {
            compare(window, height, width, countsPadding: countsPadding)
        }
    }

    private func compare(_ window: Window, _ height: Int, _ width: Int, countsPadding: Bool) {
        let channels = 2
        let outputHeight = (height + 2 * window.top - window.height) / window.strideHeight + 1
        let outputWidth = (width + 2 * window.left - window.width) / window.strideWidth + 1
        var pool = convoy_lane_pool(
            input_height: height, input_width: width, output_height: outputHeight,
            output_width: outputWidth, window_height: window.height, window_width: window.width,
            stride_height: window.strideHeight, stride_width: window.strideWidth,
            padding_top: window.top, padding_left: window.left)
        let input = GoldenInput.values(channels * height * width * Self.lanes, salt: 35)
        let outputCount = channels * outputHeight * outputWidth * Self.lanes
        let gradient = GoldenInput.values(outputCount, salt: 36)
        var expected = [Float](repeating: 0, count: outputCount)
        var expectedGradient = [Double](repeating: 0, count: input.count)
        for index in 0..<outputCount {
            let lane = index % Self.lanes
            let column = index / Self.lanes % outputWidth
            let row = index / Self.lanes / outputWidth % outputHeight
            let channel = index / Self.lanes / outputWidth / outputHeight
            let top = row * window.strideHeight - window.top
            let left = column * window.strideWidth - window.left
            var cells: [Int] = []
            for y in max(top, 0)..<min(top + window.height, height) {
                for x in max(left, 0)..<min(left + window.width, width) {
                    cells.append(((channel * height + y) * width + x) * Self.lanes + lane)
                }
            }
            let divisor = countsPadding ? window.height * window.width : cells.count
            expected[index] = cells.reduce(0) { $0 + input[$1] } / Float(divisor)
            for cell in cells {
                expectedGradient[cell] += Double(gradient[index]) / Double(divisor)
            }
        }
        let arrays = [input, unwritten(outputCount), gradient, unwritten(input.count)]
        let found = inLaneMemory(arrays) { memory in
            convoy_lanes_average_pool(
                memory[0], memory[1], channels, &pool, countsPadding ? 1 : 0)
            convoy_lanes_average_pool_backward(
                memory[2], memory[3], channels, &pool, countsPadding ? 1 : 0)
        }
        let what = "\(window), \(height) by \(width)"
        expectSameBits(found[1], expected, what)
        expectClose(
            found[3], expectedGradient.map(Float.init), absolute: 1e-6, relative: 0,
            what + ", gradient")
    }

    @Test(arguments: [1, 7, 16, 17, 1024])
    func globalAverage(_ positions: Int) {
        let channels = 3
        let x = GoldenInput.values(channels * positions * Self.lanes, salt: 37)
        let gradient = GoldenInput.values(channels * Self.lanes, salt: 38)
        let arrays = [x, unwritten(gradient.count), gradient, unwritten(x.count)]
        let found = inLaneMemory(arrays) { memory in
            convoy_lanes_global_average(memory[0], memory[1], channels, positions)
            convoy_lanes_global_average_backward(memory[2], memory[3], channels, positions)
        }
        var sums = [Double](repeating: 0, count: gradient.count)
        var expected = x
        for index in x.indices {
            let place = index / (positions * Self.lanes) * Self.lanes + index % Self.lanes
            sums[place] += Double(x[index])
            expected[index] = gradient[place] / Float(positions)
        }
        expectClose(
            found[1], sums.map { Float($0 / Double(positions)) }, absolute: 1e-7, relative: 0,
            "\(positions)")
        expectSameBits(found[3], expected, "\(positions), gradient")
    }

    // Bits ----------------------------------------------------------------------------------------

    /// Computes a hash of the bits of all activations, gates and averages.
    private static func bits() -> UInt64 {
        var hash: UInt64 = 0
        let x = GoldenInput.values(2048, salt: 39).map { $0 * 20 }
        let gradient = GoldenInput.values(2048, salt: 40)
        for activation in activations {
            hashBits(values(activation.kind, x), into: &hash)
            hashBits(gradients(activation.kind, x, gradient), into: &hash)
        }
        let gate = GoldenInput.values(16, salt: 41)
        let arrays = [x, gradient, gate, unwritten(2048), unwritten(16), unwritten(16)]
        let results = inLaneMemory(arrays) { memory in
            convoy_lanes_multiply_backward(
                memory[1], memory[0], memory[2], memory[3], memory[4], 2, 128)
            convoy_lanes_global_average(memory[0], memory[5], 2, 128)
        }
        for result in results { hashBits(result, into: &hash) }
        return hash
    }

    /// Checks the bits of the results, so that a compiler that rearranges operations is caught on
    /// any machine.
    @Test func resultsHaveTheseBits() {
        #expect(Self.bits() == 14_201_094_532_535_818_507)
    }

    /// On a processor without AVX2 and FMA other code computes equal bits.
    @Test(.enabled(if: NativeEngine.isFastHere, "this host runs the code for every processor"))
    func sameBitsOnEveryProcessor() async {
        await #expect(processExitsWith: .success) {
            let fast = Self.bits()
            for level in [CONVOY_LEVEL_AVX2, CONVOY_LEVEL_ANY] {
                convoy_lanes_hold_back(Int32(level))
                #expect(Self.bits() == fast)
            }
        }
    }
}
