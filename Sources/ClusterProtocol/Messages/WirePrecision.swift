/// How the elements of contributions and weights are written in messages between processes.
///
/// Sums, master weights and optimizer state are fp32 in either case. With `bf16`, the value of every
/// tree node is rounded once, to nearest even, where it is computed: a leaf when it is complete, and
/// the sum of two siblings after it was added in fp32, including the root. The rounding is therefore
/// part of a node's value. The value depends neither on the process that adds it nor on how often it
/// travels.
public enum WirePrecision: String, Sendable, CaseIterable {
    case fp32, bf16

    /// The payload type of a message that carries the elements.
    public var payloadType: PayloadType { self == .fp32 ? .float32 : .bfloat16 }

    /// The payload type of a message that says in which shared memory the elements lie.
    public var sharedPayloadType: PayloadType {
        self == .fp32 ? .sharedFloat32 : .sharedBFloat16
    }

    /// Returns the length of this many elements in bytes.
    public func byteCount(elementCount: Int) -> Int { elementCount * (self == .fp32 ? 4 : 2) }
}

/// The precision in which each payload of a run travels. It is a function of the run and the step only,
/// so that sender and receiver always agree.
public struct WirePlan: Hashable, Sendable {
    /// The precision of contributions, to which weights are also rounded before a gradient is computed
    /// with them.
    public let precision: WirePrecision
    private let stepsPerEpoch: Int
    private let totalSteps: Step

    /// Creates the plan of a run.
    public init(precision: WirePrecision, stepsPerEpoch: Int, totalSteps: Step) {
        self.precision = precision
        self.stepsPerEpoch = stepsPerEpoch
        self.totalSteps = totalSteps
    }

    /// Returns the precision in which the weights of a version travel.
    ///
    /// The weights at the end of an epoch and of the run are evaluated, and the master weights are what
    /// is evaluated. These weights travel as fp32, and a worker rounds them itself before it trains on.
    public func weights(at version: Step) -> WirePrecision {
        isEvaluated(version) ? .fp32 : precision
    }

    private func isEvaluated(_ version: Step) -> Bool {
        version > Step(0)
            && (version.value.isMultiple(of: stepsPerEpoch) || version == totalSteps)
    }
}
