/// The numbers the reference layers compute with: Float, or Double for checking them.
public protocol ReferenceScalar: BinaryFloatingPoint, SIMDScalar, Codable, Sendable {}

extension Float: ReferenceScalar {}
extension Double: ReferenceScalar {}

/// The two inner loops of the reference layers.
///
/// Determinism: fixed order, no contraction: the same bits on every host.
enum ReferenceLoops {
    /// out[i] += factor · x[i].
    @inline(__always)
    static func addScaled<Scalar: ReferenceScalar>(
        _ out: UnsafeMutablePointer<Scalar>, _ factor: Scalar, _ x: UnsafePointer<Scalar>,
        _ count: Int
    ) {
        for i in 0..<count { out[i] += factor * x[i] }
    }

    /// Σ x[i] · y[i]: eight sums over every eighth element, added from the first to the last.
    @inline(__always)
    static func dot<Scalar: ReferenceScalar>(
        _ x: UnsafePointer<Scalar>, _ y: UnsafePointer<Scalar>, _ count: Int
    ) -> Scalar {
        var lanes = SIMD8<Scalar>(repeating: 0)
        var i = 0
        while i &+ 8 <= count {
            let left = UnsafeRawPointer(x + i).loadUnaligned(as: SIMD8<Scalar>.self)
            let right = UnsafeRawPointer(y + i).loadUnaligned(as: SIMD8<Scalar>.self)
            lanes += left * right
            i &+= 8
        }
        var sum: Scalar = 0
        for lane in 0..<8 { sum += lanes[lane] }
        while i < count {
            sum += x[i] * y[i]
            i &+= 1
        }
        return sum
    }
}
