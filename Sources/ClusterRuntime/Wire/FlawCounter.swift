import ClusterProtocol

/// How often each peer sent what it should not.
///
/// A name is free to choose, an address is not: so many peers of one address get a line, however many
/// names they make up.
struct FlawCounter {
    private static let maximumPeerCount = 1024
    private static let maximumPeerCountOfAddress = 8
    private var counts: [PeerIdentity?: Int] = [:]
    private var peerCounts: [String: Int] = [:]
    private(set) var total = 0

    /// Counts a flaw; true for a peer's first.
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
