import ClusterProtocol

/// Counts the malformed messages of each peer, and tells which of them to log.
///
/// A peer is free to choose its name, but not its address. So only a few peers of one address get a
/// line in the log, however many names they make up.
struct FlawCounter {
    /// The number of peers that are counted at most; flaws of further peers count in `total` only.
    private static let maximumPeerCount = 1024
    /// The number of peers of one address that are counted at most.
    private static let maximumPeerCountOfAddress = 8
    private var counts: [PeerIdentity?: Int] = [:]
    private var peerCounts: [String: Int] = [:]
    /// The number of flaws of all peers.
    private(set) var total = 0

    /// Counts a flaw and returns whether to log it: true for the first one of a peer, as long as
    /// the limits on counted peers allow it.
    mutating func isFirst(from peer: PeerIdentity?, at address: String? = nil) -> Bool {
        total += 1
        if let count = counts[peer] {
            counts[peer] = count + 1
            return false
        }
        guard counts.count < Self.maximumPeerCount else { return false }
        if let address {
            guard peerCounts[address, default: 0] < Self.maximumPeerCountOfAddress else {
                return false
            }
            peerCounts[address, default: 0] += 1
        }
        counts[peer] = 1
        return true
    }
}
