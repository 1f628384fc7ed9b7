import ClusterRuntime
import Glibc
import Synchronization
import Testing
import Threads

/// Forwards TCP connections to another port, and records the bytes of both directions.
final class RecordingProxy: Sendable {
    /// The most bytes that are recorded.
    private static let bound = 64 << 20

    let port: Int
    private let recorded = Mutex<[UInt8]>([])
    private let isStopped = Atomic<Bool>(false)
    private let thread = Mutex<WorkThread?>(nil)

    /// Listens at `port` and forwards to `target`.
    ///
    /// - Parameters:
    ///   - host: 127.0.0.1 or another address of the loopback network.
    ///   - port: the port to listen at; 0 lets the system choose.
    init(_ host: UInt32 = TCP.loopback, port: Int = 0, to target: Int) throws {
        let (listener, port) = try TCP.listen(host, port: port)
        self.port = port
        let started = WorkThread(name: "proxy") { [self] in run(listener, target) }
        thread.withLock { $0 = started }
    }

    /// Stops the proxy and returns the recorded bytes.
    func stop() -> [UInt8] {
        isStopped.store(true, ordering: .relaxed)
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        running?.join()
        return recorded.withLock { $0 }
    }

    private func run(_ listener: Int32, _ target: Int) {
        var partners: [Int32: Int32] = [:]
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        func drop(_ descriptor: Int32) {
            guard let partner = partners.removeValue(forKey: descriptor) else { return }
            partners[partner] = nil
            close(descriptor)
            close(partner)
        }
        while !isStopped.load(ordering: .relaxed) {
            var items = ([listener] + partners.keys).map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            poll(&items, nfds_t(items.count), 20)
            for item in items.dropFirst() where item.revents != 0 {
                guard let partner = partners[item.fd] else { continue }
                let count = recv(item.fd, &buffer, buffer.count, 0)
                guard count > 0, send(partner, buffer, count, Int32(MSG_NOSIGNAL)) == count else {
                    drop(item.fd)
                    continue
                }
                recorded.withLock { all in
                    if all.count < Self.bound { all += buffer[..<count] }
                }
            }
            guard items[0].revents != 0 else { continue }
            let incoming = accept(listener, nil, nil)
            guard incoming >= 0 else { continue }
            guard let outgoing = try? TCP.connected(port: target) else {
                close(incoming)
                continue
            }
            partners[incoming] = outgoing
            partners[outgoing] = incoming
        }
        for descriptor in partners.keys { close(descriptor) }
        close(listener)
    }
}

extension [UInt8] {
    /// Returns whether these bytes contain `text`.
    func contains(text: String) -> Bool {
        let wanted = Array(text.utf8)
        guard count >= wanted.count else { return false }
        return withUnsafeBytes { all in
            (0...(all.count - wanted.count)).contains { start in
                memcmp(all.baseAddress! + start, wanted, wanted.count) == 0
            }
        }
    }
}
