import ZeroMQ

/// A socket monitor as an object. The monitor ends when the last reference to it is released;
/// `OutgoingConnection.close` gives the order of closing.
final class MonitorBox {
    private let monitor: SocketMonitor

    /// Creates an object that owns `monitor`.
    init(_ monitor: consuming SocketMonitor) { self.monitor = monitor }

    /// The item with which a poll set waits for an event.
    var pollItem: PollItem { monitor.pollItem }

    /// Returns the next event without waiting; nil when there is none.
    func nextEvent() -> SocketEvent? { monitor.nextEvent() }

    /// Returns the next event as `nextEvent()` does, but without a call of libzmq when the last
    /// wait of the poll set found no event.
    func nextEventUnlessQuiet() -> SocketEvent? { monitor.nextEventUnlessQuiet() }
}
