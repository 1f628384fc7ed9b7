import CZeroMQ
import Synchronization

/// Reports events of a socket's connections (tcp and ipc; inproc has none).
///
/// Threading: belongs to the thread of its socket. It may outlive the socket.
///
/// Read all events regularly. They queue without limit, because libzmq writes them from its
/// input/output thread, which would hold up every socket of the context if the queue could fill.
///
/// The file descriptor of `.disconnected` tells which peer disconnected: it equals
/// `Frame.sourceFileDescriptor` of that peer's messages. The system reuses these numbers at once,
/// so keep this order: receive a message, then read all events of the monitor, then note the
/// message's descriptor as its sender's. With one input/output thread an event is queued before
/// anything that a later connection sends, so a descriptor noted in this order is never mistaken
/// for that of an earlier connection. Messages that a peer sent before it vanished may still be
/// received after its `.disconnected`.
public struct SocketMonitor: ~Copyable {
    private static let lastNumber = Atomic<Int>(0)

    private let parent: SocketHandle
    private let events: SocketHandle
    private let number: Int

    /// Starts the monitor of a socket.
    init(of parent: SocketHandle) throws(ZeroMQError) {
        let socket = parent.use("startMonitor")
        let number = SocketMonitor.lastNumber.add(1, ordering: .relaxed).newValue
        let endpoint = "inproc://convoy.monitor.\(number)"
        var options = SocketOptions()
        options.receiveHighWaterMark = 0
        let events = try SocketHandle(parent.context, .pair, options: options)
        try LibraryCall.perform("monitor a \(parent.kind) socket at", endpoint: endpoint) {
            zmq_socket_monitor(socket, endpoint, ZMQ_EVENT_ALL)
        }
        parent.monitorNumber = number
        do {
            try events.connect(endpoint)
        } catch {
            _ = zmq_socket_monitor(socket, nil, 0)
            throw error
        }
        self.parent = parent
        self.events = events
        self.number = number
    }

    deinit {
        events.checkThread("close of the monitor")
        if parent.isOpen, parent.monitorNumber == number {
            // This fails for a closed socket and a terminated context, which end a monitor as well.
            _ = zmq_socket_monitor(parent.use("stop of the monitor"), nil, 0)
        }
        events.close()
    }

    /// The item with which a `PollSet` waits for an event to read.
    public var pollItem: PollItem { PollItem(events, interest: .readable) }

    /// Returns the next event without waiting; nil when there is none, and after
    /// `Context.shutdown()`.
    public func nextEvent() -> SocketEvent? {
        while let frames = try? events.receive() {
            if let event = SocketEvent(frames: frames) { return event }
        }
        return nil
    }

    /// Returns the next event as `nextEvent()` does, for loops that ask after every wait of their
    /// `PollSet`. Right after a wait that found no event here it returns nil without a call of
    /// libzmq.
    public func nextEventUnlessQuiet() -> SocketEvent? {
        guard let frames = try? events.receiveUnlessQuiet() else { return nil }
        return SocketEvent(frames: frames) ?? nextEvent()
    }

    /// Waits up to `limit` for the next event, for tests and tools; returns nil when none came.
    public func nextEvent(within limit: Duration) -> SocketEvent? {
        guard let frames = try? events.receive(until: .now.advanced(by: limit)) else { return nil }
        return SocketEvent(frames: frames)
    }
}
