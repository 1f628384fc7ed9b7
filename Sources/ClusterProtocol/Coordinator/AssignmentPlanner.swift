/// Deals virtual workers to workers. A deal affects how long a step takes, never its result.
public enum AssignmentPlanner {
    /// A worker that can be dealt virtual workers.
    public struct Candidate: Hashable, Sendable {
        /// The worker's name.
        public var identity: PeerIdentity
        /// The worker's share of the work, relative to the weights of the others; above 0.
        public var weight: Double

        /// Creates a candidate.
        public init(identity: PeerIdentity, weight: Double) {
            self.identity = identity
            self.weight = weight
        }
    }

    /// The virtual workers of each worker, ascending.
    public typealias Deal = [PeerIdentity: [VirtualWorkerIndex]]

    /// Deals pieces of work, for instance virtual workers: contiguous shares in the order of
    /// `candidates`, as near to their weights as whole numbers allow.
    public static func contiguous<Piece>(
        _ pieces: some Sequence<Piece>, candidates: [Candidate]
    ) -> [PeerIdentity: [Piece]] {
        guard !candidates.isEmpty else { return [:] }
        var queue = LoadQueue(candidates.map { (0, $0.weight) })
        var rest = Array(pieces)[...]
        for _ in rest { _ = queue.take() }
        var deal: [PeerIdentity: [Piece]] = [:]
        for (candidate, count) in zip(candidates, queue.counts) {
            deal[candidate.identity] = Array(rest.prefix(count))
            rest = rest.dropFirst(count)
        }
        return deal
    }

    /// Returns a deal in which all candidates keep what they have, and each virtual worker that no
    /// candidate has goes to the candidate that would be done with it first.
    public static func completed(
        _ deal: Deal, of virtualWorkers: Range<VirtualWorkerIndex>, candidates: [Candidate]
    ) -> Deal {
        guard !candidates.isEmpty else { return [:] }
        var result: Deal = [:]
        for candidate in candidates { result[candidate.identity] = deal[candidate.identity] ?? [] }
        let owned = Set(result.values.joined())
        var queue = LoadQueue(
            candidates.map { (result[$0.identity]?.count ?? 0, $0.weight) })
        for virtualWorker in virtualWorkers where !owned.contains(virtualWorker) {
            result[candidates[queue.take()].identity]?.append(virtualWorker)
        }
        return result.mapValues { $0.sorted() }
    }
}
