import ClusterProtocol
import ZeroMQ

/// Tells from a monitor's events which connections have closed and which of them have failed.
///
/// libzmq names a connection's descriptor when the connection is accepted and when it closes, but
/// not when its handshake succeeds or fails. A failure is followed at once by the close of its
/// connection. A success names no connection: if one handshake is pending, the success belongs to
/// it; if several are pending, it may belong to any of them, and then the close of one of them is
/// not reported as a failure.
///
/// libzmq does not report a frame beyond the size limit either; it closes the connection silently.
/// Where every peer sends something as soon as it is connected, a connection that closes without a
/// message therefore counts as failed, whatever became of its handshake.
struct ConnectionWatch {
    /// Something that happened to a connection.
    enum Change: Equatable {
        /// The connection with this descriptor has closed.
        case closed(Int32)
        /// A connection has failed; its `closed` follows. The address is the peer's, where it could
        /// still be found out.
        case failed(NetworkAddress?, reason: String)
    }

    /// The reason given when a connection closed during its handshake.
    static let silentReason =
        "it closed the connection, or sent what is not ZeroMQ's, before it said who it is"

    /// The reason given when a connection closed before its first message.
    static let speechlessReason =
        "it closed the connection before its first message, or was cut off for sending what is not "
        + "ZeroMQ's, or a frame beyond the limit"

    private let isSpokenAtOnce: Bool
    private var addresses: [Int32: NetworkAddress] = [:]
    /// The connections that a message came from.
    private var heard: Set<Int32> = []
    /// The connections that were accepted and whose handshake may still be pending.
    private var undecided: Set<Int32> = []
    /// The reason of the last failed handshake, whose connection closes next; empty when the
    /// authenticator refused it, since the refusal has been logged already.
    private var failure: String?

    /// Creates a watch that knows no connection.
    ///
    /// - Parameter isSpokenAtOnce: whether every peer sends something as soon as it is connected.
    init(isSpokenAtOnce: Bool = false) { self.isSpokenAtOnce = isSpokenAtOnce }

    /// Takes note that a message came over this connection.
    mutating func hear(_ descriptor: Int32) {
        if isSpokenAtOnce, !heard.contains(descriptor) { heard.insert(descriptor) }
    }

    /// Takes in events and returns what they mean, in order.
    ///
    /// - Parameter address: returns the address of the peer at the other end of a descriptor, as
    ///   long as the descriptor is open.
    mutating func take(
        _ events: [SocketEvent], address: (Int32) -> NetworkAddress?
    ) -> [Change] {
        var changes: [Change] = []
        for (index, event) in events.enumerated() {
            switch event.kind {
            case .accepted:
                undecided.insert(event.value)
                heard.remove(event.value)
                // A number that was closed in the meantime may belong to another connection by now.
                let isOpen = !events[(index + 1)...].contains {
                    $0.kind == .disconnected && $0.value == event.value
                }
                addresses[event.value] = isOpen ? address(event.value) : nil
            case .handshakeSucceeded:
                // With several pending handshakes nothing tells which one succeeded.
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
