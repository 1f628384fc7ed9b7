import CKernels

/// Clipping of a gradient by its global norm: a gradient with a larger norm is scaled to the limit.
///
/// Math: g ← g · min(1, limit / (‖g‖ + 1e-6)), with g the mean gradient over the global batch.
/// Statistics are no gradients: they are neither counted nor scaled. A norm that is not a number
/// makes the whole gradient not a number.
///
/// Determinism: the squares are added in double precision, in an order that the length of the flat
/// vector fixes. The vector is cut into blocks of ``blockElementCount`` elements. Within a block
/// element i goes to sum i mod 8, and the eight sums are added in pairs. The blocks are added along
/// the complete binary tree over their numbers. So a vector may be cut anywhere between blocks.
///
/// Source: torch.nn.utils.clip_grad_norm_. PyTorch adds the squares of each tensor in float, in an
/// order that depends on the host.
public struct GradientClipping: Sendable, Hashable {
    /// The number of elements of a block, whose squares one process adds.
    public static let blockElementCount = 1024

    /// The largest norm that a gradient keeps.
    public let limit: Double
    /// The elements of the flat vector that are a gradient.
    private let trained: Range<Int>
    private let elementCount: Int

    /// Creates the clipping for a network.
    public init(limit: Double, _ parameters: ParameterLayout) {
        precondition(limit > 0, "expected a limit above 0, found \(limit)")
        self.limit = limit
        elementCount = parameters.activeCount
        trained = 0..<parameters.statistics.lowerBound
    }

    /// The number of blocks of the flat vector; the last one may be shorter.
    public var blockCount: Int {
        (elementCount + Self.blockElementCount - 1) / Self.blockElementCount
    }

    /// Computes the sums of squares of the blocks of a range.
    ///
    /// - Parameters:
    ///   - range: elements of the flat vector: whole blocks.
    ///   - gradientSum: the gradient, summed over the records; it begins with the range.
    ///   - sums: receives a sum for each block of the range.
    public func measure(
        _ range: Range<Int>, gradientSum: UnsafePointer<Float>,
        into sums: UnsafeMutablePointer<Double>
    ) {
        let size = Self.blockElementCount
        precondition(range.lowerBound.isMultiple(of: size), "a range that begins in a block")
        for (index, start) in stride(from: range.lowerBound, to: range.upperBound, by: size)
            .enumerated()
        {
            let block = start..<min(start + size, range.upperBound)
            var lanes = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            let part = trained.clamped(to: block)
            withUnsafeMutablePointer(to: &lanes) { lanes in
                lanes.withMemoryRebound(to: Double.self, capacity: 8) { lanes in
                    convoy_add_squares(
                        lanes, gradientSum + (start - range.lowerBound), part.count)
                }
            }
            sums[index] =
                ((lanes.0 + lanes.1) + (lanes.2 + lanes.3))
                + ((lanes.4 + lanes.5) + (lanes.6 + lanes.7))
        }
    }

    /// Returns the factor of a gradient; 1 leaves the gradient as it is.
    ///
    /// - Parameters:
    ///   - sums: the sums of squares of all blocks of the flat vector.
    ///   - weightSum: the sum of the weights of the records that the gradient was summed over. With
    ///     a sum of 0, as in an update, it is divided by 1.
    public func factor(_ sums: UnsafeBufferPointer<Double>, weightSum: Double) -> Float {
        let norm = Self.total(sums).squareRoot() / BatchStatistics.divisor(weightSum)
        let factor = limit / (norm + 1e-6)
        return factor >= 1 ? 1 : Float(factor)
    }

    /// Returns the sum of blocks, along the complete binary tree over their numbers.
    private static func total(_ sums: UnsafeBufferPointer<Double>) -> Double {
        guard sums.count > 1 else { return sums.first ?? 0 }
        // The left subtree is the largest that is complete and not the whole.
        let half = 1 << (Int.bitWidth - 1 - (sums.count - 1).leadingZeroBitCount)
        return total(UnsafeBufferPointer(rebasing: sums[..<half]))
            + total(UnsafeBufferPointer(rebasing: sums[half...]))
    }

    /// Scales the gradient in a range of the flat vector; statistics stay as they are.
    ///
    /// - Parameters:
    ///   - range: elements of the flat vector.
    ///   - gradientSum: the gradient, which begins with the range.
    ///   - factor: the factor.
    ///   - result: receives the scaled elements; it may be `gradientSum`.
    public func scale(
        _ range: Range<Int>, gradientSum: UnsafePointer<Float>, by factor: Float,
        into result: UnsafeMutablePointer<Float>
    ) {
        let count = trained.clamped(to: range).count
        convoy_scale_all(result, gradientSum, factor, count)
        guard result != gradientSum else { return }
        (result + count).update(from: gradientSum + count, count: range.count - count)
    }
}
