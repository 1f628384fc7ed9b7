import CKernels

/// The loss: softmax cross-entropy, summed over samples.
public enum SoftmaxCrossEntropy {
    /// Adds `count` samples' losses and hits to `statistics`, in order, and writes their gradients.
    ///
    /// Shapes: logits and gradient [count, classCount]; labels [count].
    /// Math: loss = log Σ exp(z) - z[label], gradient = softmax(z) - onehot(label), for the sum
    /// (not the mean) of the losses. `gradient` may be nil, or `logits` itself.
    /// Determinism: exp and log are our own, in double, so no host's library decides a bit; the
    /// loss is added sample by sample, so cutting a batch into tiles changes nothing.
    public static func evaluate(
        logits: UnsafePointer<Float>, labels: UnsafePointer<Int32>, count: Int, classCount: Int,
        gradient: UnsafeMutablePointer<Float>?, into statistics: inout BatchStatistics
    ) {
        for index in 0..<count {
            precondition(
                labels[index] >= 0 && Int(labels[index]) < classCount,
                "label \(labels[index]) of sample \(index) is outside 0..<\(classCount)")
        }
        var correctCount: Int64 = 0
        convoy_softmax_cross_entropy(
            logits, labels, count, classCount, gradient, &statistics.lossSum, &correctCount)
        statistics.sampleCount += count
        statistics.correctCount += Int(correctCount)
    }

    /// The softmax of one sample's outputs.
    public static func probabilities(_ logits: [Float]) -> [Float] {
        let largest = Double(logits.max() ?? 0)
        let powers = logits.map { convoy_exp(Double($0) - largest) }
        let sum = powers.reduce(0, +)
        return powers.map { Float($0 / sum) }
    }
}
