/// Philox4x32-10: a generator that returns four random 32-bit words as a pure function of a key and
/// a counter.
///
/// The generator has no state. Any process, at any time and in any order, draws the same words for
/// the same key and counter. So no random number ever has to be sent, stored or replayed.
///
/// Determinism: it uses integer arithmetic only and gives the same words on every machine.
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011),
/// §3.3.
public struct Philox: Sendable, Hashable {
    private let key: (UInt32, UInt32)

    /// Creates the generator of a 64-bit key.
    public init(key: UInt64) {
        self.key = (UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32))
    }

    /// Returns the four words at the 128-bit counter that consists of `low` and `high`.
    @inlinable
    public func words(at low: UInt64, _ high: UInt64 = 0) -> SIMD4<UInt32> {
        block(
            SIMD4(
                UInt32(truncatingIfNeeded: low), UInt32(truncatingIfNeeded: low >> 32),
                UInt32(truncatingIfNeeded: high), UInt32(truncatingIfNeeded: high >> 32)))
    }

    /// Computes the ten rounds for one counter block.
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

    /// Returns whether both generators have the same key, and therefore the same words.
    public static func == (left: Philox, right: Philox) -> Bool { left.key == right.key }

    /// Hashes the key.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(key.0)
        hasher.combine(key.1)
    }
}
