/// How the elements of contributions and weights are written on their way between processes.
///
/// Sums, master weights and optimizer state are fp32 in either case. With `bf16` every tree node's
/// value is rounded once, to nearest even, where it is computed: a leaf when it is complete, the sum
/// of two siblings after it was added in fp32, the root too. So the rounding is part of what a node
/// *is*, whoever adds it, and not of how often it travels.
public enum WirePrecision: String, Sendable, CaseIterable {
    case fp32, bf16

    /// How a message that carries the elements says what they are.
    public var payloadType: PayloadType { self == .fp32 ? .float32 : .bfloat16 }

    /// The same, where the message says in what memory they lie.
    public var sharedPayloadType: PayloadType {
        self == .fp32 ? .sharedFloat32 : .sharedBFloat16
    }

    public func byteCount(elementCount: Int) -> Int { elementCount * (self == .fp32 ? 4 : 2) }
}

/// In which precision each payload of a run travels: a function of the run and the step alone, so
/// that sender and receiver always mean the same.
public struct WirePlan: Hashable, Sendable {
    /// What contributions travel in, and what weights are rounded to before anyone computes a
    /// gradient with them.
    public let precision: WirePrecision
    private let stepsPerEpoch: Int
    private let totalSteps: Step

    public init(precision: WirePrecision, stepsPerEpoch: Int, totalSteps: Step) {
        self.precision = precision
        self.stepsPerEpoch = stepsPerEpoch
        self.totalSteps = totalSteps
    }

    /// What the weights of a version travel in.
    ///
    /// At the end of an epoch and of the run they are evaluated, and evaluated are the master weights:
    /// these travel as they are, and a worker rounds them itself before it trains on.
    public func weights(at version: Step) -> WirePrecision {
        isEvaluated(version) ? .fp32 : precision
    }

    private func isEvaluated(_ version: Step) -> Bool {
        version > Step(0)
            && (version.value.isMultiple(of: stepsPerEpoch) || version == totalSteps)
    }
}
