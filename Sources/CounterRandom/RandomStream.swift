/// What a random number is for: numbers of one purpose never repeat another's.
public enum RandomPurpose: UInt64, Sendable {
    case initialWeights = 1
    case partitionOrder = 2
    case recordOrder = 3
    case dropout = 4
    case augmentation = 5
    case simulation = 6
}

/// A sequence of random numbers named by (seed, purpose, two indices); reading it twice gives it twice.
///
/// Determinism: every value is a pure function of the name and the position.
public struct RandomStream: RandomNumberGenerator, Sendable {
    private let philox: Philox
    /// The key of the words.
    public let key: UInt64
    /// The upper half of the words' counters; the lower counts from 0.
    public let high: UInt64
    private var low: UInt64 = 0
    private var words = SIMD4<UInt32>()
    private var next32Index = 4

    /// - Parameters:
    ///   - seed: the run's seed.
    ///   - purpose: what the numbers are for.
    ///   - first: an index within the purpose, for instance the epoch.
    ///   - second: a second index, for instance the layer or virtual worker.
    public init(seed: UInt64, purpose: RandomPurpose, _ first: UInt64 = 0, _ second: UInt64 = 0) {
        key = mix64(seed ^ mix64(purpose.rawValue))
        philox = Philox(key: key)
        high = mix64(mix64(first) ^ (second &+ 0x9E37_79B9_7F4A_7C15))
    }

    /// The next 32 random bits.
    public mutating func next32() -> UInt32 {
        if next32Index == 4 {
            words = philox.words(at: low, high)
            low &+= 1
            next32Index = 0
        }
        defer { next32Index += 1 }
        return words[next32Index]
    }

    public mutating func next() -> UInt64 {
        UInt64(next32()) | UInt64(next32()) << 32
    }

    /// A number in [0, 1), a multiple of 2⁻²⁴, exact in Float.
    public mutating func nextUniform() -> Float {
        Float(next32() >> 8) * 0x1p-24
    }

    /// A whole number in 0..<bound without bias (Lemire's multiply and reject).
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

/// Scatters 64 bits over 64 bits, one to one.
/// Source: the finalizer of SplitMix64, Steele, Lea, Flood (OOPSLA 2014).
@inlinable
public func mix64(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
}
