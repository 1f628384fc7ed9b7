import ClusterProtocol
import Logging
import RunFiles
import ZeroMQ

/// Opens the sockets that others connect to, decides which peers are admitted, and logs once for
/// each rejected peer why it was rejected.
///
/// Each context has one gatekeeper that checks keys (`isChief`). It is created before the first
/// socket listens, because libzmq would admit every peer otherwise. Further gatekeepers may open
/// sockets on other threads.
///
/// Threading: belongs to the thread that created it. That thread owns the sockets and calls
/// `attend` whenever one of `pollItems` is ready. Handshakes wait for that call.
final class Gatekeeper {
    /// A socket that listens, and what is known of its connections.
    final class Listener {
        /// The ROUTER.
        let socket: SocketBox
        /// The endpoint that the socket is bound to, with the port that the system chose.
        let endpoint: Endpoint
        /// The socket's name in the log.
        fileprivate let name: String
        /// Whether the owner asks for closed connections itself.
        fileprivate let isWatched: Bool
        /// The socket's monitor; nil after the close.
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

        /// Takes note that a message has arrived. The owner must call this for every message when
        /// peers send something as soon as they are connected.
        func hear(_ frames: [Frame]) {
            if let descriptor = frames.last?.sourceFileDescriptor { connections.hear(descriptor) }
        }
    }

    private let context: Context
    private let transport: Transport
    private let log: Logger
    private let strangers: StrangerLog
    /// Checks the keys of peers; nil without keys, and when another gatekeeper is the chief.
    private var authenticator: ZapAuthenticator?
    private let allowList: AllowListWatch?
    private var listeners: [Listener] = []

    /// Creates a gatekeeper without sockets.
    ///
    /// - Parameter isChief: whether this gatekeeper checks the keys for the whole context.
    /// - Throws: when the directory of allowed keys cannot be read, or the context has a chief
    ///   already.
    init(
        _ context: Context, _ transport: Transport, isChief: Bool = true, log: Logger
    ) throws(RunError) {
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
            throw .fault("\(error)")
        }
    }

    /// Creates a gatekeeper for another thread of a context that has its chief already.
    init(besideChiefOf context: Context, _ transport: Transport, log: Logger) {
        self.context = context
        self.transport = transport
        self.log = log
        strangers = StrangerLog(log)
        authenticator = nil
        allowList = nil
    }

    /// Opens a ROUTER and lets it listen.
    ///
    /// - Parameters:
    ///   - name: the socket's name in the log, and its ZAP domain.
    ///   - isWatched: whether the caller calls `disconnected(of:)` itself.
    ///   - isSpokenAtOnce: whether every peer sends something as soon as it is connected. The
    ///     caller then calls `Listener.hear` for every message.
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

    /// The items that a poll set waits for besides the sockets themselves.
    var pollItems: [PollItem] {
        (authenticator.map { [$0.pollItem] } ?? []) + listeners.compactMap { $0.monitor?.pollItem }
    }

    /// Answers the peers that wait to be admitted, and looks at what became of connections.
    ///
    /// - Parameter willHear: whether the caller receives messages next. Then everything that
    ///   happened to connections before those messages must be known. Otherwise what the last wait
    ///   found is enough.
    func attend(willHear: Bool = true) throws(ZeroMQError) {
        if let authenticator {
            try authenticator.handlePending { refresh(authenticator) }
        }
        for listener in listeners where !listener.isWatched {
            _ = disconnected(of: listener, willHear: willHear)
        }
    }

    /// Returns the descriptors of connections that have closed since the last call. Only the owner
    /// of a watched listener calls this; `attend` looks after the others.
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

    /// Closes all sockets of this gatekeeper, so that their context can end.
    func close() {
        for listener in listeners {
            // The monitor first; `OutgoingConnection.close` explains why.
            listener.monitor = nil
            listener.socket.close()
        }
        listeners = []
        authenticator = nil
        allowList?.close()
    }

    /// Reads the allow-list again and applies its changes. This happens whenever a peer wants to be
    /// admitted, so no signal and no timer is needed.
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
