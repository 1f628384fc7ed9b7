import ClusterProtocol
import ZeroMQ

/// Makes out of a monitor's events which connections have closed, and which never came about.
///
/// libzmq names a connection's descriptor when it is accepted and when it closes, but not when its
/// handshake succeeds or fails. A failure is followed at once by the close of its connection. A success
/// is somebody's: with one connection in question it is that one's, with several it might be any's,
/// and then none of them is called a stranger.
///
/// Nor does it tell of a frame beyond the limit, for which it closes the connection without a word. Where
/// every peer speaks as soon as it is connected, a connection that closes without a message is
/// therefore a stranger's, whatever became of its handshake.
struct ConnectionWatch {
    enum Change: Equatable {
        case closed(Int32)
        /// The peer's address, where it could still be found out.
        case failed(NetworkAddress?, reason: String)
    }

    static let silentReason =
        "it closed the connection, or sent what is not ZeroMQ's, before it said who it is"

    static let speechlessReason =
        "it closed the connection before its first message, or was cut off for sending what is not "
        + "ZeroMQ's, or a frame beyond the limit"

    private let isSpokenAtOnce: Bool
    private var addresses: [Int32: NetworkAddress] = [:]
    /// Connections that a message came from.
    private var heard: Set<Int32> = []
    /// Accepted, and neither successful nor failed as far as is known.
    private var undecided: Set<Int32> = []
    private var failure: String?

    /// - Parameter isSpokenAtOnce: every peer sends something as soon as it is connected.
    init(isSpokenAtOnce: Bool = false) { self.isSpokenAtOnce = isSpokenAtOnce }

    /// A message came over this connection.
    mutating func hear(_ descriptor: Int32) {
        if isSpokenAtOnce, !heard.contains(descriptor) { heard.insert(descriptor) }
    }

    /// - Parameter address: who is at the other end of a descriptor, as long as it is open.
    mutating func take(
        _ events: [SocketEvent], address: (Int32) -> NetworkAddress?
    ) -> [Change] {
        var changes: [Change] = []
        for (index, event) in events.enumerated() {
            switch event.kind {
            case .accepted:
                undecided.insert(event.value)
                heard.remove(event.value)
                // A number that was closed meanwhile may be another connection's by now.
                let isOpen = !events[(index + 1)...].contains {
                    $0.kind == .disconnected && $0.value == event.value
                }
                addresses[event.value] = isOpen ? address(event.value) : nil
            case .handshakeSucceeded:
                // With several in question it cannot be told whose success it is.
                undecided.removeAll()
            case .handshakeFailed(.refused): failure = ""
            case .handshakeFailed(let reason): failure = Self.text(reason)
            case .disconnected:
                let found = addresses.removeValue(forKey: event.value)
                let wasUndecided = undecided.remove(event.value) != nil
                let wasHeard = heard.remove(event.value) != nil
                var text = failure ?? (wasUndecided ? Self.silentReason : "")
                if isSpokenAtOnce, failure == nil { text = wasHeard ? "" : Self.speechlessReason }
                if !text.isEmpty { changes.append(.failed(found, reason: text)) }
                failure = nil
                changes.append(.closed(event.value))
            default: break
            }
        }
        return changes
    }

    private static func text(_ reason: SocketEvent.HandshakeFailure) -> String {
        if case .connection = reason {
            return "the connection broke before the handshake was over"
        }
        return "\(reason)"
    }
}
