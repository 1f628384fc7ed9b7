/// A number that the reference layers compute with: Float, or Double to check them.
public protocol ReferenceScalar: BinaryFloatingPoint, SIMDScalar, Codable, Sendable {}

extension Float: ReferenceScalar {}
extension Double: ReferenceScalar {}

/// The inner loops of the reference layers.
///
/// Determinism: the order is fixed and nothing is contracted to fused multiply-adds, so every host
/// gives the same bits.
enum ReferenceLoops {
    /// Computes x[i] = max(x[i], 0). A NaN stays a NaN.
    static func rectify<Scalar: ReferenceScalar>(_ x: UnsafeMutablePointer<Scalar>, _ count: Int) {
        for i in 0..<count where x[i] <= 0 { x[i] = 0 }
    }

    /// Sets gradient[i] to 0 where a ReLU gave 0.
    static func mask<Scalar: ReferenceScalar>(
        _ gradient: UnsafeMutablePointer<Scalar>, _ output: UnsafePointer<Scalar>, _ count: Int
    ) {
        for i in 0..<count where output[i] <= 0 { gradient[i] = 0 }
    }

    /// Computes out[i] += factor · x[i].
    @inline(__always)
    static func addScaled<Scalar: ReferenceScalar>(
        _ out: UnsafeMutablePointer<Scalar>, _ factor: Scalar, _ x: UnsafePointer<Scalar>,
        _ count: Int
    ) {
        for i in 0..<count { out[i] += factor * x[i] }
    }

    /// Returns Σ x[i] · y[i]. Eight sums, each over every eighth element, are added from the first
    /// to the last; elements beyond the last whole group of eight follow one by one.
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
