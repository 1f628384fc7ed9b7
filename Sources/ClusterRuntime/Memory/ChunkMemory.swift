import Buffers
import ClusterProtocol
import RunFiles

/// Memory for sums of chunks as they travel, and their addition.
///
/// Threading: one thread only.
final class ChunkMemory {
    private let plan: SlicePlan
    private let precision: WirePrecision
    private var pools: [Int: FloatBufferPool] = [:]

    /// Creates memory for the chunks of a run.
    init(_ material: RunMaterial) {
        plan = material.slicePlan
        precision = material.wire.precision
    }

    /// Returns memory for a chunk's elements as floats.
    func floats(chunk: Int) -> FloatBuffer { take(plan.chunks[chunk].range.count) }

    /// Returns memory for a chunk as it travels, and the length of its content in bytes.
    func packed(chunk: Int) -> (buffer: FloatBuffer, byteCount: Int) {
        let byteCount = precision.byteCount(elementCount: plan.chunks[chunk].range.count)
        return (take(FloatBuffer.count(forBytes: byteCount)), byteCount)
    }

    /// Returns the sum of two packed sums of a chunk.
    func sum(_ left: Payload, _ right: Payload, chunk: Int) -> Payload {
        let (result, byteCount) = packed(chunk: chunk)
        let count = plan.chunks[chunk].range.count
        left.withAlignedPointer { left in
            right.withAlignedPointer { right in
                precision.add(left, right, into: result.pointer, count: count)
            }
        }
        return .buffer(result, byteCount: byteCount)
    }

    private func take(_ count: Int) -> FloatBuffer {
        if let pool = pools[count] { return pool.take() }
        let pool = FloatBufferPool(count: count)
        pools[count] = pool
        return pool.take()
    }
}

extension TreeSums<Payload> {
    /// Adds two siblings of a chunk, which must be present.
    mutating func add(_ merge: NodeSet.Merge, of chunk: Int, in memory: ChunkMemory) {
        let isAdded = add(merge) { memory.sum($0, $1, chunk: chunk) }
        precondition(isAdded, "a merge of \(merge) without its sums")
    }
}
