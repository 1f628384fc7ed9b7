import ClusterProtocol
import ClusterRuntime
import RunFiles

/// Follows a run on the hosts of a cluster file. `convoy monitor` on the coordinator's host shows
/// the run. On the other hosts it shows the warnings of their processes, each after the host's
/// name.
package struct ClusterFollower {
    private let hosts: RunHosts
    private let runDirectory: String
    private let transport: [String]
    private let show: (String) -> Void

    /// Creates a follower of a run.
    ///
    /// - Parameter show: Shows a line to people.
    /// - Returns: Nil when no launch with a cluster file was begun here for this run.
    /// - Throws: `.usage` when the command that replaces ssh is blank.
    package init?(
        _ runDirectory: String, show: @escaping (String) -> Void
    ) throws(RunError) {
        guard let hosts = RunHosts(RunHosts.path(runDirectory)) else { return nil }
        self.hosts = hosts
        self.runDirectory = runDirectory
        self.show = show
        transport = try HostShell.transport()
    }

    /// Follows the run until it ends or a signal asks to stop.
    ///
    /// - Parameters:
    ///   - options: Options of `convoy monitor` on the coordinator's host.
    ///   - isOnce: Whether to show the present state only.
    ///   - showsLogsAlone: Whether to show only the warnings of all hosts.
    /// - Returns: The exit code of `convoy monitor` on the coordinator's host. That is the run's
    ///   exit code once the run has ended.
    /// - Throws: `.lost` when ssh does not reach the coordinator's host.
    package func follow(
        options: [String], isOnce: Bool, showsLogsAlone: Bool, _ interruptions: Interruptions
    ) throws(RunError) -> Int {
        let scratch = try FileSystem.makeTemporaryDirectory()
        defer { FileSystem.remove(scratch) }
        var others: [(command: HostCommand, name: String, isFollowed: Bool)] = []
        var head: HostCommand?
        for (index, entry) in hosts.entries.enumerated() {
            let isHead = entry.host.isCoordinator
            if isHead ? showsLogsAlone && hosts.entries.count > 1 : isOnce { continue }
            let shell = HostShell(
                transport: transport, executable: entry.executable, scratch: scratch)
            let words = ["monitor", "--exit-with-parent"] + (isHead ? options : ["--logs"])
            let line = HostShell.command(
                words + [runDirectory], directory: entry.host.directory,
                executable: entry.executable)
            let command = try shell.start(
                line: line, on: entry.host, name: "follow-\(index)", sharesOutput: isHead)
            if isHead { head = command } else { others.append((command, entry.host.name, true)) }
        }
        while true {
            let end = head?.end
            for index in others.indices where others[index].isFollowed {
                let (command, name, _) = others[index]
                let isOver = command.end != nil
                for line in command.addedLines() { show("\(name): \(line)") }
                guard isOver else { continue }
                others[index].isFollowed = false
                if end == nil { show("\(name): its warnings are followed no more") }
            }
            if let end, let head {
                return try exitCode(end, head.errors)
            }
            if head == nil, !others.contains(where: \.isFollowed) { return ExitCode.done }
            if case .stopRequested = interruptions.wait(timeout: .milliseconds(200)) {
                return ExitCode.interrupted
            }
        }
    }

    private func exitCode(_ end: ChildProcess.End, _ errors: [String]) throws(RunError) -> Int {
        let error = errors.last.map { LineText.printable($0) }
        let name = hosts.coordinator?.host.name ?? ""
        switch end {
        case .exited(HostShell.loginFailed):
            throw .lost("\(name): not reached over ssh\(error.map { ": \($0)" } ?? "")")
        case .exited(let code):
            if code != 0, let error { show("\(name): \(error)") }
            return code
        case .signalled(let signal):
            throw .fault("\(name): ended by signal \(signal)")
        }
    }
}
