import CKernels
import FoundationEssentials
import Glibc
import NeuralNetwork
import Testing

@Suite struct KernelTests {
    /// Compares the package's exp and log with the system's, by relative error.
    @Test func exponentialAndLogarithmAreAccurate() {
        var worstExponential = 0.0
        var worstLogarithm = 0.0
        for value in GoldenInput.values(200_000, salt: 41) {
            for scale in [1.0, 30, 700] {
                let x = Double(value) * scale
                worstExponential = max(worstExponential, abs(convoy_exp(x) / exp(x) - 1))
            }
            let y = exp(Double(value) * 600)
            worstLogarithm = max(worstLogarithm, abs(convoy_log(y) / log(y) - 1))
            let near = 1 + Double(value) * 0.4
            worstLogarithm = max(worstLogarithm, abs(convoy_log(near) / log(near) - 1))
        }
        #expect(worstExponential < 1e-15)
        #expect(worstLogarithm < 1e-15)
    }

    @Test func exponentialAndLogarithmAtTheEdges() {
        #expect(convoy_exp(0) == 1)
        #expect(convoy_exp(-.infinity) == 0)
        #expect(convoy_exp(-709) == 0)
        #expect(convoy_exp(710) == .infinity)
        #expect(convoy_exp(.nan).isNaN)
        #expect(convoy_log(1) == 0)
        for x in [0, -1, Double.nan, .infinity, .leastNonzeroMagnitude] {
            #expect(convoy_log(x).isNaN)
        }
    }

    /// Checks the bits of the results, so that a compiler that rearranges operations is caught on
    /// any machine.
    @Test func exponentialAndLogarithmHaveTheseBits() {
        var hash: UInt64 = 0
        for value in GoldenInput.values(2_000, salt: 42) {
            hash = hash &* 31 &+ convoy_exp(Double(value) * 80).bitPattern
            hash = hash &* 31 &+ convoy_log(abs(Double(value)) + 0x1p-30).bitPattern
        }
        #expect(hash == 1_571_779_426_372_990_226)
    }

    @Test(arguments: [([1, 1], 2), ([2, 2], 0), ([0, 0], 0), ([1, 2], 1)] as [([Int32], Int)])
    func theFirstLargestLogitWins(labels: [Int32], correctCount: Int) {
        var statistics = BatchStatistics()
        let logits: [Float] = [1, 3, 3, 2, 5, 5]
        SoftmaxCrossEntropy.evaluate(
            logits: logits, labels: labels, count: 2, classCount: 3, gradient: nil,
            into: &statistics)
        #expect(statistics.correctCount == correctCount)
        #expect(statistics.sampleCount == 2)
    }

    /// Losses are added one by one, so cutting a batch changes no bit. The gradient may be computed
    /// in place.
    @Test func cuttingABatchChangesNoBit() {
        let labels = (0..<12).map { Int32($0 % 5) }
        let logits = GoldenInput.values(60, salt: 43).map { $0 * 9 }
        var whole = BatchStatistics()
        var gradient = [Float](repeating: 0, count: 60)
        SoftmaxCrossEntropy.evaluate(
            logits: logits, labels: labels, count: 12, classCount: 5, gradient: &gradient,
            into: &whole)
        var parts = BatchStatistics()
        var inPlace = logits
        inPlace.withUnsafeMutableBufferPointer { buffer in
            for range in [0..<5, 5..<6, 6..<12] {
                let start = buffer.baseAddress! + 5 * range.lowerBound
                SoftmaxCrossEntropy.evaluate(
                    logits: start, labels: Array(labels[range]), count: range.count,
                    classCount: 5, gradient: start, into: &parts)
            }
        }
        #expect(parts == whole)
        expectSameBits(inPlace, gradient, "gradient in place")
    }

    @Test func divergedLogitsGiveNotANumber() {
        var statistics = BatchStatistics()
        SoftmaxCrossEntropy.evaluate(
            logits: [.nan, 1, 2], labels: [1], count: 1, classCount: 3, gradient: nil,
            into: &statistics)
        #expect(statistics.lossSum.isNaN)
    }
}
