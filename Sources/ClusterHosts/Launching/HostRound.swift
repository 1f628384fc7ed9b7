import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles
import Threads

/// A command on each of many hosts, some at a time, each within its time.
struct HostRound {
    let parallelCount: Int
    /// For one host.
    let limit: Duration
    /// What ends a wait early; nil where nothing may.
    let interruptions: Interruptions?

    /// - Parameters:
    ///   - start: begins the command of a host; nil where there is none.
    ///   - ended: told how the command of the host at an index ended, nil: its time was up. The command
    ///     is stopped after it.
    /// - Throws: 130 when it was interrupted.
    func run(
        on hosts: [ClusterFile.Host],
        start: (ClusterFile.Host) throws(Failure) -> HostCommand?,
        ended: (Int, HostCommand, ChildProcess.End?) -> Void
    ) throws(Failure) {
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

    /// A moment, or 130.
    static func pause(_ interruptions: Interruptions?) throws(Failure) {
        guard let interruptions else {
            usleep(5_000)
            return
        }
        if case .stopRequested = interruptions.wait(timeout: .milliseconds(5)) {
            throw Failure(text: "interrupted", exitCode: ExitCode.interrupted)
        }
    }
}
