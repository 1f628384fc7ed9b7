import CounterRandom
import NeuralNetwork
import Testing

@Suite struct DropoutMaskTests {
    private func mask(
        _ count: Int = 1000, rate: Double = 0.4, seed: UInt64 = 1, epoch: Int = 0,
        record: UInt64 = 0, layer: Int = 0
    ) -> [Float] {
        var values = [Float](repeating: .nan, count: count)
        DropoutMask.fill(
            &values, count: count, rate: rate, seed: seed, epoch: epoch, record: record,
            layerIndex: layer)
        return values
    }

    @Test func keepsAndScalesTheRightShare() {
        let values = mask(100_000)
        let kept = values.filter { $0 != 0 }
        #expect(kept.allSatisfy { $0 == Float(1 / 0.6) })
        #expect(abs(Double(kept.count) / 100_000 - 0.6) < 0.01)
        #expect(mask(rate: 0).allSatisfy { $0 == 1 })
    }

    /// The kernel draws the numbers of the stream, wherever a mask ends.
    @Test func isTheStreamOfItsName() {
        for (count, rate) in [(1, 0.5), (63, 0.1), (64, 0.25), (65, 0.5), (1000, 1 / 3.0)] {
            let (seed, epoch, record) = (UInt64(7) << 40, 3, UInt64(5) << 33)
            var stream = RandomStream(
                seed: seed, purpose: .dropout, mix64(UInt64(epoch)) &+ 6, record)
            let expected = (0..<count).map { _ in
                Double(stream.nextUniform()) >= rate ? Float(1 / (1 - rate)) : 0
            }
            #expect(
                mask(count, rate: rate, seed: seed, epoch: epoch, record: record, layer: 6)
                    == expected, "\(count) elements at \(rate)")
        }
    }

    @Test func isAFunctionOfItsKeys() {
        #expect(mask() == mask())
        #expect(mask(10) == Array(mask()[..<10]))
        let others = [mask(seed: 2), mask(epoch: 1), mask(record: 1), mask(layer: 1)]
        for (index, other) in others.enumerated() {
            #expect(other != mask())
            for another in others[..<index] { #expect(other != another) }
        }
    }
}
