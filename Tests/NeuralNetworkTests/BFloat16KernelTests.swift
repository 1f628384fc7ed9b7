import CKernels
import CounterRandom
import Testing

/// bfloat16 against its definition: the nearer of the two numbers around a float, or, when both are
/// as near, the one whose last bit is 0.
@Suite struct BFloat16KernelTests {
    /// Rounds in double, where both distances are exact.
    private static func nearest(_ value: Float) -> UInt16 {
        guard !value.isNaN else { return 0x7FC0 }
        guard value.isFinite else { return value > 0 ? 0x7F80 : 0xFF80 }
        let sign: UInt16 = value.sign == .minus ? 0x8000 : 0
        let magnitude = value.magnitude
        let lower = UInt16(magnitude.bitPattern >> 16)
        let below = Double(Float(bitPattern: UInt32(lower) << 16))
        // The largest finite number is followed by 2^128 here.
        let above =
            lower + 1 == 0x7F80
            ? 0x1p128 : Double(Float(bitPattern: UInt32(lower + 1) << 16))
        let (down, up) = (Double(magnitude) - below, above - Double(magnitude))
        let isLower = down < up || (down == up && lower.isMultiple(of: 2))
        return sign | (isLower ? lower : lower + 1)
    }

    private static func float(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

    /// Every upper half with lower halves around each decision: all exponents, denormals,
    /// infinities and NaNs of either sign, and ties to both sides.
    private static let patterns: [Float] = [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF].flatMap { low in
        (UInt32(0)...0xFFFF).map { Float(bitPattern: $0 << 16 | low) }
    }

    private static func packed(_ values: [Float]) -> [UInt16] {
        var result = [UInt16](repeating: 0xDEAD, count: values.count)
        convoy_bf16_pack(&result, values, values.count)
        return result
    }

    @Test func packingIsToNearestEven() {
        let expected = Self.patterns.map(Self.nearest)
        #expect(Self.packed(Self.patterns) == expected)
        // Single values take the path for the rest of a block, which must agree with the path for
        // blocks.
        #expect(Self.patterns.map { Self.packed([$0])[0] } == expected)
    }

    @Test(
        arguments: [
            (0x3F80_0000, 0x3F80), (0x3F80_8000, 0x3F80), (0x3F81_8000, 0x3F82),
            (0x3F80_8001, 0x3F81), (0x0000_0001, 0x0000), (0x0000_8001, 0x0001),
            (0x8000_0000, 0x8000), (0x7F7F_7FFF, 0x7F7F), (0x7F7F_8000, 0x7F80),
            (0x7F80_0000, 0x7F80), (0xFF80_0000, 0xFF80), (0x7F80_0001, 0x7FC0),
            (0xFFFF_FFFF, 0x7FC0), (0x007F_FFFF, 0x0080),
        ] as [(UInt32, UInt16)])
    func packingOf(bits: UInt32, expected: UInt16) {
        #expect(Self.packed([Float(bitPattern: bits)]) == [expected])
    }

    @Test func unpackingIsExact() {
        let halves = Array(UInt16.min...UInt16.max)
        var floats = [Float](repeating: 0, count: halves.count)
        convoy_bf16_unpack(&floats, halves, halves.count)
        #expect(floats.map(\.bitPattern) == halves.map { UInt32($0) << 16 })
        // A bfloat16 number stays as it is, and every NaN becomes the one NaN.
        #expect(Self.packed(floats) == halves.map { Self.float($0).isNaN ? 0x7FC0 : $0 })
    }

    @Test func roundingIsPackingAndUnpacking() {
        var rounded = Self.patterns
        convoy_bf16_round(&rounded, Self.patterns, rounded.count)
        let expected = Self.patterns.map { UInt32(Self.nearest($0)) << 16 }
        #expect(rounded.map(\.bitPattern) == expected)
    }

    /// For any count and address, also in place, the bytes around the result are not touched.
    @Test func everyCountAndAddress() {
        var random = RandomStream(seed: 7, purpose: .simulation, 21)
        for count in 0...100 {
            let values = (0..<count).map { _ in Float(bitPattern: random.next32()) }
            let expected = values.map(Self.nearest)
            for shift in 0..<4 {
                var bytes = [UInt8](repeating: 0x5A, count: count * 4 + 16)
                bytes.withUnsafeMutableBytes { buffer in
                    let place = buffer.baseAddress! + shift
                    place.copyMemory(from: values, byteCount: count * 4)
                    convoy_bf16_pack(place, place, count)
                }
                let found = (0..<count).map { index in
                    bytes.withUnsafeBytes {
                        $0.loadUnaligned(fromByteOffset: shift + index * 2, as: UInt16.self)
                    }
                }
                #expect(found == expected, "\(count) at \(shift)")
                #expect(bytes[..<shift].allSatisfy { $0 == 0x5A })
                #expect(bytes[(shift + count * 4)...].allSatisfy { $0 == 0x5A })
            }
        }
    }

    @Test func sumsAreRoundedOnce() {
        var random = RandomStream(seed: 8, purpose: .simulation, 22)
        let edges: [UInt16] = [
            0, 0x8000, 1, 0x8001, 0x007F, 0x0080, 0x3F80, 0xBF80, 0x3B80, 0x7F7F, 0xFF7F, 0x7F80,
            0xFF80, 0x7FC0, 0xFFC0, 0x7F81,
        ]
        var left = edges.flatMap { edge in edges.map { _ in edge } }
        var right = edges.flatMap { _ in edges }
        for _ in 0..<50_000 {
            // The numbers are close to each other, so that rounding matters.
            let bits = UInt16(truncatingIfNeeded: random.next32())
            left.append(bits)
            right.append(bits &+ UInt16(random.next(below: 2048)))
        }
        let expected = zip(left, right).map { Self.nearest(Self.float($0) + Self.float($1)) }
        var sum = [UInt16](repeating: 0, count: left.count)
        convoy_bf16_add(&sum, left, right, left.count)
        #expect(sum == expected)
        convoy_bf16_add(&sum, right, left, left.count)
        #expect(sum == expected)
        for index in left.indices {
            convoy_bf16_add(&left[index], [left[index]], [right[index]], 1)
        }
        #expect(left == expected)
    }
}
