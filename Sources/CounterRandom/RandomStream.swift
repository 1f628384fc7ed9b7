/// The purpose of a stream of random numbers. Streams of different purposes are independent, even
/// for the same seed and indices.
///
/// The raw values are part of the numbers: never change or reuse one.
public enum RandomPurpose: UInt64, Sendable {
    case initialWeights = 1
    case partitionOrder = 2
    case recordOrder = 3
    case dropout = 4
    case augmentation = 5
    case simulation = 6
}

/// A sequence of random numbers named by a seed, a purpose and two indices. Two streams with the
/// same name give the same numbers.
///
/// Determinism: every value is a pure function of the name and the position in the stream.
public struct RandomStream: RandomNumberGenerator, Sendable {
    private let philox: Philox
    /// The Philox key of the stream.
    public let key: UInt64
    /// The upper half of the Philox counter. The lower half counts from 0.
    public let high: UInt64
    private var low: UInt64 = 0
    private var words = SIMD4<UInt32>()
    private var next32Index = 4

    /// Creates the stream with this name, at its beginning.
    ///
    /// - Parameters:
    ///   - seed: Seed of the run.
    ///   - purpose: What the numbers are for.
    ///   - first: An index within the purpose, for instance the epoch.
    ///   - second: A second index, for instance the layer or virtual worker.
    public init(seed: UInt64, purpose: RandomPurpose, _ first: UInt64 = 0, _ second: UInt64 = 0) {
        key = mix64(seed ^ mix64(purpose.rawValue))
        philox = Philox(key: key)
        high = mix64(mix64(first) ^ (second &+ 0x9E37_79B9_7F4A_7C15))
    }

    /// Returns the next 32 random bits.
    public mutating func next32() -> UInt32 {
        if next32Index == 4 {
            words = philox.words(at: low, high)
            low &+= 1
            next32Index = 0
        }
        defer { next32Index += 1 }
        return words[next32Index]
    }

    /// Returns the next 64 random bits.
    public mutating func next() -> UInt64 {
        UInt64(next32()) | UInt64(next32()) << 32
    }

    /// Returns a number in [0, 1). It is a multiple of 2⁻²⁴ and exact in Float.
    public mutating func nextUniform() -> Float {
        Float(next32() >> 8) * 0x1p-24
    }

    /// Returns an integer in 0..<bound without bias (Lemire's multiply and reject). `bound` is from
    /// 1 to 2³² - 1.
    public mutating func next(below bound: Int) -> Int {
        precondition(bound > 0 && bound <= Int(UInt32.max), "bound \(bound) is outside 1...2^32-1")
        let range = UInt32(bound)
        var product = UInt64(next32()) &* UInt64(range)
        if UInt32(truncatingIfNeeded: product) < range {
            let threshold = (0 &- range) % range
            while UInt32(truncatingIfNeeded: product) < threshold {
                product = UInt64(next32()) &* UInt64(range)
            }
        }
        return Int(product >> 32)
    }

    /// Puts `elements` into a random order (Fisher and Yates, from the end).
    public mutating func shuffle<Element>(_ elements: inout [Element]) {
        guard elements.count > 1 else { return }
        for last in stride(from: elements.count - 1, to: 0, by: -1) {
            elements.swapAt(last, next(below: last + 1))
        }
    }
}

/// Maps 64 bits to 64 scattered bits, one to one.
///
/// Source: the finalizer of SplitMix64, Steele, Lea, Flood (OOPSLA 2014).
@inlinable
public func mix64(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
}
