/// Deals virtual workers to workers. No deal can change a result, only how long it takes.
public enum AssignmentPlanner {
    /// A worker and how much of the work it should get, relative to the others.
    public struct Candidate: Hashable, Sendable {
        public var identity: PeerIdentity
        public var weight: Double

        public init(identity: PeerIdentity, weight: Double) {
            self.identity = identity
            self.weight = weight
        }
    }

    public typealias Deal = [PeerIdentity: [Int]]

    /// Contiguous shares in the order of `candidates`, as near to their weights as whole numbers allow.
    public static func contiguous(leafCount: Int, candidates: [Candidate]) -> Deal {
        guard !candidates.isEmpty else { return [:] }
        var queue = LoadQueue(candidates.map { (0, $0.weight) })
        for _ in 0..<leafCount { _ = queue.take() }
        var deal: Deal = [:]
        var next = 0
        for (candidate, count) in zip(candidates, queue.counts) {
            deal[candidate.identity] = Array(next..<(next + count))
            next += count
        }
        return deal
    }

    /// Everyone keeps what they have; leaves nobody has go to those who finish them first.
    public static func completed(_ deal: Deal, leafCount: Int, candidates: [Candidate]) -> Deal {
        guard !candidates.isEmpty else { return [:] }
        var result: Deal = [:]
        for candidate in candidates { result[candidate.identity] = deal[candidate.identity] ?? [] }
        let owned = Set(result.values.joined())
        var queue = LoadQueue(
            candidates.map { (result[$0.identity]?.count ?? 0, $0.weight) })
        for leaf in (0..<leafCount) where !owned.contains(leaf) {
            result[candidates[queue.take()].identity]?.append(leaf)
        }
        return result.mapValues { $0.sorted() }
    }
}
