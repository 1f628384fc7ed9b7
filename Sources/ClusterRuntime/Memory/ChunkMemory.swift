import Buffers
import ClusterProtocol
import RunFiles

/// Memory for chunks, as floats and as they travel, and the addition of sums of chunks.
///
/// Threading: one thread only.
final class ChunkMemory {
    private let plan: SlicePlan
    private let precision: WirePrecision
    private let isShared: Bool
    /// The pools, by the number of floats.
    private var pools: [Int: FloatBufferPool] = [:]

    /// Creates memory for the chunks of a run.
    ///
    /// - Parameters:
    ///   - material: the run.
    ///   - isShared: whether other processes of this host can read the memory.
    init(_ material: RunMaterial, isShared: Bool = false) {
        plan = material.slicePlan
        precision = material.wire.precision
        self.isShared = isShared
    }

    /// Returns memory for a chunk's elements as floats.
    func floats(chunk: ChunkIndex) -> FloatBuffer { take(chunk: chunk, .fp32).buffer }

    /// Returns memory for a sum of a chunk as it travels, and the length of its content in bytes.
    func packed(chunk: ChunkIndex) -> (buffer: FloatBuffer, byteCount: Int) {
        take(chunk: chunk, precision)
    }

    /// Returns memory for a chunk in a precision, and the length of its content in bytes.
    func take(chunk: ChunkIndex, _ precision: WirePrecision) -> (
        buffer: FloatBuffer, byteCount: Int
    ) {
        let byteCount = precision.byteCount(elementCount: plan[chunk].range.count)
        let count = FloatBuffer.count(forBytes: byteCount)
        if let pool = pools[count] { return (pool.take(), byteCount) }
        let pool = FloatBufferPool(count: count, isShared: isShared)
        pools[count] = pool
        return (pool.take(), byteCount)
    }

    /// Returns the sum of two packed sums of a chunk.
    func sum(_ left: Payload, _ right: Payload, chunk: ChunkIndex) -> Payload {
        let (result, byteCount) = packed(chunk: chunk)
        let count = plan[chunk].range.count
        left.withAlignedPointer { left in
            right.withAlignedPointer { right in
                precision.add(left, right, into: result.pointer, count: count)
            }
        }
        return .buffer(result, byteCount: byteCount)
    }
}

extension TreeSums<Payload> {
    /// Adds two siblings of a chunk, which must be present.
    mutating func add(_ merge: NodeSet.Merge, of chunk: ChunkIndex, in memory: ChunkMemory) {
        let isAdded = add(merge) { memory.sum($0, $1, chunk: chunk) }
        precondition(isAdded, "a merge of \(merge) without its sums")
    }
}
