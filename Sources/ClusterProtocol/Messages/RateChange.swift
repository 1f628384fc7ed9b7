/// The coordinator has changed what the learning rate is multiplied by.
public struct RateChange: Hashable, Codable, Sendable {
    /// The first step with the new factor.
    public var from: Step
    /// The bit pattern of the factor, since JSON numbers may lose the last bit.
    public var factorBits: UInt64

    /// The factor.
    public var factor: Double { Double(bitPattern: factorBits) }

    /// Creates a change.
    public init(from: Step, factor: Double) {
        self.from = from
        factorBits = factor.bitPattern
    }

    /// Returns the factor of a step.
    ///
    /// - Parameters:
    ///   - step: The step.
    ///   - changes: The changes of a run, in the order of their steps.
    public static func factor(of step: Step, after changes: [RateChange]) -> Double {
        changes.last { $0.from <= step }?.factor ?? 1
    }
}
