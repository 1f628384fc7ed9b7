import ClusterProtocol
import Logging
import RunFiles
import ZeroMQ

/// Logs once for each rejected peer why it was rejected, for a limited number of peers.
///
/// Threading: one thread only.
final class StrangerLog {
    /// The number of rejected peers that get a line in the log. Beyond it peers are rejected
    /// without a line.
    static let maximumCount = 1024

    /// A rejected peer: its address, and the reason with its key.
    private struct Stranger: Hashable {
        var address: String
        var reason: String
    }

    private let log: Logger
    private var counts: [Stranger: Int] = [:]

    /// Creates a log without entries.
    init(_ log: Logger) { self.log = log }

    /// Logs that a connection failed.
    ///
    /// - Parameters:
    ///   - address: the peer's address, if it is known.
    ///   - socket: the name of the socket that the peer connected to.
    ///   - reason: the reason, in words.
    func note(address: NetworkAddress?, socket: String, reason: String) {
        note(address.map { "\($0)" } ?? "unknown", socket, reason, [:])
    }

    /// Logs that the authenticator refused a peer.
    ///
    /// - Parameter allowed: the directory that would have to contain the peer's key.
    func note(_ refusal: ZapAuthenticator.Refusal, allowed: String) {
        let address = NetworkAddress(refusal.address).map { "\($0)" } ?? refusal.address
        switch refusal.reason {
        case .unlistedKey:
            let key = refusal.publicKey ?? ""
            note(
                address, refusal.domain,
                "its key is not in \(allowed); put its node.public there to let it in",
                ["peer.key": "\(key)"])
        case .otherMechanism(let name):
            note(address, refusal.domain, "it uses \(name.prefix(20)) instead of keys", [:])
        case .malformedRequest: note(address, refusal.domain, "its key is malformed", [:])
        }
    }

    private func note(
        _ address: String, _ socket: String, _ reason: String, _ more: Logger.Metadata
    ) {
        let key = more["peer.key"].map { "\($0)" } ?? ""
        let stranger = Stranger(address: address, reason: reason + key)
        guard counts[stranger] != nil || counts.count < Self.maximumCount else { return }
        counts[stranger, default: 0] += 1
        guard counts[stranger] == 1 else { return }
        log.warning(
            "turned a connection away",
            metadata: more.merging([
                LogKey.peerAddress: "\(address)", "net.socket": "\(socket)",
                LogKey.reason: "\(reason)",
            ]) { $1 })
        if counts.count == Self.maximumCount {
            log.warning("turned many strangers away; from now on without a line for each")
        }
    }
}
