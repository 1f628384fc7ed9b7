import ClusterProtocol
import RunFiles
import Threads
import ZeroMQ

/// Asks a coordinator about its run, without being a member of it.
///
/// Threading: all calls on one thread, which waits, but never longer than the call's limit.
package final class StatusClient {
    /// The time after which a question is asked again, since it or its answer may be lost.
    private static let patience = Duration.milliseconds(500)
    /// The highest number of members in a run, and so of rows to ask for.
    private static let maximumMemberCount = 4096

    private let endpoint: String
    private let context: Context
    private let connection: OutgoingConnection
    private var trouble: String?

    /// Creates a client and opens its socket.
    ///
    /// - Parameters:
    ///   - endpoint: Where the coordinator listens.
    ///   - transport: The keys to use, if any.
    /// - Throws: `.usage` when `endpoint` is malformed, `.lost` when the socket cannot be opened.
    package init(_ endpoint: String, _ transport: Transport) throws(RunError) {
        self.endpoint = endpoint
        do throws(ZeroMQError) {
            context = try Context()
            connection = try Self.open(context, endpoint, transport)
        } catch {
            throw error.endpoint == endpoint ? .usage("--coordinator: \(error)") : .lost("\(error)")
        }
    }

    /// Opens the socket; no other code opens one that only asks.
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

    /// Asks for all rows, in as many answers as that takes.
    ///
    /// - Throws: `.lost` when no answer comes within `limit`.
    package func ask(within limit: Duration) throws(RunError) -> ClusterStatus {
        let deadline = SteadyClock.now + limit
        var status = try page(from: 0, until: deadline)
        while status.members.count < min(status.memberCount, Self.maximumMemberCount) {
            let next = try page(from: status.members.count, until: deadline)
            // Members may have left in the meantime.
            if next.members.isEmpty { break }
            status.members += next.members
        }
        return status
    }

    /// Asks for the rows from a member on, again and again until an answer comes.
    private func page(
        from firstMember: Int, until deadline: Duration
    ) throws(RunError) -> ClusterStatus {
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

    /// Receives messages until one is the page that was asked for; returns nil at the deadline.
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
