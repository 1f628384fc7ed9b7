import Foundation
import Testing
import ZeroMQ

/// The longest wait in a test.
let limit = Duration.seconds(20)

/// The transports of most tests; `*` and the UUID make every endpoint a fresh one.
enum Transport: String, CaseIterable, CustomTestStringConvertible {
    case inproc, ipc, tcp

    var endpoint: String {
        switch self {
        case .inproc: "inproc://test.\(UUID().uuidString)"
        case .ipc: "ipc://*"
        case .tcp: "tcp://127.0.0.1:*"
        }
    }

    var testDescription: String { rawValue }
}

/// An error of the test itself.
struct TestTrouble: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Two sockets that are connected.
struct ConnectedSockets: ~Copyable {
    let bound: Socket
    let connected: Socket
    let endpoint: String

    init(
        _ context: Context, _ transport: Transport, bound boundKind: SocketKind,
        connected connectedKind: SocketKind, boundOptions: SocketOptions = SocketOptions(),
        connectedOptions: SocketOptions = SocketOptions()
    ) throws {
        // All throwing calls come before the first stored property is set.
        let bound = try Socket(context, boundKind, options: boundOptions)
        let connected = try Socket(context, connectedKind, options: connectedOptions)
        let endpoint = try bound.bind(transport.endpoint)
        try connected.connect(endpoint)
        self.bound = bound
        self.connected = connected
        self.endpoint = endpoint
    }
}

/// A thread that can be joined.
final class TestThread: Sendable {
    private let isDone = DispatchSemaphore(value: 0)

    init(_ body: @escaping @Sendable () throws -> Void) {
        let isDone = isDone
        Thread.detachNewThread {
            do { try body() } catch { Issue.record("a thread failed: \(error)") }
            isDone.signal()
        }
    }

    func join() {
        guard isDone.wait(timeout: .now() + 60) == .success else {
            fatalError("a test's thread did not end within 60 s")
        }
    }
}

/// Returns bytes that differ from place to place, so that a shifted or torn message is noticed.
func pattern(_ byteCount: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
        for index in 0..<byteCount {
            buffer[index] = UInt8(truncatingIfNeeded: index &* 2_654_435_761 >> 7)
        }
        count = byteCount
    }
}

/// Calls `condition` until it holds or the limit has passed; returns whether it holds.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
        if try condition() { return true }
        usleep(2000)
    }
    return false
}

/// Reads events until one satisfies `condition`; nil when none came in time.
func event(
    of monitor: borrowing SocketMonitor, where condition: (SocketEvent) -> Bool
) -> SocketEvent? {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
        if let event = monitor.nextEvent(within: .milliseconds(50)), condition(event) {
            return event
        }
    }
    return nil
}

func usleepMilliseconds(_ count: UInt32) { usleep(count * 1000) }
