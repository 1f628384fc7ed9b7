import StrictYAML

/// A kind of loss: its settings, and its value and gradient for some records.
protocol Loss: Sendable, Hashable {
    /// The name of this kind in a run file.
    static var name: String { get }
    /// Whether the records must hold targets; otherwise they must hold labels.
    static var needsTargets: Bool { get }
    /// Whether a record can be right or wrong.
    static var hasAccuracy: Bool { get }
    /// Whether a record can have two labels, each with a weight.
    static var takesMixedLabels: Bool { get }

    /// Reads the settings of this kind from the mapping in which `name` stands.
    init(reading settings: StrictMapping) throws(SettingsError)

    /// The settings that are not the usual ones, as a run file writes them.
    var settings: [(key: String, text: String)] { get }
    /// The loss of test records.
    var ofTestRecords: Self { get }
    /// Whether every record weighs 1.
    var weighsEqually: Bool { get }

    /// Returns the loss with every value that follows from the training records put in.
    func resolved(classHistogram: [Int], outputCount: Int) throws(LossError) -> Self

    /// Adds losses, weights and correct predictions of some records to `statistics`, and writes the
    /// gradients of their outputs, as the method of ``LossFunction`` says.
    func evaluate(
        outputs: UnsafePointer<Float>, batch: MicrobatchView, records: Range<Int>, outputCount: Int,
        gradient: UnsafeMutablePointer<Float>?, into statistics: inout BatchStatistics)
}

extension Loss {
    static var needsTargets: Bool { false }
    static var hasAccuracy: Bool { true }
    static var takesMixedLabels: Bool { false }
    var settings: [(key: String, text: String)] { [] }
    var ofTestRecords: Self { self }
    var weighsEqually: Bool { true }

    func resolved(classHistogram: [Int], outputCount: Int) throws(LossError) -> Self { self }

    func isEqual(_ other: any Loss) -> Bool { (other as? Self) == self }
}

/// A setting of a loss that does not fit the data or the model.
public struct LossError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The setting's key in the mapping `training.loss`, for instance "class-weights".
    public let key: String
    /// The values that were expected, and the value that was found.
    public let problem: String

    /// The message for the user: "KEY: PROBLEM".
    public var description: String { "\(key): \(problem)" }
}
