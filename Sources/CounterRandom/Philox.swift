/// Philox4x32-10: four random words as a pure function of a key and a counter.
///
/// Being stateless is the point: any process, at any time, in any order, draws the same number for the
/// same (key, counter), so nothing random ever has to be sent, stored or replayed.
///
/// Determinism: integer arithmetic only; equal on every machine.
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), §3.3.
public struct Philox: Sendable, Hashable {
    private let key: (UInt32, UInt32)

    public init(key: UInt64) {
        self.key = (UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32))
    }

    /// The four words at `counter`.
    @inlinable
    public func words(at low: UInt64, _ high: UInt64 = 0) -> SIMD4<UInt32> {
        block(
            SIMD4(
                UInt32(truncatingIfNeeded: low), UInt32(truncatingIfNeeded: low >> 32),
                UInt32(truncatingIfNeeded: high), UInt32(truncatingIfNeeded: high >> 32)))
    }

    /// Ten rounds over one counter block.
    @usableFromInline
    func block(_ counter: SIMD4<UInt32>) -> SIMD4<UInt32> {
        var x = counter
        var (k0, k1) = key
        for _ in 0..<10 {
            let p0 = UInt64(x[0]) &* 0xD251_1F53
            let p1 = UInt64(x[2]) &* 0xCD9E_8D57
            x = SIMD4(
                UInt32(truncatingIfNeeded: p1 >> 32) ^ x[1] ^ k0, UInt32(truncatingIfNeeded: p1),
                UInt32(truncatingIfNeeded: p0 >> 32) ^ x[3] ^ k1, UInt32(truncatingIfNeeded: p0))
            k0 &+= 0x9E37_79B9
            k1 &+= 0xBB67_AE85
        }
        return x
    }

    public static func == (left: Philox, right: Philox) -> Bool { left.key == right.key }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(key.0)
        hasher.combine(key.1)
    }
}
