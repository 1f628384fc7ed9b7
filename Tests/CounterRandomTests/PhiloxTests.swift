import CounterRandom
import Testing

@Suite struct PhiloxTests {
    /// The known answers published with the authors' Random123 library.
    @Test func matchesPublishedAnswers() {
        #expect(
            Philox(key: 0).words(at: 0, 0)
                == SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
        #expect(
            Philox(key: .max).words(at: .max, .max)
                == SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
        #expect(
            Philox(key: 0x299f_31d0_a409_3822).words(at: 0x85a3_08d3_243f_6a88, 0x0370_7344_1319_8a2e)
                == SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
    }

    @Test func streamsAreFunctionsOfTheirName() {
        var a = RandomStream(seed: 7, purpose: .dropout, 1, 2)
        var b = RandomStream(seed: 7, purpose: .dropout, 1, 2)
        var other = RandomStream(seed: 7, purpose: .dropout, 2, 1)
        let first = (0..<100).map { _ in a.next() }
        #expect(first == (0..<100).map { _ in b.next() })
        #expect(first != (0..<100).map { _ in other.next() })
    }

    @Test(arguments: [0, 1, 2, 3, 10, 1000])
    func shufflingIsAPermutation(count: Int) {
        var stream = RandomStream(seed: 1, purpose: .recordOrder, UInt64(count))
        var order = Array(0..<count)
        stream.shuffle(&order)
        #expect(order.sorted() == Array(0..<count))
        if count > 9 { #expect(order != Array(0..<count)) }
    }

    @Test func uniformNumbersFillTheUnitInterval() {
        var stream = RandomStream(seed: 3, purpose: .initialWeights)
        let numbers = (0..<100_000).map { _ in Double(stream.nextUniform()) }
        #expect(numbers.allSatisfy { $0 >= 0 && $0 < 1 })
        let mean = numbers.reduce(0, +) / 100_000
        #expect(abs(mean - 0.5) < 0.005)
        var bounded = RandomStream(seed: 3, purpose: .simulation)
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<70_000 { counts[bounded.next(below: 7)] += 1 }
        #expect(counts.allSatisfy { abs($0 - 10_000) < 500 })
    }
}
