import ClusterProtocol
import NeuralNetwork
import RunFiles

/// The sums of squares of the gradient's blocks, of this host's shards and of all others, and the
/// factor by which a step's gradient is clipped.
///
/// The sums of the present step and of the step before are kept: another host of shards may still
/// ask for the latter.
///
/// Threading: the shard service's thread only.
final class GradientSquares {
    private let clipping: GradientClipping
    private let plan: SlicePlan
    /// The blocks of each shard.
    private let blocks: [Range<Int>]
    /// The sums of even steps, then those of odd steps.
    private var sums: [[Double]]
    /// The factor of the step for which it was last asked.
    private var known: (step: Step, weightSum: Double, factor: Float)?

    /// Creates memory for the sums of a run; nil for a run without clipping.
    init?(_ clipping: GradientClipping?, _ material: RunMaterial) {
        guard let clipping else { return nil }
        self.clipping = clipping
        plan = material.slicePlan
        precondition(
            plan.granularity == GradientClipping.blockElementCount,
            "expected slices of whole blocks, found slices of \(plan.granularity)")
        blocks = plan.shards.map { [plan] in plan.blocks(of: plan.elements(of: $0) ?? 0..<0) }
        let zeros = [Double](repeating: 0, count: plan.blockCount)
        sums = [zeros, zeros]
    }

    /// Forgets the last factor, because the shards are put back.
    func clear() { known = nil }

    /// Computes the sums of a chunk of a step's gradient.
    func measure(chunk: ChunkIndex, step: Step, gradientSum: UnsafePointer<Float>) {
        let range = plan[chunk].range
        let first = plan.blocks(of: range).lowerBound
        sums[step.value & 1].withUnsafeMutableBufferPointer { sums in
            guard let base = sums.baseAddress else { return }
            clipping.measure(range, gradientSum: gradientSum, into: base + first)
        }
    }

    /// The number of bytes that the sums of a shard have; nil for an unknown shard.
    func byteCount(of shard: ShardIndex) -> Int? {
        blocks.indices.contains(shard.value)
            ? blocks[shard.value].count * MemoryLayout<Double>.size : nil
    }

    /// Returns the sums of a shard in a step, as they travel.
    func bytes(of shard: ShardIndex, step: Step) -> [UInt8] {
        guard blocks.indices.contains(shard.value) else { return [] }
        return sums[step.value & 1][blocks[shard.value]].map(\.bitPattern.littleEndian)
            .withUnsafeBytes { [UInt8]($0) }
    }

    /// Keeps the sums of another host's shard. The payload has the length that `byteCount` says.
    func keep(_ payload: Payload, of shard: ShardIndex, step: Step) {
        guard blocks.indices.contains(shard.value) else { return }
        payload.withUnsafeBytes { bytes in
            for (index, block) in blocks[shard.value].enumerated() {
                let word = bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)
                sums[step.value & 1][block] = Double(bitPattern: UInt64(littleEndian: word))
            }
        }
    }

    /// Returns the factor of a step's gradient. All sums of the step are here.
    func factor(step: Step, weightSum: Double) -> Float {
        if let known, known.step == step, known.weightSum == weightSum { return known.factor }
        let factor = sums[step.value & 1].withUnsafeBufferPointer {
            clipping.factor($0, weightSum: weightSum)
        }
        known = (step, weightSum, factor)
        return factor
    }

    /// Scales a chunk of the gradient; statistics stay as they are.
    func scale(
        chunk: ChunkIndex, gradientSum: UnsafePointer<Float>, by factor: Float,
        into result: UnsafeMutablePointer<Float>
    ) {
        clipping.scale(plan[chunk].range, gradientSum: gradientSum, by: factor, into: result)
    }
}
