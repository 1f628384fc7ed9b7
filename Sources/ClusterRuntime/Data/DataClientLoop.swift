import ClusterProtocol
import Partitions
import Threads
import ZeroMQ

/// The loop of the data client's thread. It carries out what `Download` decides.
///
/// Threading: the data client's thread only.
final class DataClientLoop {
    /// The number of messages that one turn takes in at most.
    private static let batch = 64

    private let context: Context
    private let transport: Transport
    private let identity: PeerIdentity
    private let mailbox: Mailbox<DataClient.Order>
    private let next: () -> DataFetch?
    private var connection: OutgoingConnection
    private var endpoint: String
    /// The object that is being fetched; nil between two objects.
    private var current: (fetch: DataFetch, download: Download)?
    private var isRunning = true

    /// Creates the loop and connects to the data service.
    init(
        context: Context, transport: Transport, identity: PeerIdentity, endpoint: String,
        mailbox: Mailbox<DataClient.Order>, next: @escaping () -> DataFetch?
    ) throws(ZeroMQError) {
        self.context = context
        self.transport = transport
        self.identity = identity
        self.endpoint = endpoint
        self.mailbox = mailbox
        self.next = next
        connection = try Self.connect(context, transport, identity, endpoint)
    }

    private static func connect(
        _ context: Context, _ transport: Transport, _ identity: PeerIdentity, _ endpoint: String
    ) throws(ZeroMQError) -> OutgoingConnection {
        try transport.connect(
            context, SocketSettings.dataDealer(identity), to: endpoint, of: .coordinator)
    }

    /// Runs until an order to stop or a failure.
    ///
    /// - Returns: the reason for the end; nil after an order to stop.
    func run(_ poll: PollBox) -> DataError? {
        var failure: DataError?
        while isRunning {
            do throws(ZeroMQError) { try turn(poll) } catch {
                failure = Self.unreachable(endpoint, "\(error)")
                isRunning = false
            }
        }
        connection.close()
        current?.fetch.finish(failure ?? Self.unreachable(endpoint, "this process is ending"))
        return failure
    }

    private func turn(_ poll: PollBox) throws(ZeroMQError) {
        if current == nil, let fetch = next() {
            var download = Download(fetch.object, now: SteadyClock.now)
            let actions = download.start(now: SteadyClock.now)
            current = (fetch, download)
            try perform(actions, payload: nil)
        }
        let result = try poll.wait(
            for: [connection.socket.pollItem] + connection.pollItems,
            timeout: .milliseconds(current == nil ? 1000 : 200))
        _ = try connection.attend()
        if result.wasWoken { for order in mailbox.takeAll() { try obey(order) } }
        if result.isReady(0), isRunning {
            for _ in 0..<Self.batch {
                guard let frames = try connection.socket.receive() else { break }
                try receive(frames)
            }
        }
        try decide { $0.tick(now: SteadyClock.now) }
    }

    private func obey(_ order: DataClient.Order) throws(ZeroMQError) {
        switch order {
        case .look: break
        case .stop: isRunning = false
        case .move(let target):
            if target != endpoint {
                endpoint = target
                connection.close()
                connection = try Self.connect(context, transport, identity, target)
            }
            try decide { $0.move(now: SteadyClock.now) }
        }
    }

    /// Takes in a message. A message about another object than the present one is left over from an
    /// earlier fetch and dropped.
    private func receive(_ frames: [Frame]) throws(ZeroMQError) {
        guard let message = DataMessage(frames[...]), let current,
            message.header.object == current.download.object
        else { return }
        if message.header.kind == .unavailable {
            let text = message.payload?.text ?? "no reason"
            end(
                DataError(
                    .unreadable, file: current.fetch.object.name, what: "the coordinator's copy",
                    expected: "to be had", found: text))
        } else {
            try decide(payload: message.payload) {
                $0.receive(message.header, now: SteadyClock.now)
            }
        }
    }

    private func decide(
        payload: Frame? = nil, _ step: (inout Download) -> [Download.Action]
    ) throws(ZeroMQError) {
        guard var download = current?.download else { return }
        let actions = step(&download)
        current?.download = download
        try perform(actions, payload: payload)
    }

    private func perform(_ actions: [Download.Action], payload: Frame?) throws(ZeroMQError) {
        for action in actions {
            guard let (fetch, download) = current else { return }
            switch action {
            // A question that finds its queue full is asked again later.
            case .ask(let header): _ = try connection.socket.send(DataMessage.frames(header))
            case .append:
                do throws(DataError) {
                    try fetch.append(payload?.bytes ?? [], of: download.totalByteCount ?? 0)
                } catch {
                    end(error)
                }
            case .finish: end(nil)
            case .giveUp:
                end(
                    Self.unreachable(
                        endpoint, "nothing of \(fetch.object.name) for \(Download.patience)"))
            case .contradict(let expected, let found):
                end(
                    DataError(
                        .sizeMismatch, file: fetch.object.name, what: "length",
                        expected: "\(expected) bytes, as said before", found: "\(found)",
                        advice: "the coordinator's files changed; restore them"))
            }
        }
    }

    /// Ends the present fetch; nil means that it succeeded.
    private func end(_ error: DataError?) {
        let fetch = current?.fetch
        current = nil
        fetch?.finish(error)
    }

    private static func unreachable(_ endpoint: String, _ found: String) -> DataError {
        DataError(
            .unreachable, file: endpoint, what: "the coordinator's data service",
            expected: "an answer", found: found)
    }
}
