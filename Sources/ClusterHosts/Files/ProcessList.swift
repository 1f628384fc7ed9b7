import ClusterProtocol
import Glibc
import RunFiles
import Threads

/// The processes that a launch started on one host: the file RUN_DIR.pids.
///
/// It begins with `launch NUMBER`, has `made` where the run directory was not there or empty before, a
/// line `NAME PID START` a process, and ends with `complete` once all were started. START is when the
/// process began, in clock ticks since boot: a number that was given to another process since is never
/// taken for one of ours.
package struct ProcessList {
    package struct Entry: Hashable {
        package var name: String
        package var pid: Int32
        package var start: UInt64

        package var isRunning: Bool { RunLock.startTime(of: pid) == start }
    }

    package static let coordinator = "coordinator"
    /// Held for moments, so a longer wait means that something is wrong.
    private static let lockPatience = Duration.seconds(20)

    package let path: String

    package init(runDirectory: String) { path = "\(runDirectory).pids" }

    package var lines: [Substring] {
        String(decoding: (try? FileSystem.read(path, atMost: 1 << 20)) ?? [], as: UTF8.self)
            .split(separator: "\n")
    }

    /// Those that run.
    package var running: [Entry] {
        lines.compactMap { line in
            let words = line.split(separator: " ")
            guard words.count == 3, let pid = Int32(words[1]), let start = UInt64(words[2]) else {
                return nil
            }
            let entry = Entry(name: String(words[0]), pid: pid, start: start)
            return entry.isRunning ? entry : nil
        }
    }

    package var isComplete: Bool { lines.last == "complete" }
    /// Whether a launch began with a run directory that held nothing.
    package var isMade: Bool { lines.contains("made") }

    package func isOf(launch: String) -> Bool { lines.first == "launch \(launch)" }

    package func begin(launch: String, isMade: Bool, keeping entries: [Entry] = []) throws(Failure) {
        let all =
            ["launch \(launch)"] + (isMade ? ["made"] : [])
            + entries.map { "\($0.name) \($0.pid) \($0.start)" }
        try FileSystem.write(
            Array((all.joined(separator: "\n") + "\n").utf8), to: path, durably: false)
    }

    package func append(_ line: String) throws(Failure) {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileSystem.failure("open", path) }
        defer { close(descriptor) }
        let bytes = Array("\(line)\n".utf8)
        guard write(descriptor, bytes, bytes.count) == bytes.count else {
            throw FileSystem.failure("write", path)
        }
    }

    package func remove() { unlink(path) }

    /// Does something while nobody else changes the list.
    package func locked<Result>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        let lock = "\(path).lock"
        let descriptor = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileSystem.failure("open", lock) }
        defer { close(descriptor) }
        let end = SteadyClock.now + Self.lockPatience
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard SteadyClock.now < end else { throw .internalError("\(path) is in use") }
            usleep(10_000)
        }
        return try body()
    }

    // MARK: - Ending

    private func send(_ signal: Int32, to entries: [Entry]) {
        for entry in entries where entry.isRunning { kill(entry.pid, signal) }
    }

    private func awaitEnd(within limit: Duration) -> Bool {
        let end = SteadyClock.now + limit
        while !running.isEmpty {
            guard SteadyClock.now < end else { return false }
            usleep(50_000)
        }
        return true
    }

    /// Ends all. The coordinator is asked first, so that it can take a checkpoint and send the others
    /// home; those who do not end are killed.
    ///
    /// - Returns: the names of those who were killed.
    package func stopAll(within limit: Duration, note: (String) -> Void) -> [String] {
        let coordinators = running.filter { $0.name == Self.coordinator }
        send(SIGTERM, to: coordinators)
        if !coordinators.isEmpty, awaitEnd(within: limit) { return [] }
        send(SIGTERM, to: running.filter { $0.name != Self.coordinator })
        if awaitEnd(within: .seconds(5)) { return [] }
        let left = running
        for entry in left { note("\(entry.name) (pid \(entry.pid)) does not end; killing it") }
        send(SIGKILL, to: left)
        if !awaitEnd(within: .seconds(10)) { note("some processes do not even end when killed") }
        return left.map(\.name)
    }
}
