import ClusterProtocol
import Logging
import RunFiles
import ZeroMQ

/// Opens the sockets that others connect to, decides who is let in, and says of each stranger once
/// why it was turned away.
///
/// A context has one gatekeeper that answers for the keys (`isChief`), made before the first socket
/// listens; libzmq would let everyone in without. Others may open sockets on other threads.
///
/// Threading: the thread that made it, which owns its sockets and calls `attend` whenever one of
/// `pollItems` is ready. Handshakes wait for that.
final class Gatekeeper {
    /// A socket that listens.
    final class Listener {
        let socket: SocketBox
        /// Where, with the port that was found.
        let endpoint: Endpoint
        fileprivate let name: String
        fileprivate let isWatched: Bool
        fileprivate var monitor: MonitorBox?
        fileprivate var connections: ConnectionWatch

        fileprivate init(
            socket: SocketBox, endpoint: Endpoint, name: String, isWatched: Bool,
            isSpokenAtOnce: Bool, monitor: MonitorBox?
        ) {
            self.socket = socket
            self.endpoint = endpoint
            self.name = name
            self.isWatched = isWatched
            connections = ConnectionWatch(isSpokenAtOnce: isSpokenAtOnce)
            self.monitor = monitor
        }

        /// To be told of every message, where peers speak as soon as they are connected.
        func hear(_ frames: [Frame]) {
            if let descriptor = frames.last?.sourceFileDescriptor { connections.hear(descriptor) }
        }
    }

    private let context: Context
    private let transport: Transport
    private let log: Logger
    private let strangers: StrangerLog
    private var authenticator: ZapAuthenticator?
    private let allowList: AllowListWatch?
    private var listeners: [Listener] = []

    init(
        _ context: Context, _ transport: Transport, isChief: Bool = true, log: Logger
    ) throws(Failure) {
        self.context = context
        self.transport = transport
        self.log = log
        let strangers = StrangerLog(log)
        self.strangers = strangers
        guard isChief, let keys = transport.keys else {
            authenticator = nil
            allowList = nil
            return
        }
        let allowList = try AllowList(keys.allowedDirectory)
        let allowed = allowList.keys.sorted()
        self.allowList = AllowListWatch(allowList)
        let directory = keys.allowedDirectory
        do throws(ZeroMQError) {
            authenticator = try ZapAuthenticator(
                context, allowedPublicKeys: allowed
            ) { strangers.note($0, allowed: directory) }
        } catch {
            throw .internalError("\(error)")
        }
    }

    /// One for another thread of a context whose chief is there.
    init(besideChiefOf context: Context, _ transport: Transport, log: Logger) {
        self.context = context
        self.transport = transport
        self.log = log
        strangers = StrangerLog(log)
        authenticator = nil
        allowList = nil
    }

    /// Opens a ROUTER, and lets it listen.
    ///
    /// - Parameters:
    ///   - name: what the log calls the socket.
    ///   - isWatched: the caller asks for `disconnected(of:)`.
    ///   - isSpokenAtOnce: whoever connects sends something at once, and the caller calls
    ///     `Listener.hear`.
    func listen(
        _ options: SocketOptions, at endpoint: Endpoint, as name: String, isWatched: Bool = false,
        isSpokenAtOnce: Bool = false
    ) throws(ZeroMQError) -> Listener {
        let socket = try SocketBox(
            context, .router, options: transport.listening(options, at: endpoint, as: name))
        var monitor: MonitorBox? = MonitorBox(try socket.startMonitor())
        let bound: String
        do throws(ZeroMQError) { bound = try socket.bind("\(endpoint)") } catch {
            monitor = nil
            socket.close()
            throw error
        }
        let listener = Listener(
            socket: socket, endpoint: Endpoint(bound) ?? endpoint, name: name,
            isWatched: isWatched, isSpokenAtOnce: isSpokenAtOnce, monitor: monitor)
        listeners.append(listener)
        return listener
    }

    /// What a poll set waits for besides the sockets themselves.
    var pollItems: [PollItem] {
        (authenticator.map { [$0.pollItem] } ?? []) + listeners.compactMap { $0.monitor?.pollItem }
    }

    /// Answers who waits to be let in, and looks at what became of connections.
    ///
    /// - Parameter willHear: messages are to be received next, and what came about before them is to be
    ///   known; otherwise what the last wait found is enough.
    func attend(willHear: Bool = true) throws(ZeroMQError) {
        if let authenticator {
            try authenticator.handlePending { refresh(authenticator) }
        }
        for listener in listeners where !listener.isWatched {
            _ = disconnected(of: listener, willHear: willHear)
        }
    }

    /// Descriptors of connections that have closed since the last call. For a listener that is
    /// watched by its owner; `attend` looks after the others.
    func disconnected(of listener: Listener, willHear: Bool = true) -> [Int32] {
        var events: [SocketEvent] = []
        while let event = willHear
            ? listener.monitor?.nextEvent() : listener.monitor?.nextEventUnlessQuiet()
        {
            events.append(event)
        }
        guard !events.isEmpty else { return [] }
        var descriptors: [Int32] = []
        for change in listener.connections.take(events, address: HostNetwork.peer) {
            switch change {
            case .closed(let descriptor): descriptors.append(descriptor)
            case .failed(let address, let reason):
                strangers.note(address: address, socket: listener.name, reason: reason)
            }
        }
        return descriptors
    }

    /// Closes its sockets, so that their context can end.
    func close() {
        for listener in listeners {
            // In this order: see `OutgoingConnection.close`.
            listener.monitor = nil
            listener.socket.close()
        }
        listeners = []
        authenticator = nil
        allowList?.close()
    }

    /// The allow-list is looked at whenever someone wants in, so no signal and no clock is needed.
    private func refresh(_ authenticator: ZapAuthenticator) {
        for finding in allowList?.look() ?? [] {
            let (change, names) = (finding.change, finding.names)
            for key in change.removed { authenticator.revoke(key) }
            for key in change.added { try? authenticator.allow(key) }
            log.info(
                "allow-list read again",
                metadata: [
                    "keys.added": "\(change.added.map { names[$0] ?? $0 })",
                    "keys.removed": "\(change.removed)", "keys.count": "\(names.count)",
                ])
            for fault in change.faults {
                log.warning(
                    "a file of the allow-list lets nobody in",
                    metadata: [LogKey.errorDetail: "\(fault.text)"])
            }
        }
    }
}
