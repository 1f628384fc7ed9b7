import CKernels
import StrictYAML

/// The mean over a record's outputs of the cross-entropy between the output's sigmoid and its
/// target.
///
/// Math: with D outputs z and targets t, loss = Σ (max(z, 0) - z · t + log(1 + exp(-|z|))) / D,
/// gradient = (sigmoid(z) - t) / D. Targets are probabilities from 0 to 1; as in PyTorch, others
/// are not refused.
/// Accuracy: a record is right when each of its outputs has the right sign: above 0 where the
/// target is above 1/2, and not above 0 elsewhere.
/// Source: torch.nn.BCEWithLogitsLoss.
struct BinaryCrossEntropy: Loss {
    static let name = "bce"
    static let needsTargets = true

    init() {}

    init(reading settings: StrictMapping) throws(SettingsError) {}

    func evaluate(
        outputs: UnsafePointer<Float>, batch: MicrobatchView, records: Range<Int>, outputCount: Int,
        gradient: UnsafeMutablePointer<Float>?, into statistics: inout BatchStatistics
    ) {
        let targets = batch.requiredTargets + records.lowerBound * outputCount
        let count = Double(outputCount)
        for record in 0..<records.count {
            var sum = 0.0
            var isCorrect = true
            for element in record * outputCount..<(record + 1) * outputCount {
                let (z, target) = (Double(outputs[element]), Double(targets[element]))
                let power = convoy_exp(z > 0 ? -z : z)
                sum += (z > 0 ? z : 0) - z * target + Self.logarithmOfOneMore(power)
                if (z > 0) != (target > 0.5) { isCorrect = false }
                let sigmoid = (z > 0 ? 1 : power) / (1 + power)
                gradient?[element] = Float((sigmoid - target) / count)
            }
            statistics.add(loss: sum / count, isCorrect: isCorrect)
        }
    }

    /// Returns log(1 + x) for x from 0 to 1, exact to a few last bits also where x is small. The
    /// quotient makes up for the bits that 1 + x loses.
    private static func logarithmOfOneMore(_ x: Double) -> Double {
        let more = 1 + x
        return more == 1 ? x : convoy_log(more) * x / (more - 1)
    }
}
