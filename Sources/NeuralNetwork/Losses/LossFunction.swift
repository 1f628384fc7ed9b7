import StrictYAML

/// The loss of a run: a number that each record's outputs give, and that training makes small.
///
/// A step divides the sum of the records' gradients by the sum of the records' weights over the
/// whole global batch. Every record weighs 1, except with class weights. So the gradient does not
/// depend on how the batch is cut into microbatches.
public struct LossFunction: Sendable, Hashable {
    let loss: any Loss

    init(_ loss: any Loss) { self.loss = loss }

    /// Creates cross-entropy without label smoothing and without class weights.
    public init() { self.init(CrossEntropy()) }

    /// Creates the loss of that name with its usual settings; nil for an unknown name.
    public init?(named name: String) {
        guard let kind = LossRegistry.kind(named: name) else { return nil }
        let nothing = StrictMapping(empty: StrictValue(name, flag: ""))
        guard let loss = try? kind.init(reading: nothing) else { return nil }
        self.init(loss)
    }

    /// Softmax cross-entropy of labels.
    ///
    /// Source: torch.nn.CrossEntropyLoss with `weight` and `label_smoothing`.
    /// - Parameters:
    ///   - labelSmoothing: the share of the label that is spread over all classes, from 0 to below
    ///     1.
    ///   - classWeights: the weight of each class.
    public static func crossEntropy(
        labelSmoothing: Double = 0, classWeights: ClassWeights = .equal
    ) -> LossFunction {
        LossFunction(
            CrossEntropy(labelSmoothing: labelSmoothing, classWeights: classWeights))
    }

    /// The mean of the squared differences between a record's outputs and its targets.
    ///
    /// Source: torch.nn.MSELoss.
    public static let meanSquaredError = LossFunction(MeanSquaredError())

    /// The mean over a record's outputs of the cross-entropy between the output's sigmoid and its
    /// target.
    ///
    /// Source: torch.nn.BCEWithLogitsLoss.
    public static let binaryCrossEntropy = LossFunction(BinaryCrossEntropy())

    /// The names of all losses in a run file.
    public static var names: [String] { LossRegistry.all.map { $0.name } }

    /// The name in a run file.
    public var name: String { type(of: loss).name }
    /// Whether the records must hold targets; otherwise they must hold labels.
    public var needsTargets: Bool { type(of: loss).needsTargets }
    /// Whether a record can be right or wrong, so that there is an accuracy.
    public var hasAccuracy: Bool { type(of: loss).hasAccuracy }
    /// Whether a record can have two labels, each with a weight, as mixup and cutmix make them.
    public var takesMixedLabels: Bool { type(of: loss).takesMixedLabels }
    /// The loss of test records: without label smoothing and class weights.
    public var ofTestRecords: LossFunction { LossFunction(loss.ofTestRecords) }

    /// Returns the loss with every value that follows from the training records put in: `balanced`
    /// becomes numbers.
    ///
    /// - Parameters:
    ///   - classHistogram: the number of training records of each class; empty for data with
    ///     targets.
    ///   - outputCount: the number of the network's outputs.
    /// - Throws: ``LossError`` for settings that do not fit.
    public func resolved(
        classHistogram: [Int], outputCount: Int
    ) throws(LossError) -> LossFunction {
        LossFunction(try loss.resolved(classHistogram: classHistogram, outputCount: outputCount))
    }

    /// Returns whether records can have this sum of weights.
    public func isPossible(weightSum: Double, ofRecords count: Int) -> Bool {
        loss.weighsEqually ? weightSum == Double(count) : weightSum.isFinite && weightSum >= 0
    }

    /// Adds losses, weights and correct predictions of some records to `statistics`, and writes the
    /// gradients of their outputs.
    ///
    /// Shapes: outputs and gradient [records, outputCount], beginning with the first of `records`.
    /// The gradient is that of the weighted sum of the losses, not of their mean. `gradient` may be
    /// nil, or `outputs` itself.
    /// Determinism: exp and log are Convoy's own, in double precision, so the host's C library
    /// decides no bit. The losses are added record by record, so cutting a batch into tiles changes
    /// nothing. A label outside 0..<outputCount, and data without the targets that the loss needs,
    /// are programming errors and stop the process.
    public func evaluate(
        outputs: UnsafePointer<Float>, batch: MicrobatchView, records: Range<Int>, outputCount: Int,
        gradient: UnsafeMutablePointer<Float>?, into statistics: inout BatchStatistics
    ) {
        loss.evaluate(
            outputs: outputs, batch: batch, records: records, outputCount: outputCount,
            gradient: gradient, into: &statistics)
    }

    /// Returns whether two losses are of one kind and have equal settings.
    public static func == (left: Self, right: Self) -> Bool { left.loss.isEqual(right.loss) }

    /// Hashes the loss.
    public func hash(into hasher: inout Hasher) { hasher.combine(loss) }
}

extension LossFunction {
    /// Reads a loss: its name, or a mapping with `name` and its settings.
    public init(reading value: StrictValue) throws(SettingsError) {
        let settings: StrictMapping
        let name: String
        if value.isMapping {
            settings = try value.mapping()
            name = try settings.oneOf("name", Self.names)
        } else {
            settings = StrictMapping(empty: value)
            name = try value.oneOf(Self.names)
        }
        guard let kind = LossRegistry.kind(named: name) else {
            throw value.expected("one of \(Self.names.joined(separator: ", "))")
        }
        self.init(try kind.init(reading: settings))
        try settings.finish()
    }

    /// The loss as a run file gives it, on one line.
    public var yaml: String {
        let settings = loss.settings.map { ", \($0.key): \($0.text)" }
        return settings.isEmpty ? name : "{name: \(name)\(settings.joined())}"
    }
}
