import ClusterProtocol
import Partitions
import Threads
import ZeroMQ

/// What the data client's thread does: carries out what `Download` decides.
final class DataClientLoop {
    private static let batch = 64

    private let context: Context
    private let transport: Transport
    private let identity: PeerIdentity
    private let mailbox: Mailbox<DataClient.Order>
    private let next: () -> DataFetch?
    private var connection: OutgoingConnection
    private var endpoint: String
    private var current: (fetch: DataFetch, download: Download)?
    private var isRunning = true

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

    /// - Returns: why it ended, unless it was told to.
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

    /// Frames that are no answer to what is being fetched are left over from something else.
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
            // What finds its queue full is asked for again.
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
