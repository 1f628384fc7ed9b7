import CKernels
import Testing

/// Compares max-pooling kernels with a plain loop, over every layout, window and kind of edge.
struct OneDNNPoolKernelTests {
    struct Window: Sendable {
        let height, width, strideHeight, strideWidth, top, left: Int
    }

    static let blocks = [1, 3, 8, 16, 20, 32]
    static let windows = [
        Window(height: 2, width: 2, strideHeight: 2, strideWidth: 2, top: 0, left: 0),
        Window(height: 3, width: 3, strideHeight: 2, strideWidth: 2, top: 1, left: 1),
        Window(height: 3, width: 2, strideHeight: 1, strideWidth: 3, top: 0, left: 1),
        Window(height: 2, width: 2, strideHeight: 3, strideWidth: 3, top: 0, left: 0),
    ]

    @Test(arguments: blocks, windows)
    func agreesWithAPlainLoop(_ block: Int, _ window: Window) {
        for (height, width) in [(6, 6), (7, 9), (5, 4)] {
            for masksReLU in [false, true] {
                compare(block, window, height, width, masksReLU: masksReLU)
            }
        }
    }

    private func compare(
        _ block: Int, _ window: Window, _ height: Int, _ width: Int, masksReLU: Bool
    ) {
        let planes = 3
        let outputHeight = (height + window.top - window.height) / window.strideHeight + 1
        let outputWidth = (width + window.left - window.width) / window.strideWidth + 1
        var shape = convoy_pool_shape(
            plane_count: planes, block: block, input_height: height, input_width: width,
            output_height: outputHeight, output_width: outputWidth, window_height: window.height,
            window_width: window.width, stride_height: window.strideHeight,
            stride_width: window.strideWidth, padding_top: window.top, padding_left: window.left)
        // Multiples of one half, so that there are ties and bfloat16 keeps the values.
        let values = GoldenInput.values(planes * height * width * block, salt: 7)
            .map { (8 * $0).rounded() / 2 }
        let input = masksReLU ? values.map { max($0, 0) } : values
        let outputCount = planes * outputHeight * outputWidth * block
        let outputGradient = GoldenInput.values(outputCount, salt: 8).map { (8 * $0).rounded() }

        var expected = [Float](repeating: 0, count: outputCount)
        var expectedGradient = [Float](repeating: 0, count: input.count)
        for index in 0..<outputCount {
            let lane = index % block
            let column = index / block % outputWidth
            let row = index / block / outputWidth % outputHeight
            let plane = index / block / outputWidth / outputHeight
            var best: Int?
            for y in 0..<window.height {
                for x in 0..<window.width {
                    let (iy, ix) = (
                        row * window.strideHeight - window.top + y,
                        column * window.strideWidth - window.left + x
                    )
                    guard (0..<height).contains(iy), (0..<width).contains(ix) else { continue }
                    let cell = ((plane * height + iy) * width + ix) * block + lane
                    if best == nil || input[cell] > input[best!] { best = cell }
                }
            }
            expected[index] = input[best!]
            if !masksReLU || input[best!] > 0 { expectedGradient[best!] += outputGradient[index] }
        }

        var output = [Float](repeating: .nan, count: outputCount)
        var choice = [UInt16](repeating: 9, count: outputCount)
        var gradient = [Float](repeating: .nan, count: input.count)
        convoy_max_pool(input, &output, &choice, &shape, masksReLU ? 1 : 0)
        convoy_max_pool_backward(outputGradient, choice, &gradient, &shape)
        let what = "block \(block), \(window), \(height) by \(width)"
        expectClose(output, expected, absolute: 0, relative: 0, what)
        expectClose(gradient, expectedGradient, absolute: 0, relative: 0, what + ", gradient")

        var outputHalves = [UInt16](repeating: 9, count: outputCount)
        var gradientHalves = [UInt16](repeating: 9, count: input.count)
        convoy_max_pool_bf16(halves(input), &outputHalves, &choice, &shape, masksReLU ? 1 : 0)
        convoy_max_pool_backward_bf16(halves(outputGradient), choice, &gradientHalves, &shape)
        expectClose(floats(outputHalves), expected, absolute: 0, relative: 0, what + ", bf16")
        expectClose(
            floats(gradientHalves), expectedGradient, absolute: 0, relative: 0,
            what + ", bf16 gradient")
    }

    @Test func notANumberWinsAWindow() {
        var shape = convoy_pool_shape(
            plane_count: 1, block: 16, input_height: 2, input_width: 2, output_height: 1,
            output_width: 1, window_height: 2, window_width: 2, stride_height: 2, stride_width: 2,
            padding_top: 0, padding_left: 0)
        for place in 0..<4 {
            var input = [Float](repeating: 1, count: 64)
            input[place * 16 + 5] = .nan
            var output = [Float](repeating: 0, count: 16)
            var choice = [UInt16](repeating: 9, count: 16)
            convoy_max_pool(input, &output, &choice, &shape, 0)
            #expect(output[5].isNaN && output[4] == 1)
            #expect(Int(choice[5]) == place && choice[4] == 0)
        }
    }

    @Test func bfloat16RoundsToNearestEven() {
        // 1 + 2⁻⁸ lies halfway between two bfloat16 numbers, of which the upper one is odd.
        let factors: [Float] = [1 + 0x1p-8, 1 + 0x1p-8 + 0x1p-20, 1 + 3 * 0x1p-8, .nan, .infinity]
        var values = [UInt16](repeating: 0x3F80, count: factors.count)
        convoy_scale_bf16(&values, factors, factors.count)
        #expect(values[0] == 0x3F80)
        #expect(values[1] == 0x3F81)
        #expect(values[2] == 0x3F82)
        #expect(floats(values)[3].isNaN)
        #expect(values[4] == 0x7F80)
    }

    private func halves(_ values: [Float]) -> [UInt16] {
        values.map { UInt16($0.bitPattern >> 16) }
    }

    private func floats(_ values: [UInt16]) -> [Float] {
        values.map { Float(bitPattern: UInt32($0) << 16) }
    }
}
