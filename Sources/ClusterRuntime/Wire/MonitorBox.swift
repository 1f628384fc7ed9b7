import ZeroMQ

/// A socket monitor as an object; it ends with its last holder, after the socket it watches.
final class MonitorBox {
    private let monitor: SocketMonitor

    init(_ monitor: consuming SocketMonitor) { self.monitor = monitor }

    var pollItem: PollItem { monitor.pollItem }

    func nextEvent() -> SocketEvent? { monitor.nextEvent() }

    func nextEventUnlessQuiet() -> SocketEvent? { monitor.nextEventUnlessQuiet() }
}
