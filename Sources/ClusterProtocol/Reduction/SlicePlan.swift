/// How the flat parameter vector is cut: one contiguous slice a shard, each slice into chunks.
///
/// Chunks are what travels: small enough to stay in cache and to overlap with the work on the next,
/// large enough that a message's fixed cost does not count. Everything done to them is elementwise, so
/// no cut can change a bit.
public struct SlicePlan: Hashable, Sendable {
    /// A stretch of the parameter vector that travels as one message.
    public struct Chunk: Hashable, Sendable {
        public var index: Int
        public var shard: ShardIndex
        /// Elements of the flat vector.
        public var range: Range<Int>
    }

    /// Elements of a chunk unless told otherwise: 256 KiB of fp32.
    public static let defaultChunkElementCount = 1 << 16
    /// Slices and chunks begin at multiples of this many elements, a cache line.
    public static let alignment = 16

    public let parameterCount: Int
    /// As asked for, or less where that would leave a shard without a parameter.
    public let shardCount: Int
    public let chunks: [Chunk]

    public init(
        parameterCount: Int, shardCount: Int,
        chunkElementCount: Int = SlicePlan.defaultChunkElementCount
    ) {
        precondition(parameterCount > 0, "a plan needs parameters, not \(parameterCount)")
        precondition(shardCount > 0, "a plan needs shards, not \(shardCount)")
        precondition(chunkElementCount >= Self.alignment, "chunks of \(chunkElementCount)")
        self.parameterCount = parameterCount
        let lines = (parameterCount + Self.alignment - 1) / Self.alignment
        let shardCount = min(shardCount, lines)
        self.shardCount = shardCount
        var chunks: [Chunk] = []
        for shard in 0..<shardCount {
            let lower = min(parameterCount, lines * shard / shardCount * Self.alignment)
            let upper = min(parameterCount, lines * (shard + 1) / shardCount * Self.alignment)
            let count = max(0, upper - lower)
            let pieces = (count + chunkElementCount - 1) / chunkElementCount
            let pieceLines = (count + Self.alignment - 1) / Self.alignment
            for piece in 0..<pieces {
                let first = lower + pieceLines * piece / pieces * Self.alignment
                let last = min(upper, lower + pieceLines * (piece + 1) / pieces * Self.alignment)
                chunks.append(
                    Chunk(index: chunks.count, shard: ShardIndex(shard), range: first..<last))
            }
        }
        self.chunks = chunks
    }

    /// The chunks of one shard, in order; never empty.
    public func chunks(of shard: ShardIndex) -> [Chunk] { chunks.filter { $0.shard == shard } }

    public var shards: [ShardIndex] { (0..<shardCount).map(ShardIndex.init) }
}
