/// The chunks that a worker has of each version of the weights.
///
/// A worker computes with one complete version while the next one arrives chunk by chunk. Shards
/// may be one version apart, so two incomplete versions can be open at once; a third is never
/// needed.
public struct WeightAssembly: Hashable, Sendable {
    /// The highest number of versions that may be incomplete at a time.
    public static let maximumOpenCount = 2

    /// What to do with a chunk that has come.
    public enum Arrival: Hashable, Sendable {
        /// Put the chunk into the buffer of its version; `complete` says whether it was the last
        /// one. The buffers of `abandoned` versions are not needed any more.
        case store(complete: Bool, abandoned: [Step])
        /// Drop the chunk.
        case drop
    }

    /// The number of chunks in a version.
    public let chunkCount: Int
    /// The newest version that is complete; nil before there is one.
    public private(set) var complete: Step?
    /// The chunks that have come of each incomplete version.
    private var open: [Step: Set<ChunkIndex>] = [:]
    /// The newest version seen of each chunk.
    private var newest: [Step?]

    /// Creates an assembly without weights.
    public init(chunkCount: Int) {
        self.chunkCount = chunkCount
        newest = Array(repeating: nil, count: chunkCount)
    }

    /// Returns whether a chunk would be stored.
    public func wants(chunk: ChunkIndex, version: Step) -> Bool {
        guard newest.indices.contains(chunk.value), complete.map({ $0 < version }) ?? true else {
            return false
        }
        if let here = open[version] { return !here.contains(chunk) }
        return open.count < Self.maximumOpenCount || open.keys.contains { $0 < version }
    }

    /// Takes in a chunk and returns what to do with it.
    public mutating func receive(chunk: ChunkIndex, version: Step) -> Arrival {
        guard newest.indices.contains(chunk.value) else { return .drop }
        newest[chunk.value] = max(newest[chunk.value] ?? version, version)
        if let complete, version <= complete { return .drop }
        var abandoned: [Step] = []
        if open[version] == nil, open.count == Self.maximumOpenCount, let oldest = open.keys.min() {
            guard version > oldest else { return .drop }
            open[oldest] = nil
            abandoned.append(oldest)
        }
        guard open[version, default: []].insert(chunk).inserted else { return .drop }
        guard open[version]?.count == chunkCount else {
            return .store(complete: false, abandoned: abandoned)
        }
        complete = version
        for older in open.keys.sorted() where older <= version {
            if older < version { abandoned.append(older) }
            open[older] = nil
        }
        return .store(complete: true, abandoned: abandoned)
    }

    /// The version to ask for, which every shard can still send. Nil while no version is complete
    /// and some chunk was never seen.
    public var wanted: Step? {
        let known = newest.compactMap { $0 }
        guard known.count == chunkCount, let oldest = known.min() else { return complete?.next }
        return max(oldest, complete?.next ?? oldest)
    }

    /// The chunks of the wanted version that have not come, ascending.
    public var missing: [ChunkIndex] {
        let all = ChunkIndex(0)..<ChunkIndex(chunkCount)
        guard let wanted else { return Array(all) }
        let here = open[wanted] ?? []
        return all.filter { !here.contains($0) }
    }

    /// Forgets everything, because the shards were put back to an earlier version.
    public mutating func reset() { self = WeightAssembly(chunkCount: chunkCount) }
}
