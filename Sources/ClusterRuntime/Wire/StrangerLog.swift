import ClusterProtocol
import Logging
import RunFiles
import ZeroMQ

/// Says once of each stranger why it was turned away, and of no more than so many strangers.
///
/// Threading: one thread's.
final class StrangerLog {
    /// Strangers that get a line; beyond it they are turned away without one.
    static let maximumCount = 1024

    private struct Stranger: Hashable {
        var address: String
        var reason: String
    }

    private let log: Logger
    private var counts: [Stranger: Int] = [:]

    init(_ log: Logger) { self.log = log }

    func note(address: NetworkAddress?, socket: String, reason: String) {
        note(address.map { "\($0)" } ?? "unknown", socket, reason, [:])
    }

    /// - Parameter allowed: the directory that a key would have to be in.
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
