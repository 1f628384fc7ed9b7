/// How the flat parameter vector is cut: one contiguous slice for each shard, and each slice into
/// chunks.
///
/// Each chunk travels as one message. A chunk is small enough to stay in cache and to overlap with the
/// work on the next one. There are few chunks, because each message wakes several threads one after the
/// other, which costs busy cores more than the bytes do.
///
/// A gradient becomes final layer by layer, from the end of the vector to its beginning. The first
/// layers are final last, and every process then waits for them. They therefore travel in chunks of
/// their own; the rest has been sent by then.
///
/// Everything that is done to chunks is elementwise, so no cut can change a bit. Only the clipping
/// of a gradient by its norm is not: it adds the squares of fixed blocks of elements, and no block
/// lies in two chunks (`granularity`).
public struct SlicePlan: Hashable, Sendable {
    /// A stretch of the parameter vector that travels as one message.
    public struct Chunk: Hashable, Sendable {
        /// The chunk's number in the plan, from 0.
        public var index: ChunkIndex
        /// The shard whose slice the chunk is part of.
        public var shard: ShardIndex
        /// The chunk's elements of the flat vector.
        public var range: Range<Int>
    }

    /// The highest number of elements in a chunk by default: 512 KiB of fp32.
    public static let defaultChunkElementCount = 1 << 17
    /// The first layers travel in chunks of their own once they have this many elements together.
    public static let headElementCount = 1 << 14
    /// Slices and chunks begin at multiples of this many elements, which are one cache line of fp32,
    /// unless the run needs larger blocks.
    public static let alignment = 16

    /// The number of elements in the flat parameter vector.
    public let parameterCount: Int
    /// The number of shards: as many as asked for, or fewer where a shard would be left without a
    /// parameter.
    public let shardCount: Int
    /// All chunks, in the order of the flat vector.
    public let chunks: [Chunk]
    /// Slices and chunks begin at multiples of this many elements, so that no block of so many
    /// elements is cut.
    public let granularity: Int

    /// Creates a plan.
    ///
    /// - Parameters:
    ///   - parameterCount: The number of elements in the flat parameter vector, at least 1.
    ///   - shardCount: The number of shards to cut the vector for, at least 1.
    ///   - layerStarts: Where the layers' parameters begin, ascending; empty when that is not known.
    ///   - chunkElementCount: The highest number of elements in a chunk, at least `granularity`.
    ///   - granularity: The number of elements of the blocks that are not cut.
    public init(
        parameterCount: Int, shardCount: Int, layerStarts: [Int] = [],
        chunkElementCount: Int = SlicePlan.defaultChunkElementCount,
        granularity: Int = SlicePlan.alignment
    ) {
        precondition(parameterCount > 0, "a plan needs parameters, not \(parameterCount)")
        precondition(shardCount > 0, "a plan needs shards, not \(shardCount)")
        precondition(granularity > 0, "blocks of \(granularity)")
        precondition(chunkElementCount >= granularity, "chunks of \(chunkElementCount)")
        self.parameterCount = parameterCount
        self.granularity = granularity
        let lines = (parameterCount + granularity - 1) / granularity
        let shardCount = min(shardCount, lines)
        self.shardCount = shardCount
        let head = Self.head(layerStarts, of: parameterCount, granularity)
        var chunks: [Chunk] = []
        for shard in 0..<shardCount {
            let lower = min(parameterCount, lines * shard / shardCount * granularity)
            let upper = min(parameterCount, lines * (shard + 1) / shardCount * granularity)
            let cut = min(max(lower, head), upper)
            for part in [lower..<cut, cut..<upper] {
                for range in Self.pieces(of: part, atMost: chunkElementCount, granularity) {
                    let index = ChunkIndex(chunks.count)
                    chunks.append(Chunk(index: index, shard: ShardIndex(shard), range: range))
                }
            }
        }
        self.chunks = chunks
    }

    /// Returns where the first layers end, moved up to the next multiple of `granularity`. The
    /// elements that the move adds belong to the next layer, which is final before the first layers
    /// are. Returns 0 when the first layers are more than half of the vector.
    private static func head(
        _ layerStarts: [Int], of parameterCount: Int, _ granularity: Int
    ) -> Int {
        let starts = layerStarts.map { ($0 + granularity - 1) / granularity * granularity }
        let head = starts.first { $0 >= headElementCount } ?? 0
        return head <= parameterCount / 2 ? head : 0
    }

    /// Cuts a range into as few parts as possible, of nearly equal length.
    private static func pieces(
        of range: Range<Int>, atMost bound: Int, _ granularity: Int
    ) -> [Range<Int>] {
        let lines = (range.count + granularity - 1) / granularity
        let count = min(lines, (range.count + bound - 1) / bound)
        return (0..<count).map { piece in
            let first = range.lowerBound + lines * piece / count * granularity
            let last = range.lowerBound + lines * (piece + 1) / count * granularity
            return first..<min(range.upperBound, last)
        }
    }

    /// The numbers of all chunks.
    public var chunkIndices: Range<ChunkIndex> { ChunkIndex(0)..<ChunkIndex(chunks.count) }

    /// Returns whether the plan has a chunk of this number.
    public func contains(_ chunk: ChunkIndex) -> Bool { chunks.indices.contains(chunk.value) }

    /// Returns the chunk of a number, which the plan must have.
    public subscript(chunk: ChunkIndex) -> Chunk { chunks[chunk.value] }

    /// Returns the chunks of one shard, in order; there is at least one.
    public func chunks(of shard: ShardIndex) -> [Chunk] { chunks.filter { $0.shard == shard } }

    /// The number of blocks of `granularity` elements in the vector; the last one may be shorter.
    public var blockCount: Int { (parameterCount + granularity - 1) / granularity }

    /// Returns the blocks that a range of elements consists of. The range begins with a block.
    public func blocks(of range: Range<Int>) -> Range<Int> {
        range.lowerBound / granularity..<(range.upperBound + granularity - 1) / granularity
    }

    /// Returns the elements of one shard; nil when the plan has no such shard.
    public func elements(of shard: ShardIndex) -> Range<Int>? {
        let mine = chunks(of: shard)
        guard let first = mine.first, let last = mine.last else { return nil }
        return first.range.lowerBound..<last.range.upperBound
    }

    /// Returns the numbers of all chunks in the order in which a worker sends them: chunks of shards in
    /// its own process come last.
    ///
    /// A shard in the same process would take the core as soon as its thread is woken, before the other
    /// shards are told.
    public func sendingOrder(own: Set<ShardIndex>) -> [ChunkIndex] {
        let isOwn = chunks.map { own.contains($0.shard) }
        return chunkIndices.filter { !isOwn[$0.value] } + chunkIndices.filter { isOwn[$0.value] }
    }

    /// The indices of all shards, ascending.
    public var shards: [ShardIndex] { (0..<shardCount).map(ShardIndex.init) }
}
