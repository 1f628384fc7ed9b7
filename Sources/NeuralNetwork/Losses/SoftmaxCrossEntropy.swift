import CKernels

/// The loss: softmax cross-entropy, summed over records.
public enum SoftmaxCrossEntropy {
    /// Adds the losses and the correct predictions of `count` records to `statistics`, and writes
    /// the gradients of their logits.
    ///
    /// Shapes: logits and gradient [count, classCount]; labels [count]. A label outside
    /// 0..<classCount is a programming error and stops the process.
    /// With `smoothing` e the label counts 1 - e, and e is spread over all classes, as in PyTorch:
    /// loss = log Σ exp(z) - (1 - e) · z[label] - e · mean of z. `weights` are empty, or one for
    /// each class, and `mixture` holds second labels: see ``CrossEntropy``. A record whose own
    /// label weighs 1, or whose labels are equal, is computed as one with one label.
    /// Math without it: loss = log Σ exp(z) - z[label]. gradient = softmax(z) - onehot(label),
    /// which is the gradient of the sum of the losses, not of their mean. `gradient` may be nil, or
    /// `logits` itself.
    /// Determinism: exp and log are Convoy's own, in double precision, so the host's C library
    /// decides no bit. The loss is added record by record, so cutting a batch into tiles changes
    /// nothing.
    public static func evaluate(
        logits: UnsafePointer<Float>, labels: UnsafePointer<Int32>, mixture: MixedLabels? = nil,
        count: Int, classCount: Int, smoothing: Double = 0, weights: [Double] = [],
        gradient: UnsafeMutablePointer<Float>?,
        into statistics: inout BatchStatistics
    ) {
        precondition(
            weights.isEmpty || weights.count == classCount,
            "expected a weight for each of \(classCount) classes, found \(weights.count)")
        for index in 0..<count {
            precondition(
                labels[index] >= 0 && Int(labels[index]) < classCount,
                "label \(labels[index]) of sample \(index) is outside 0..<\(classCount)")
        }
        if let mixture {
            for index in 0..<count {
                let row = index * classCount
                let (gradient, second) = (gradient.map { $0 + row }, mixture.labels[index])
                precondition(
                    second >= 0 && Int(second) < classCount,
                    "second label \(second) of sample \(index) is outside 0..<\(classCount)")
                if second == labels[index] || mixture.weights[index] == 1 {
                    evaluate(
                        logits: logits + row, labels: labels + index, count: 1,
                        classCount: classCount, smoothing: smoothing, weights: weights,
                        gradient: gradient, into: &statistics)
                } else {
                    mix(
                        logits + row,
                        Pair(
                            first: Int(labels[index]), second: Int(second),
                            weight: Double(mixture.weights[index])),
                        classCount, smoothing, weights, gradient, &statistics)
                }
            }
            return
        }
        guard weights.isEmpty else {
            for index in 0..<count {
                let row = index * classCount
                weigh(
                    logits + row, Int(labels[index]), smoothing, weights,
                    gradient.map { $0 + row }, &statistics)
            }
            return
        }
        guard smoothing == 0 else {
            for index in 0..<count {
                let row = index * classCount
                smooth(
                    logits + row, Int(labels[index]), classCount, smoothing,
                    gradient.map { $0 + row }, &statistics)
            }
            return
        }
        var correctCount: Int64 = 0
        convoy_softmax_cross_entropy(
            logits, labels, count, classCount, gradient, &statistics.lossSum, &correctCount)
        statistics.sampleCount += count
        statistics.weightSum += Double(count)
        statistics.correctCount += Int(correctCount)
    }

    /// Adds the smoothed loss of one record, and writes the gradient of its logits.
    private static func smooth(
        _ logits: UnsafePointer<Float>, _ label: Int, _ classCount: Int, _ smoothing: Double,
        _ gradient: UnsafeMutablePointer<Float>?, _ statistics: inout BatchStatistics
    ) {
        var mean = 0.0
        for index in 0..<classCount { mean += Double(logits[index]) }
        mean /= Double(classCount)
        let extra = smoothing * (Double(logits[label]) - mean)
        var loss = 0.0
        var correctCount: Int64 = 0
        var number = Int32(label)
        convoy_softmax_cross_entropy(
            logits, &number, 1, classCount, gradient, &loss, &correctCount)
        statistics.lossSum += loss + extra
        statistics.sampleCount += 1
        statistics.weightSum += 1
        statistics.correctCount += Int(correctCount)
        guard let gradient else { return }
        gradient[label] += Float(smoothing)
        let share = Float(smoothing / Double(classCount))
        for index in 0..<classCount { gradient[index] -= share }
    }

    /// Adds the weighted loss of one record, and writes the gradient of its logits.
    private static func weigh(
        _ logits: UnsafePointer<Float>, _ label: Int, _ smoothing: Double, _ weights: [Double],
        _ gradient: UnsafeMutablePointer<Float>?, _ statistics: inout BatchStatistics
    ) {
        var best = 0
        for index in weights.indices where logits[index] > logits[best] { best = index }
        let largest = Double(logits[best])
        var sum = 0.0
        for index in weights.indices { sum += convoy_exp(Double(logits[index]) - largest) }
        let logarithm = convoy_log(sum)
        let labelShare = (1 - smoothing) * weights[label]
        var loss = labelShare * (logarithm - (Double(logits[label]) - largest))
        let share = smoothing / Double(weights.count)
        var weightOfAll = 0.0
        if smoothing > 0 {
            for index in weights.indices {
                weightOfAll += weights[index]
                loss += share * weights[index] * (logarithm - (Double(logits[index]) - largest))
            }
        }
        statistics.add(loss: loss, weight: weights[label], isCorrect: best == label)
        guard let gradient else { return }
        for index in weights.indices {
            let probability = convoy_exp(Double(logits[index]) - largest) / sum
            var change = labelShare * (probability - (index == label ? 1 : 0))
            if smoothing > 0 { change += share * (weightOfAll * probability - weights[index]) }
            gradient[index] = Float(change)
        }
    }

    /// The labels of a record that is mixed with another one.
    private struct Pair {
        let first: Int
        let second: Int
        /// The weight of the first label; the second one has the rest of 1.
        let weight: Double
    }

    /// Adds the loss of one record with two labels, and writes the gradient of its logits.
    private static func mix(
        _ logits: UnsafePointer<Float>, _ pair: Pair, _ classCount: Int, _ smoothing: Double,
        _ weights: [Double], _ gradient: UnsafeMutablePointer<Float>?,
        _ statistics: inout BatchStatistics
    ) {
        func weight(_ index: Int) -> Double { weights.isEmpty ? 1 : weights[index] }
        var best = 0
        for index in 0..<classCount where logits[index] > logits[best] { best = index }
        let largest = Double(logits[best])
        var sum = 0.0
        for index in 0..<classCount { sum += convoy_exp(Double(logits[index]) - largest) }
        let logarithm = convoy_log(sum)
        let own = pair.weight * weight(pair.first)
        let other = (1 - pair.weight) * weight(pair.second)
        let (ownShare, otherShare) = ((1 - smoothing) * own, (1 - smoothing) * other)
        var loss =
            ownShare * (logarithm - (Double(logits[pair.first]) - largest)) + otherShare
            * (logarithm - (Double(logits[pair.second]) - largest))
        let share = smoothing / Double(classCount)
        var weightOfAll = 0.0
        if smoothing > 0 {
            for index in 0..<classCount {
                weightOfAll += weight(index)
                loss += share * weight(index) * (logarithm - (Double(logits[index]) - largest))
            }
        }
        statistics.add(
            loss: loss, weight: weights.isEmpty ? 1 : own + other, isCorrect: best == pair.first)
        guard let gradient else { return }
        for index in 0..<classCount {
            let probability = convoy_exp(Double(logits[index]) - largest) / sum
            var change = (ownShare + otherShare + share * weightOfAll) * probability
            if index == pair.first { change -= ownShare }
            if index == pair.second { change -= otherShare }
            if smoothing > 0 { change -= share * weight(index) }
            gradient[index] = Float(change)
        }
    }

    /// Returns the softmax of one record's logits, [classes].
    public static func probabilities(_ logits: [Float]) -> [Float] {
        let largest = Double(logits.max() ?? 0)
        let powers = logits.map { convoy_exp(Double($0) - largest) }
        let sum = powers.reduce(0, +)
        return powers.map { Float($0 / sum) }
    }
}
