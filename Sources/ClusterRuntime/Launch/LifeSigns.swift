import Glibc
import RunFiles
import Synchronization
import Threads

/// Shows the process that started this one that this one is not hanging.
///
/// A thread sends signs of life as long as the socket thread turns: a byte over standard input, which
/// is a socket to the launcher, and `WATCHDOG=1` to systemd where it asks for that. A process under
/// SIGSTOP sends nothing, and neither does a process whose socket thread hangs.
package enum LifeSigns {
    /// The time from one sign to the next.
    package static let interval = Duration.milliseconds(100)

    /// The number of turns of the socket thread. It is 0 before the first turn and after the last,
    /// while the process prepares or tidies up; deadlines of their own apply then.
    private static let turns = Atomic(0)

    /// Counts a turn of the socket thread.
    package static func turn() { turns.add(1, ordering: .relaxed) }

    /// Takes note that the socket thread has done its work.
    package static func finish() { turns.store(0, ordering: .relaxed) }

    /// Starts the thread that sends signs, when a launcher or systemd wants them.
    ///
    /// - Parameter isChild: Whether standard input is a socket to a launcher.
    package static func begin(isChild: Bool) {
        let watchdog = Watchdog()
        guard isChild || watchdog != nil else { return }
        _ = WorkThread(name: "life signs") {
            var last = -1
            while true {
                let now = turns.load(ordering: .relaxed)
                if now == 0 || now != last {
                    var byte: UInt8 = 0
                    // A launcher that does not read is not waited for.
                    if isChild { _ = send(0, &byte, 1, Int32(MSG_DONTWAIT | MSG_NOSIGNAL)) }
                    watchdog?.notify()
                }
                last = now
                usleep(UInt32(interval / .microseconds(1)))
            }
        }
    }

    /// systemd's watchdog: the socket that NOTIFY_SOCKET names, when WATCHDOG_USEC is set.
    ///
    /// Source: sd_notify(3), sd_watchdog_enabled(3).
    private struct Watchdog: Sendable {
        private let descriptor: Int32

        init?() {
            let variables = ProcessEnvironment.variables
            guard variables["WATCHDOG_USEC"] != nil, let path = variables["NOTIFY_SOCKET"] else {
                return nil
            }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            var name = Array(path.utf8)
            guard let first = name.first, name.count < MemoryLayout.size(ofValue: address.sun_path)
            else { return nil }
            // An abstract name begins with a zero byte.
            if first == UInt8(ascii: "@") { name[0] = 0 }
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
            let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
            descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            let isConnected = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, length) == 0
                }
            }
            guard descriptor >= 0, isConnected else { return nil }
        }

        func notify() {
            let text = Array("WATCHDOG=1".utf8)
            _ = send(
                descriptor, text, text.count,
                Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
        }
    }
}
