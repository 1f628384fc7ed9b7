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
        var counts = [Int](repeating: 0, count: candidates.count)
        for _ in 0..<leafCount {
            // The next leaf goes where it is finished first.
            let best = counts.indices.min {
                let a = Double(counts[$0] + 1) / candidates[$0].weight
                let b = Double(counts[$1] + 1) / candidates[$1].weight
                return (a, $0) < (b, $1)
            }
            counts[best ?? 0] += 1
        }
        var deal: Deal = [:]
        var next = 0
        for (candidate, count) in zip(candidates, counts) {
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
        for leaf in (0..<leafCount) where !owned.contains(leaf) {
            let best = candidates.indices.min {
                let a = Double((result[candidates[$0].identity]?.count ?? 0) + 1)
                let b = Double((result[candidates[$1].identity]?.count ?? 0) + 1)
                return (a / candidates[$0].weight, $0) < (b / candidates[$1].weight, $1)
            }
            if let best { result[candidates[best].identity]?.append(leaf) }
        }
        return result.mapValues { $0.sorted() }
    }
}
