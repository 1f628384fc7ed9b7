/// How the flat parameter vector is cut: one contiguous slice a shard, each slice into chunks.
///
/// Chunks are what travels: small enough to stay in cache and to overlap with the work on the next,
/// but few, because each message wakes several threads in turn, and cores that compute lose more by
/// that than by the bytes. A gradient becomes final layer by layer, from the end of the vector to its
/// beginning, so the first layers, which are final last and which everybody waits for then, travel by
/// themselves: the rest has gone its way meanwhile. Everything done to chunks is elementwise, so no cut
/// can change a bit.
public struct SlicePlan: Hashable, Sendable {
    /// A stretch of the parameter vector that travels as one message.
    public struct Chunk: Hashable, Sendable {
        public var index: Int
        public var shard: ShardIndex
        /// Elements of the flat vector.
        public var range: Range<Int>
    }

    /// Most elements of a chunk unless told otherwise: 512 KiB of fp32.
    public static let defaultChunkElementCount = 1 << 17
    /// The first layers travel by themselves as soon as they have so many elements.
    public static let headElementCount = 1 << 14
    /// Slices and chunks begin at multiples of this many elements, a cache line.
    public static let alignment = 16

    public let parameterCount: Int
    /// As asked for, or less where that would leave a shard without a parameter.
    public let shardCount: Int
    public let chunks: [Chunk]

    /// - Parameter layerStarts: where the layers' parameters begin, rising; none are known when empty.
    public init(
        parameterCount: Int, shardCount: Int, layerStarts: [Int] = [],
        chunkElementCount: Int = SlicePlan.defaultChunkElementCount
    ) {
        precondition(parameterCount > 0, "a plan needs parameters, not \(parameterCount)")
        precondition(shardCount > 0, "a plan needs shards, not \(shardCount)")
        precondition(chunkElementCount >= Self.alignment, "chunks of \(chunkElementCount)")
        self.parameterCount = parameterCount
        let lines = (parameterCount + Self.alignment - 1) / Self.alignment
        let shardCount = min(shardCount, lines)
        self.shardCount = shardCount
        let head = Self.head(layerStarts, of: parameterCount)
        var chunks: [Chunk] = []
        for shard in 0..<shardCount {
            let lower = min(parameterCount, lines * shard / shardCount * Self.alignment)
            let upper = min(parameterCount, lines * (shard + 1) / shardCount * Self.alignment)
            let cut = min(max(lower, head), upper)
            for part in [lower..<cut, cut..<upper] {
                for range in Self.pieces(of: part, atMost: chunkElementCount) {
                    chunks.append(
                        Chunk(index: chunks.count, shard: ShardIndex(shard), range: range))
                }
            }
        }
        self.chunks = chunks
    }

    /// Where the first layers end, moved up to the next multiple: what lies before it then is final
    /// already. Zero when what follows is less than they are.
    private static func head(_ layerStarts: [Int], of parameterCount: Int) -> Int {
        let starts = layerStarts.map { ($0 + alignment - 1) / alignment * alignment }
        let head = starts.first { $0 >= headElementCount } ?? 0
        return head <= parameterCount / 2 ? head : 0
    }

    /// As few as possible, of nearly the same length.
    private static func pieces(of range: Range<Int>, atMost bound: Int) -> [Range<Int>] {
        let count = (range.count + bound - 1) / bound
        let lines = (range.count + alignment - 1) / alignment
        return (0..<count).map { piece in
            let first = range.lowerBound + lines * piece / count * alignment
            let last = range.lowerBound + lines * (piece + 1) / count * alignment
            return first..<min(range.upperBound, last)
        }
    }

    /// The chunks of one shard, in order; never empty.
    public func chunks(of shard: ShardIndex) -> [Chunk] { chunks.filter { $0.shard == shard } }

    /// The numbers of all chunks in the order that a worker sends them in: those of its own process's
    /// shards last. Their thread would take the core when it is woken, before the others are told.
    public func sendingOrder(own: Set<ShardIndex>) -> [Int] {
        let isOwn = chunks.map { own.contains($0.shard) }
        return chunks.indices.filter { !isOwn[$0] } + chunks.indices.filter { isOwn[$0] }
    }

    public var shards: [ShardIndex] { (0..<shardCount).map(ShardIndex.init) }
}
