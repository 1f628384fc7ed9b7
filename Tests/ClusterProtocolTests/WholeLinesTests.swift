import ClusterProtocol
import CounterRandom
import TestSupport
import Testing

@Suite struct WholeLinesTests {
    /// For any lines cut anywhere, the lines before the cut are found, and nothing of the next.
    @Test func everyPrefixOfRandomLines() {
        for seed in TestSeed.seeds(200) {
            var random = RandomStream(seed: seed, purpose: .simulation, 0x117E)
            let lines = (0..<random.next(below: 6)).map { _ in
                (0..<random.next(below: 9)).map { _ in UInt8(32 + random.next(below: 90)) }
            }
            let bytes = lines.flatMap { $0 + [UInt8(ascii: "\n")] }
            for count in 0...bytes.count {
                var end = 0
                let expected = lines.prefix { line in
                    end += line.count + 1
                    return end <= count
                }
                let found = WholeLines(Array(bytes.prefix(count)))
                #expect(found.lines.map(Array.init) == Array(expected), "seed \(seed), \(count) bytes")
                let byteCount = expected.reduce(0) { $0 + $1.count + 1 }
                #expect(found.byteCount == byteCount, "seed \(seed), \(count) bytes")
            }
        }
    }

    @Test func aLineIsOneOnceItsNewlineIsThere() {
        #expect(WholeLines([]).lines.isEmpty && WholeLines([]).byteCount == 0)
        #expect(WholeLines(Array("{}".utf8)).lines.isEmpty)
        let two = WholeLines(Array("{}\n\n{}".utf8))
        #expect(two.lines.map(Array.init) == [Array("{}".utf8), []])
        #expect(two.byteCount == 4)
    }
}
