import CKernels
import NeuralNetwork
import Testing

/// Compares depthwise convolutions with plain loops that add in the order that the header promises.
@Suite struct DepthwiseKernelTests {
    private static let lanes = 8
    private static let channels = 2

    struct Kernel: Sendable {
        let height, width, strideHeight, strideWidth, dilationHeight, dilationWidth: Int

        init(_ height: Int, _ width: Int, stride: Int = 1, dilation: Int = 1) {
            (self.height, self.width) = (height, width)
            (strideHeight, strideWidth) = (stride, stride)
            (dilationHeight, dilationWidth) = (dilation, dilation)
        }
    }

    static let kernels = [
        Kernel(3, 3), Kernel(3, 3, stride: 2), Kernel(3, 3, dilation: 2),
        Kernel(3, 3, stride: 3), Kernel(3, 3, stride: 2, dilation: 2), Kernel(5, 5),
        Kernel(5, 5, stride: 2), Kernel(7, 7), Kernel(1, 3), Kernel(3, 1), Kernel(1, 1, stride: 2),
        Kernel(2, 4, stride: 2), Kernel(4, 2, dilation: 3), Kernel(2, 2, stride: 6),
    ]
    static let outputs = [[1, 1], [3, 2], [2, 5], [4, 8], [3, 13], [5, 21]]

    /// A convolution with numbers, and its results by plain loops.
    private struct Case {
        var shape: convoy_depthwise
        let input: [Float]
        let weights: [Float]
        let bias = GoldenInput.values(channels, salt: 51)
        let gradient: [Float]

        /// The input has `more` rows and columns that no output reads.
        init(_ kernel: Kernel, _ output: [Int], more: Int = 0) {
            let reachDown = (kernel.height - 1) * kernel.dilationHeight + 1
            let reachAcross = (kernel.width - 1) * kernel.dilationWidth + 1
            shape = convoy_depthwise(
                input_height: (output[0] - 1) * kernel.strideHeight + reachDown + more,
                input_width: (output[1] - 1) * kernel.strideWidth + reachAcross + more,
                output_height: output[0], output_width: output[1], kernel_height: kernel.height,
                kernel_width: kernel.width, stride_height: kernel.strideHeight,
                stride_width: kernel.strideWidth, dilation_height: kernel.dilationHeight,
                dilation_width: kernel.dilationWidth)
            let (inputPlane, outputPlane) = (
                shape.input_height * shape.input_width * lanes, output[0] * output[1] * lanes
            )
            input = GoldenInput.values(channels * inputPlane, salt: 52)
            weights = GoldenInput.values(channels * kernel.height * kernel.width, salt: 53)
            var gradient = GoldenInput.values(channels * outputPlane, salt: 54)
            for index in gradient.indices where index % lanes == 6 { gradient[index] = 0 }
            self.gradient = gradient
        }

        var what: String { "\(shape)" }

        /// Calls a closure with all pairs of an output and a place of the kernel, and the input
        /// between them. The places of an output, and those of an input, come in row-major order.
        func forEachProduct(_ body: (_ output: Int, _ weight: Int, _ input: Int) -> Void) {
            let s = shape
            for channel in 0..<channels {
                for row in 0..<s.kernel_height {
                    for column in 0..<s.kernel_width {
                        let weight = (channel * s.kernel_height + row) * s.kernel_width + column
                        for y in 0..<s.output_height {
                            for x in 0..<s.output_width {
                                let output = (channel * s.output_height + y) * s.output_width + x
                                let down = y * s.stride_height + row * s.dilation_height
                                let across = x * s.stride_width + column * s.dilation_width
                                let line = channel * s.input_height + down
                                let input = line * s.input_width + across
                                for lane in 0..<lanes {
                                    body(output * lanes + lane, weight, input * lanes + lane)
                                }
                            }
                        }
                    }
                }
            }
        }

        func outputs(bias: Bool, relu: Bool) -> [Float] {
            let plane = gradient.count / channels
            var sums = gradient.indices.map { bias ? self.bias[$0 / plane] : 0 }
            forEachProduct { sums[$0].addProduct(weights[$1], input[$2]) }
            return relu ? sums.map { $0 < 0 ? 0 : $0 } : sums
        }

        func inputGradient() -> [Float] {
            var sums = [Float](repeating: 0, count: input.count)
            forEachProduct { sums[$2].addProduct(weights[$1], gradient[$0]) }
            return sums
        }

        /// One sum for each lane, added in the order of `convoy_lane_sum`.
        func weightGradient() -> [Float] {
            var sums = [Float](repeating: 0, count: weights.count * lanes)
            forEachProduct { output, weight, input in
                sums[weight * lanes + output % lanes].addProduct(
                    self.gradient[output], self.input[input])
            }
            return weights.indices.map { weight in
                let s = Array(sums[weight * lanes..<(weight + 1) * lanes])
                let halves = (0..<4).map { s[$0] + s[$0 + 4] }
                return (halves[0] + halves[2]) + (halves[1] + halves[3])
            }
        }

        func computedOutputs(bias: Bool, relu: Bool) -> [Float] {
            var shape = shape
            return inLaneMemory([input, unwritten(gradient.count)]) { memory in
                if bias {
                    convoy_lanes_depthwise(
                        memory[0], weights, self.bias, memory[1], channels, &shape, relu ? 1 : 0)
                } else {
                    convoy_lanes_depthwise(
                        memory[0], weights, nil, memory[1], channels, &shape, relu ? 1 : 0)
                }
            }[1]
        }

        func computedInputGradient() -> [Float] {
            var shape = shape
            return inLaneMemory([gradient, unwritten(input.count)]) { memory in
                convoy_lanes_depthwise_input_gradient(
                    memory[0], weights, memory[1], channels, &shape)
            }[1]
        }

        /// Returns the gradient of the weights, added to the weights with `adds`.
        func computedWeightGradient(adds: Bool) -> [Float] {
            var shape = shape
            var result = weights
            _ = inLaneMemory([input, gradient]) { memory in
                convoy_lanes_depthwise_weight_gradient(
                    memory[0], memory[1], &result, channels, &shape, adds ? 1 : 0)
            }
            return result
        }

        func compare() {
            for (bias, relu) in [(false, false), (true, false), (true, true)] {
                expectSameBits(
                    computedOutputs(bias: bias, relu: relu), outputs(bias: bias, relu: relu), what)
            }
            // Zeros may differ in their sign here.
            let inputGradient = computedInputGradient()
            #expect(inputGradient == self.inputGradient(), "the gradient of the input, \(what)")
            for index in inputGradient.indices where index % lanes == 6 {
                #expect(inputGradient[index] == 0)
            }
            let weightGradient = weightGradient()
            expectSameBits(
                computedWeightGradient(adds: false), weightGradient, "the weights, \(what)")
            expectSameBits(
                computedWeightGradient(adds: true), zip(weights, weightGradient).map { $0 + $1 },
                "the weights, added, \(what)")
        }
    }

    @Test(arguments: kernels, outputs)
    func agreesWithAPlainLoop(_ kernel: Kernel, _ output: [Int]) {
        Case(kernel, output).compare()
        if kernel.strideWidth > 1 { Case(kernel, output, more: 1).compare() }
    }

    /// Rows of a gradient are copied a few at a time, or not at all where they are long.
    @Test(arguments: [
        (Kernel(3, 3), [70, 4]), (Kernel(3, 3, stride: 2), [40, 12]), (Kernel(3, 3), [2, 300]),
        (Kernel(5, 5), [2, 140]), (Kernel(3, 3, stride: 2), [2, 300]), (Kernel(3, 3), [34, 34]),
    ])
    func longRowsAndColumns(_ kernel: Kernel, _ output: [Int]) {
        Case(kernel, output).compare()
    }

    // Bits ----------------------------------------------------------------------------------------

    /// Computes a hash of the bits of all kernels' results.
    private static func bits() -> UInt64 {
        var hash: UInt64 = 0
        for kernel in kernels {
            for output in outputs {
                let example = Case(kernel, output)
                hashBits(example.computedOutputs(bias: true, relu: true), into: &hash)
                hashBits(example.computedInputGradient(), into: &hash)
                hashBits(example.computedWeightGradient(adds: true), into: &hash)
            }
        }
        return hash
    }

    /// Checks the bits of the results, so that a compiler that rearranges operations is caught on
    /// any machine.
    @Test func resultsHaveTheseBits() {
        #expect(Self.bits() == 9_842_746_864_128_793_675)
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
