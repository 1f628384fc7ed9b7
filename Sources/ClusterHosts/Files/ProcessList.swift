import ClusterProtocol
import Glibc
import RunFiles
import Threads

/// The processes that a launch started on one host, stored in the file RUN_DIR.pids.
///
/// The file begins with `launch NUMBER`. The line `made` follows when the run directory did not
/// exist before or was empty. Each process has a line `NAME PID START`. The file ends with
/// `complete` once all processes were started. START is the time when the process began, in clock
/// ticks since boot. It keeps a process with a reused number from being taken for one of the run.
package struct ProcessList {
    /// A process of the list.
    package struct Entry: Hashable {
        /// The name, for instance "coordinator" or "worker-2".
        package var name: String
        /// The process number.
        package var pid: Int32
        /// The start of the process in clock ticks since boot.
        package var start: UInt64

        /// Whether the process still runs.
        package var isRunning: Bool { RunLock.startTime(of: pid) == start }
    }

    /// The name of the coordinator's entry.
    package static let coordinator = "coordinator"
    /// The longest wait for the list's lock. The lock is held for moments, except while processes
    /// are being ended.
    private static let lockPatience = Duration.seconds(20)

    /// The path of the file.
    package let path: String

    /// Creates the list of a run; reads and writes nothing.
    package init(runDirectory: String) { path = "\(runDirectory).pids" }

    /// The lines of the file; none when it cannot be read.
    package var lines: [Substring] {
        String(decoding: (try? FileSystem.read(path, atMost: 1 << 20)) ?? [], as: UTF8.self)
            .split(separator: "\n")
    }

    /// The entries of processes that still run.
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

    /// Whether all processes of the launch were started.
    package var isComplete: Bool { lines.last == "complete" }
    /// Whether the launch began with a run directory that did not exist or was empty.
    package var isMade: Bool { lines.contains("made") }

    /// Returns whether the list belongs to this launch.
    package func isOf(launch: String) -> Bool { lines.first == "launch \(launch)" }

    /// Begins the list of a launch anew, with the given entries.
    package func begin(
        launch: String, isMade: Bool, keeping entries: [Entry] = []
    ) throws(RunError) {
        let all =
            ["launch \(launch)"] + (isMade ? ["made"] : [])
            + entries.map { "\($0.name) \($0.pid) \($0.start)" }
        try FileSystem.write(
            Array((all.joined(separator: "\n") + "\n").utf8), to: path, durably: false)
    }

    /// Appends a line to the file.
    package func append(_ line: String) throws(RunError) {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileSystem.failure("open", path) }
        defer { close(descriptor) }
        let bytes = Array("\(line)\n".utf8)
        guard write(descriptor, bytes, bytes.count) == bytes.count else {
            throw FileSystem.failure("write", path)
        }
    }

    /// Removes the file.
    package func remove() { unlink(path) }

    /// Runs `body` while no other process changes the list.
    ///
    /// - Throws: `.fault` when the lock was not free within 20 seconds, and the errors of `body`.
    package func locked<Result>(_ body: () throws(RunError) -> Result) throws(RunError) -> Result {
        let lock = "\(path).lock"
        let descriptor = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileSystem.failure("open", lock) }
        defer { close(descriptor) }
        let end = SteadyClock.now + Self.lockPatience
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard SteadyClock.now < end else { throw .fault("\(path) is in use") }
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

    /// Ends all processes. The coordinator is asked first, so that it can take a checkpoint and
    /// tell the other processes to end. Processes that do not end are killed.
    ///
    /// - Parameter limit: Time that the coordinator gets.
    /// - Returns: The names of the processes that were killed.
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
