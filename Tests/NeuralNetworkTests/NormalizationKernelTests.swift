import CKernels
import NeuralNetwork
import Testing

/// Compares the kernels of normalisation with plain loops in double, over numbers of positions on
/// both sides of a block of 16.
@Suite struct NormalizationKernelTests {
    private static let lanes = 8
    private static let positionCounts = [1, 7, 15, 16, 17, 33, 64, 1024]
    private static let channels = 3

    /// Returns a tensor [channels, positions, 8] in which the lanes from `count` on are `padding`.
    private static func tensor(
        _ positions: Int, salt: UInt64, count: Int = 8, padding: Float = 0, offset: Float = 0
    ) -> [Float] {
        var values = GoldenInput.values(channels * positions * lanes, salt: salt)
        for index in values.indices {
            values[index] = index % lanes < count ? values[index] + offset : padding
        }
        return values
    }

    private static func channel(_ index: Int, _ positions: Int) -> Int {
        index / (positions * lanes)
    }

    // Moments -------------------------------------------------------------------------------------

    private struct Moments: Equatable {
        var mean = [Double](repeating: .nan, count: channels)
        var squares = [Double](repeating: .nan, count: channels)

        init(_ x: [Float], _ positions: Int, _ count: Int) {
            _ = inLaneMemory([x]) { memory in
                convoy_lanes_moments(memory[0], channels, positions, count, &mean, &squares)
            }
        }
    }

    /// Padding holds NaNs here. A mean of a thousand must cost no digits.
    @Test(arguments: positionCounts, [0, 1000] as [Float])
    func moments(_ positions: Int, _ offset: Float) {
        for count in 1...8 {
            let x = Self.tensor(
                positions, salt: 1, count: count, padding: .nan, offset: offset)
            let found = Moments(x, positions, count)
            for channel in 0..<Self.channels {
                let values = x.indices.filter {
                    Self.channel($0, positions) == channel && $0 % Self.lanes < count
                }.map { Double(x[$0]) }
                let mean = values.reduce(0, +) / Double(values.count)
                let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
                #expect(abs(found.mean[channel] - mean) < 2e-7, "\(positions), \(count)")
                #expect(
                    abs(found.squares[channel] - squares) <= 4e-7 * squares,
                    "\(positions), \(count)")
            }
        }
    }

    @Test func equalValuesHaveNoSquares() {
        for value: Float in [0, 0.1, -12_345.678, 3e18] {
            for (positions, count) in [(1, 1), (17, 5), (64, 8)] {
                let x = [Float](repeating: value, count: Self.channels * positions * Self.lanes)
                let found = Moments(x, positions, count)
                #expect(found.mean.allSatisfy { $0 == Double(value) })
                #expect(found.squares.allSatisfy { $0 == 0 })
            }
        }
    }

    // Affine maps ---------------------------------------------------------------------------------

    private static let a = GoldenInput.values(channels, salt: 2)
    private static let b = GoldenInput.values(channels, salt: 3)
    private static let c = GoldenInput.values(channels, salt: 4)

    @Test(arguments: positionCounts, [false, true])
    func affine(_ positions: Int, _ relu: Bool) {
        for count in 1...8 {
            let x = Self.tensor(positions, salt: 5, count: count, padding: .nan)
            let skip = Self.tensor(positions, salt: 6, count: count, padding: .infinity)
            for adds in [false, true] {
                let expected = x.indices.map { index -> Float in
                    guard index % Self.lanes < count else { return 0 }
                    let channel = Self.channel(index, positions)
                    var value = Self.b[channel].addingProduct(Self.a[channel], x[index])
                    if adds { value += skip[index] }
                    return relu && value < 0 ? 0 : value
                }
                let found = inLaneMemory([x, skip, unwritten(x.count), x]) { memory in
                    let added = adds ? memory[1] : nil
                    for (from, to) in [(0, 2), (3, 3)] {
                        convoy_lanes_affine(
                            memory[from], added, Self.a, Self.b, memory[to], Self.channels,
                            positions, count, relu ? 1 : 0)
                    }
                }
                expectSameBits(found[2], expected, "\(positions), \(count), \(adds)")
                expectSameBits(found[3], expected, "in place")
            }
        }
    }

    @Test func notANumberStays() {
        let x = [Float.nan] + [Float](repeating: 1, count: 7)
        let found = inLaneMemory([x]) { memory in
            convoy_lanes_affine(memory[0], nil, [2], [-5], memory[0], 1, 1, 8, 1)
        }[0]
        #expect(found[0].isNaN)
        #expect(found[1...] == [0, 0, 0, 0, 0, 0, 0])
    }

    // Gradients -----------------------------------------------------------------------------------

    @Test(arguments: positionCounts, [false, true])
    func gradientSums(_ positions: Int, _ masks: Bool) {
        for count in [1, 5, 8] {
            let gradient = Self.tensor(positions, salt: 7, count: count)
            let x = Self.tensor(positions, salt: 8, count: count, padding: 1e20)
            let output = Self.tensor(positions, salt: 9).map { max($0, 0) }
            var sum = [Double](repeating: .nan, count: Self.channels)
            var product = sum
            let found = inLaneMemory([gradient, output, x]) { memory in
                convoy_lanes_norm_gradient_sums(
                    memory[0], masks ? memory[1] : nil, memory[2], Self.c, Self.channels,
                    positions, &sum, &product)
            }[0]
            let masked = zip(gradient, output).map { masks && $1 <= 0 ? 0 : $0 }
            expectSameBits(found, masked, "the masked gradient")
            for channel in 0..<Self.channels {
                var (expectedSum, expectedProduct, sizes) = (0.0, 0.0, 1e-30)
                for index in x.indices where Self.channel(index, positions) == channel {
                    let g = Double(masked[index])
                    let difference = Double(x[index]) - Double(Self.c[channel])
                    expectedSum += g
                    expectedProduct += g * difference
                    sizes += abs(g * difference) + abs(g)
                }
                #expect(abs(sum[channel] - expectedSum) <= 3e-7 * sizes)
                #expect(abs(product[channel] - expectedProduct) <= 3e-7 * sizes)
            }
        }
    }

    @Test(arguments: positionCounts)
    func normGradient(_ positions: Int) {
        for count in 1...8 {
            let gradient = Self.tensor(positions, salt: 10, count: count, padding: .nan)
            let x = Self.tensor(positions, salt: 11, count: count, padding: .nan)
            let expected = x.indices.map { index -> Float in
                guard index % Self.lanes < count else { return 0 }
                let channel = Self.channel(index, positions)
                let inner = Self.c[channel].addingProduct(Self.b[channel], x[index])
                return inner.addingProduct(Self.a[channel], gradient[index])
            }
            let found = inLaneMemory([gradient, x, unwritten(x.count), gradient]) { memory in
                for (from, to) in [(0, 2), (3, 3)] {
                    convoy_lanes_norm_gradient(
                        memory[from], memory[1], Self.a, Self.b, Self.c, memory[to],
                        Self.channels, positions, count)
                }
            }
            expectSameBits(found[2], expected, "\(positions), \(count)")
            expectSameBits(found[3], expected, "in place")
        }
    }

    /// Batch normalisation as the header composes it from kernels, against central differences of
    /// its definition in Double.
    @Test(arguments: [(1, 8), (5, 3), (18, 8)])
    func batchNormalisationIsTheDerivative(_ positions: Int, _ count: Int) {
        let (epsilon, n) = (1e-5, Double(positions * count))
        let x = Self.tensor(positions, salt: 12, count: count)
        let factors = Self.tensor(positions, salt: 13, count: count)
        let moments = Moments(x, positions, count)
        let mean = moments.mean.map(Float.init)
        var (sum, product) = (moments.mean, moments.mean)
        let found = inLaneMemory([factors, x]) { memory in
            convoy_lanes_norm_gradient_sums(
                memory[0], nil, memory[1], mean, Self.channels, positions, &sum, &product)
            var (outer, inner, constant) = (Self.a, Self.b, Self.c)
            for channel in 0..<Self.channels {
                let inverse = 1 / (moments.squares[channel] / n + epsilon).squareRoot()
                let scale = Double(Self.a[channel]) * inverse
                let slope = -scale * inverse * inverse * product[channel] / n
                outer[channel] = Float(scale)
                inner[channel] = Float(slope)
                constant[channel] = Float(
                    -scale * sum[channel] / n - slope * moments.mean[channel])
            }
            convoy_lanes_norm_gradient(
                memory[0], memory[1], outer, inner, constant, memory[0], Self.channels, positions,
                count)
        }[0]

        /// The sum of all outputs times the factors.
        func value(_ x: [Double]) -> Double {
            var total = 0.0
            for channel in 0..<Self.channels {
                let places = x.indices.filter {
                    Self.channel($0, positions) == channel && $0 % Self.lanes < count
                }
                let mean = places.reduce(0) { $0 + x[$1] } / n
                let variance = places.reduce(0) { $0 + (x[$1] - mean) * (x[$1] - mean) } / n
                let scale = Double(Self.a[channel]) / (variance + epsilon).squareRoot()
                for place in places { total += Double(factors[place]) * (x[place] - mean) * scale }
            }
            return total
        }
        var point = x.map(Double.init)
        let expected = x.indices.map { index in
            index % Self.lanes < count ? centralDifference(value, at: &point, index) : 0
        }
        expectClose(found, expected, absolute: 1e-5, relative: 1e-5, "\(positions), \(count)")
    }

    private func centralDifference(
        _ value: ([Double]) -> Double, at point: inout [Double], _ index: Int
    ) -> Float {
        let (kept, step) = (point[index], 1e-5)
        point[index] = kept + step
        let above = value(point)
        point[index] = kept - step
        let below = value(point)
        point[index] = kept
        return Float((above - below) / (2 * step))
    }

    // Groups --------------------------------------------------------------------------------------

    private struct GroupNorm {
        let channels = 4
        let groups: Int
        let positions: Int
        var epsilon = 1e-3
        let scale = GoldenInput.values(4, salt: 14)
        let shift = GoldenInput.values(4, salt: 15)

        var count: Int { channels * positions * lanes }

        /// Returns the group and lane of an element as one number.
        func part(_ index: Int) -> Int {
            index / (count / groups) * lanes + index % lanes
        }

        /// Computes the outputs in Double.
        func outputs(_ x: [Double]) -> [Double] {
            var (sums, squares) = ([Double](repeating: 0, count: groups * lanes), [Double]())
            let n = Double(count / groups / lanes)
            for index in x.indices { sums[part(index)] += x[index] / n }
            squares = sums.map { _ in 0 }
            for index in x.indices {
                let difference = x[index] - sums[part(index)]
                squares[part(index)] += difference * difference / n
            }
            return x.indices.map { index in
                let channel = index / (positions * lanes)
                let deviation = (squares[part(index)] + epsilon).squareRoot()
                let normal = (x[index] - sums[part(index)]) / deviation
                return normal * Double(scale[channel]) + Double(shift[channel])
            }
        }

        /// Returns the outputs, the gradient of the input, and the gradients of scale and shift.
        func computed(_ x: [Float], _ gradient: [Float], adds: Bool) -> [[Float]] {
            var scaleGradient = shift
            var shiftGradient = scale
            let parts = unwritten(groups * lanes)
            let memory = inLaneMemory(
                [x, unwritten(count), parts, parts, gradient, unwritten(count), gradient, x]
            ) { memory in
                convoy_lanes_group_norm(
                    memory[0], scale, shift, Float(epsilon), memory[1], memory[2], memory[3],
                    channels, groups, positions)
                var (first, second) = (scaleGradient, shiftGradient)
                convoy_lanes_group_norm_backward(
                    memory[4], memory[0], scale, memory[2], memory[3], memory[5], &scaleGradient,
                    &shiftGradient, channels, groups, positions, adds ? 1 : 0)
                convoy_lanes_group_norm_backward(
                    memory[6], memory[0], scale, memory[2], memory[3], memory[6], &first, &second,
                    channels, groups, positions, adds ? 1 : 0)
                convoy_lanes_group_norm(
                    memory[7], scale, shift, Float(epsilon), memory[7], memory[2], memory[3],
                    channels, groups, positions)
            }
            expectSameBits(memory[6], memory[5], "the gradient in place")
            expectSameBits(memory[7], memory[1], "the output in place")
            return [memory[1], memory[5], scaleGradient, shiftGradient]
        }
    }

    @Test(arguments: [1, 2, 4], [1, 4, 9])
    func groupNormalisationIsTheDerivative(_ groups: Int, _ positions: Int) {
        let norm = GroupNorm(groups: groups, positions: positions)
        let x = GoldenInput.values(norm.count, salt: 16)
        var factors = GoldenInput.values(norm.count, salt: 17)
        for index in factors.indices where index % Self.lanes == 5 { factors[index] = 0 }
        let found = norm.computed(x, factors, adds: false)

        var point = x.map(Double.init)
        let outputs = norm.outputs(point)
        expectClose(
            found[0], outputs.map(Float.init), absolute: 2e-6, relative: 2e-6, "the output")
        let differences = x.indices.map { index in
            centralDifference(
                { point in
                    zip(norm.outputs(point), factors).reduce(0) { $0 + $1.0 * Double($1.1) }
                }, at: &point, index)
        }
        // A lane without variance has a slope of 1 / sqrt(epsilon).
        expectClose(found[1], differences, absolute: 3e-5, relative: 1e-5, "the gradient")
        for index in factors.indices where index % Self.lanes == 5 { #expect(found[1][index] == 0) }

        var (scaleGradient, shiftGradient) = ([Double](), [Double]())
        scaleGradient = norm.scale.map { _ in 0 }
        shiftGradient = scaleGradient
        for index in x.indices {
            let channel = index / (positions * Self.lanes)
            let normal =
                (outputs[index] - Double(norm.shift[channel])) / Double(norm.scale[channel])
            scaleGradient[channel] += normal * Double(factors[index])
            shiftGradient[channel] += Double(factors[index])
        }
        expectClose(
            found[2], scaleGradient.map(Float.init), absolute: 1e-5, relative: 1e-5, "the scale")
        expectClose(
            found[3], shiftGradient.map(Float.init), absolute: 1e-5, relative: 1e-5, "the shift")

        let added = norm.computed(x, factors, adds: true)
        expectSameBits(added[2], zip(norm.shift, found[2]).map { $0 + $1 }, "the scale, added")
        expectSameBits(added[3], zip(norm.scale, found[3]).map { $0 + $1 }, "the shift, added")
    }

    // Bits ----------------------------------------------------------------------------------------

    /// Computes a hash of the bits of all kernels' results.
    private static func bits() -> UInt64 {
        var hash: UInt64 = 0
        for (positions, count) in [(1, 8), (7, 1), (16, 5), (37, 8), (100, 3)] {
            let x = tensor(positions, salt: 18, count: count)
            let gradient = tensor(positions, salt: 19, count: count)
            let moments = Moments(x, positions, count)
            hashBits(moments.mean + moments.squares, into: &hash)
            var (sum, product) = (moments.mean, moments.squares)
            let results = inLaneMemory([x, gradient, unwritten(x.count)]) { memory in
                convoy_lanes_affine(
                    memory[0], memory[1], a, b, memory[2], channels, positions, count, 1)
                convoy_lanes_norm_gradient_sums(
                    memory[1], memory[2], memory[0], c, channels, positions, &sum, &product)
                convoy_lanes_norm_gradient(
                    memory[1], memory[0], a, b, c, memory[0], channels, positions, count)
            }
            for result in results { hashBits(result, into: &hash) }
            hashBits(sum + product, into: &hash)
        }
        for groups in [1, 2, 4] {
            let norm = GroupNorm(groups: groups, positions: 21)
            let x = GoldenInput.values(norm.count, salt: 20)
            let gradient = GoldenInput.values(norm.count, salt: 21)
            for result in norm.computed(x, gradient, adds: true) { hashBits(result, into: &hash) }
        }
        return hash
    }

    /// Checks the bits of the results, so that a compiler that rearranges operations is caught on
    /// any machine.
    @Test func resultsHaveTheseBits() {
        #expect(Self.bits() == 593_211_462_962_834_820)
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
