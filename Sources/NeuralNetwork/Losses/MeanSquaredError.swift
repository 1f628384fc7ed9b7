import StrictYAML

/// The mean of the squared differences between a record's outputs and its targets.
///
/// Math: with D outputs z and targets t, loss = Σ (z - t)² / D, gradient = 2 · (z - t) / D.
/// There is no accuracy.
/// Source: torch.nn.MSELoss, whose mean over all elements of a batch is the mean of these losses.
struct MeanSquaredError: Loss {
    static let name = "mse"
    static let needsTargets = true
    static let hasAccuracy = false

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
            for element in record * outputCount..<(record + 1) * outputCount {
                let difference = Double(outputs[element]) - Double(targets[element])
                sum += difference * difference
                gradient?[element] = Float(2 * difference / count)
            }
            statistics.add(loss: sum / count, isCorrect: false)
        }
    }
}
