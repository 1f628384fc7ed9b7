import CKernels

/// The loss: softmax cross-entropy, summed over records.
public enum SoftmaxCrossEntropy {
    /// Adds the losses and the correct predictions of `count` records to `statistics`, and writes
    /// the gradients of their logits.
    ///
    /// Shapes: logits and gradient [count, classCount]; labels [count]. A label outside
    /// 0..<classCount is a programming error and stops the process.
    /// Math: loss = log Σ exp(z) - z[label]. gradient = softmax(z) - onehot(label), which is the
    /// gradient of the sum of the losses, not of their mean. `gradient` may be nil, or `logits`
    /// itself.
    /// Determinism: exp and log are Convoy's own, in double precision, so the host's C library
    /// decides no bit. The loss is added record by record, so cutting a batch into tiles changes
    /// nothing.
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

    /// Returns the softmax of one record's logits, [classes].
    public static func probabilities(_ logits: [Float]) -> [Float] {
        let largest = Double(logits.max() ?? 0)
        let powers = logits.map { convoy_exp(Double($0) - largest) }
        let sum = powers.reduce(0, +)
        return powers.map { Float($0 / sum) }
    }
}
