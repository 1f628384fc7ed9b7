import ClusterProtocol
import RunFiles
import Threads
import ZeroMQ

/// Asks a coordinator how its run is, without being a member of it.
///
/// Threading: the caller's thread, which waits, but never longer than it says.
package final class StatusClient {
    /// A question or answer that got lost is asked again after this long.
    private static let patience = Duration.milliseconds(500)
    /// The most members a coordinator takes in, and so the most rows that are asked for.
    private static let maximumMemberCount = 4096

    private let endpoint: String
    private let context: Context
    private let connection: OutgoingConnection
    private var trouble: String?

    /// - Throws: 64 for an endpoint that is none.
    package init(_ endpoint: String, _ transport: Transport) throws(Failure) {
        self.endpoint = endpoint
        do throws(ZeroMQError) {
            context = try Context()
            connection = try Self.open(context, endpoint, transport)
        } catch {
            throw error.endpoint == endpoint ? .usage("--coordinator: \(error)") : .lost("\(error)")
        }
    }

    /// The one place that opens the socket of an asker.
    private static func open(
        _ context: Context, _ endpoint: String, _ transport: Transport
    ) throws(ZeroMQError) -> OutgoingConnection {
        let random = String(UInt64.random(in: .min ... .max), radix: 16)
        var options = SocketSettings.controlDealer(PeerIdentity(rawValue: "status-\(random)"))
        options.linger = .zero
        return try transport.connect(context, options, to: endpoint, of: .coordinator)
    }

    deinit {
        connection.close()
        context.terminate()
    }

    /// All rows, however many answers they take.
    ///
    /// - Throws: 69 when no answer comes within `limit`.
    package func ask(within limit: Duration) throws(Failure) -> ClusterStatus {
        let deadline = SteadyClock.now + limit
        var status = try page(from: 0, until: deadline)
        while status.members.count < min(status.memberCount, Self.maximumMemberCount) {
            let next = try page(from: status.members.count, until: deadline)
            // Members may have gone meanwhile.
            if next.members.isEmpty { break }
            status.members += next.members
        }
        return status
    }

    private func page(
        from firstMember: Int, until deadline: Duration
    ) throws(Failure) -> ClusterStatus {
        let start = SteadyClock.now
        let request = ControlCodec.encode(.statusRequest(StatusRequest(firstMember: firstMember)))
        do throws(ZeroMQError) {
            while SteadyClock.now < deadline {
                if case .troubled(let text) = try connection.attend() { trouble = text }
                _ = try connection.socket.send([Frame(request)])
                let again = min(deadline, SteadyClock.now + Self.patience)
                if let status = try answer(firstMember, until: again) { return status }
            }
        } catch {
            throw .lost("\(error)")
        }
        throw .lost(
            "no coordinator at \(endpoint) answered within \(deadline - start): "
                + (trouble ?? "it may have died, or a firewall is in between"))
    }

    /// Takes what comes until it is the page that was asked for.
    private func answer(
        _ firstMember: Int, until deadline: Duration
    ) throws(ZeroMQError) -> ClusterStatus? {
        while SteadyClock.now < deadline {
            guard let frames = try connection.socket.receive(within: deadline - SteadyClock.now) else {
                return nil
            }
            guard frames.count == 1, let message = try? ControlCodec.decode(frames[0].bytes),
                case .status(let status) = message,
                status.firstMember == firstMember || status.members.isEmpty
            else { continue }
            return status
        }
        return nil
    }
}
