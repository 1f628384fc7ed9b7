/// Which chunks of which versions of the weights a worker has.
///
/// A worker computes on one complete version while the next one arrives chunk by chunk. Shards may be
/// one version apart, so two incomplete versions can be open at once; a third is never needed.
public struct WeightAssembly: Hashable, Sendable {
    /// Most versions that may be incomplete at a time.
    public static let maximumOpenCount = 2

    public enum Arrival: Hashable, Sendable {
        /// Put the chunk into the buffer of its version; `complete` when it was the last one. Buffers
        /// of `abandoned` versions are not needed any more.
        case store(complete: Bool, abandoned: [Step])
        case drop
    }

    public let chunkCount: Int
    /// The newest version that is whole.
    public private(set) var complete: Step?
    private var open: [Step: Set<Int>] = [:]
    private var newest: [Step?]

    public init(chunkCount: Int) {
        self.chunkCount = chunkCount
        newest = Array(repeating: nil, count: chunkCount)
    }

    /// Whether a chunk would be stored.
    public func wants(chunk: Int, version: Step) -> Bool {
        guard newest.indices.contains(chunk), complete.map({ $0 < version }) ?? true else {
            return false
        }
        if let here = open[version] { return !here.contains(chunk) }
        return open.count < Self.maximumOpenCount || open.keys.contains { $0 < version }
    }

    /// Takes in one chunk.
    public mutating func receive(chunk: Int, version: Step) -> Arrival {
        guard newest.indices.contains(chunk) else { return .drop }
        newest[chunk] = max(newest[chunk] ?? version, version)
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

    /// The version to ask for: one that every shard can still give. Nil while nothing is known.
    public var wanted: Step? {
        let known = newest.compactMap { $0 }
        guard known.count == chunkCount, let oldest = known.min() else { return complete?.next }
        return max(oldest, complete?.next ?? oldest)
    }

    /// Chunks of the wanted version that are not here.
    public var missing: [Int] {
        guard let wanted else { return Array(0..<chunkCount) }
        let here = open[wanted] ?? []
        return (0..<chunkCount).filter { !here.contains($0) }
    }

    /// Forgets everything: the shards were put back to an earlier version.
    public mutating func reset() { self = WeightAssembly(chunkCount: chunkCount) }
}
