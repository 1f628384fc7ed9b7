/// Decides which virtual workers of which steps two workers compute and compare bit for bit.
///
/// A virtual worker's gradient is a pure function of the run, so two correct computations are equal
/// to the bit. A difference means that hardware or a build is at fault. The choice is a function of
/// (seed, step, virtual worker) only, so that all processes make the same choice.
public struct AuditPlan: Hashable, Sendable {
    private let seed: UInt64
    private let threshold: UInt64

    /// Creates the plan of a run.
    ///
    /// - Parameters:
    ///   - seed: The run's seed.
    ///   - rate: The share of the virtual workers to audit, above 0 and at most 1.
    public init(seed: UInt64, rate: Double) {
        self.seed = seed
        threshold = rate >= 1 ? .max : UInt64(max(0, rate) * 0x1p64)
    }

    /// Returns whether a virtual worker is audited in a step.
    public func isAudited(step: Step, virtualWorker: VirtualWorkerIndex) -> Bool {
        var value = seed ^ 0xA0D1_7000_0000_0000
        for part in [UInt64(step.value), UInt64(truncatingIfNeeded: virtualWorker.value)] {
            // One round of SplitMix64's finalizer for each part.
            value = (value ^ part) &+ 0x9E37_79B9_7F4A_7C15
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            value ^= value >> 31
        }
        return value <= threshold
    }
}
