import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles
import Threads

/// Runs one command on each of many hosts, several at a time, each within a time limit.
struct HostRound {
    let parallelCount: Int
    /// The time limit of one host.
    let limit: Duration
    /// Signals that end a wait early; nil where none may.
    let interruptions: Interruptions?

    /// Runs the commands.
    ///
    /// - Parameters:
    ///   - start: Starts the command of a host; returns nil when the host has none.
    ///   - ended: Called with the index of a host, its command, and how the command ended; nil when
    ///     its time was over. The command is stopped afterwards.
    /// - Throws: `.interrupted` when it was interrupted.
    func run(
        on hosts: [ClusterFile.Host],
        start: (ClusterFile.Host) throws(RunError) -> HostCommand?,
        ended: (Int, HostCommand, ChildProcess.End?) -> Void
    ) throws(RunError) {
        var running: [Int: HostCommand] = [:]
        var next = 0
        while next < hosts.count || !running.isEmpty {
            while next < hosts.count, running.count < parallelCount {
                running[next] = try start(hosts[next])
                next += 1
            }
            for (index, command) in running.sorted(by: { $0.key < $1.key }) {
                let end = command.end
                guard end != nil || SteadyClock.now - command.startedAt > limit else { continue }
                ended(index, command, end)
                command.stop()
                running[index] = nil
            }
            try Self.pause(interruptions)
        }
    }

    /// Waits 5 milliseconds.
    ///
    /// - Throws: `.interrupted` when a signal asks to stop.
    static func pause(_ interruptions: Interruptions?) throws(RunError) {
        guard let interruptions else {
            usleep(5_000)
            return
        }
        if case .stopRequested = interruptions.wait(timeout: .milliseconds(5)) {
            throw .interrupted("interrupted")
        }
    }
}
