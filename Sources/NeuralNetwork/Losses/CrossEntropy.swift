import StrictYAML

/// Softmax cross-entropy of labels, with label smoothing and class weights.
///
/// Math: with smoothing e, weights w, K classes and log-probabilities l, the loss of a record is
/// -(1 - e) · w[label] · l[label] - e / K · Σ w[k] · l[k], and the record weighs w[label].
/// A record that is mixed with another one has two labels a and b, of weights m and 1 - m. Its loss
/// is -(1 - e) · (m · w[a] · l[a] + (1 - m) · w[b] · l[b]) - e / K · Σ w[k] · l[k], and it weighs
/// m · w[a] + (1 - m) · w[b].
/// Accuracy: a record is right when its first largest output is that of its own label, the first.
/// Source: torch.nn.CrossEntropyLoss, for two labels with probabilities as targets. It divides by the sum of weights of the records of one
/// process, with probabilities by their number; here the sum goes over the whole global batch.
struct CrossEntropy: Loss {
    static let name = "cross-entropy"
    static let takesMixedLabels = true

    /// The share of the label that is spread over all classes, from 0 to below 1.
    var labelSmoothing = 0.0
    /// The weights of the classes.
    var classWeights = ClassWeights.equal

    init(labelSmoothing: Double = 0, classWeights: ClassWeights = .equal) {
        self.labelSmoothing = labelSmoothing
        self.classWeights = classWeights
    }

    init(reading settings: StrictMapping) throws(SettingsError) {
        labelSmoothing = try settings.double(
            "label-smoothing", "of at least 0 and below 1", default: 0
        ) { $0 >= 0 && $0 < 1 }
        if let value = settings.value("class-weights") {
            classWeights = try ClassWeights(reading: value)
        }
    }

    var settings: [(key: String, text: String)] {
        var settings: [(key: String, text: String)] = []
        if labelSmoothing != 0 { settings.append(("label-smoothing", "\(labelSmoothing)")) }
        if let text = classWeights.text { settings.append(("class-weights", text)) }
        return settings
    }

    var ofTestRecords: CrossEntropy { CrossEntropy() }
    var weighsEqually: Bool { classWeights == .equal }

    func resolved(classHistogram: [Int], outputCount: Int) throws(LossError) -> CrossEntropy {
        guard labelSmoothing >= 0, labelSmoothing < 1 else {
            throw LossError(
                key: "label-smoothing",
                problem: "expected a number of at least 0 and below 1, found \(labelSmoothing)")
        }
        return CrossEntropy(
            labelSmoothing: labelSmoothing,
            classWeights: try classWeights.resolved(
                classHistogram: classHistogram, outputCount: outputCount))
    }

    func evaluate(
        outputs: UnsafePointer<Float>, batch: MicrobatchView, records: Range<Int>, outputCount: Int,
        gradient: UnsafeMutablePointer<Float>?, into statistics: inout BatchStatistics
    ) {
        let weights: [Double]
        switch classWeights {
        case .equal: weights = []
        case .each(let each): weights = each
        case .balanced: preconditionFailure("class weights that were not resolved")
        }
        SoftmaxCrossEntropy.evaluate(
            logits: outputs, labels: batch.labels + records.lowerBound,
            mixture: batch.mixture.map {
                MixedLabels(
                    labels: $0.labels + records.lowerBound, weights: $0.weights + records.lowerBound)
            },
            count: records.count, classCount: outputCount, smoothing: labelSmoothing,
            weights: weights, gradient: gradient, into: &statistics)
    }
}
