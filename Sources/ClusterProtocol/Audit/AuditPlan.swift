/// Which leaves of which steps are computed by two workers and compared bit for bit.
///
/// A leaf's gradient is a pure function of the run, so two honest computations are equal to the bit: a
/// difference means that hardware or a build is at fault. The choice follows from (seed, step, leaf)
/// alone, so everyone makes the same one.
public struct AuditPlan: Hashable, Sendable {
    private let seed: UInt64
    private let threshold: UInt64

    /// - Parameter rate: share of the leaves, above 0 and at most 1.
    public init(seed: UInt64, rate: Double) {
        self.seed = seed
        threshold = rate >= 1 ? .max : UInt64(max(0, rate) * 0x1p64)
    }

    public func isAudited(step: Step, leaf: Int) -> Bool {
        var value = seed ^ 0xA0D1_7000_0000_0000
        for part in [UInt64(step.value), UInt64(truncatingIfNeeded: leaf)] {
            // One round of SplitMix64's finalizer a part.
            value = (value ^ part) &+ 0x9E37_79B9_7F4A_7C15
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            value ^= value >> 31
        }
        return value <= threshold
    }
}
