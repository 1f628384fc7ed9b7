import ClusterProtocol
import Glibc
import RunFiles

/// Ends the processes that ``ClusterLaunch`` started, here and on the hosts of a cluster file, and
/// no others.
package enum ClusterStop {
    /// The result of a stop.
    package struct Outcome: Sendable {
        /// The number of processes that were at work.
        package var count = 0
        /// Whether every host was reached and every process ended without being killed.
        package var isClean = true
    }

    /// Returns the run below `parent` that was launched last, judged by the modification time of
    /// its list.
    package static func newest(in parent: String) -> String? {
        FileSystem.names(in: parent).compactMap { name -> (path: String, time: Int)? in
            guard let ending = [".hosts", ".pids"].first(where: { name.hasSuffix($0) }) else {
                return nil
            }
            let time = FileSystem.modificationTime("\(parent)/\(name)") ?? 0
            return ("\(parent)/\(name.dropLast(ending.count))", time)
        }.max { $0.time < $1.time }?.path
    }

    /// Ends the run's processes.
    ///
    /// - Parameters:
    ///   - seconds: Time that the coordinator gets for a checkpoint.
    ///   - executable: Path of this program, for a run on this machine.
    ///   - show: Shows a line to people.
    /// - Throws: `.runDirectory` when nothing was launched for this run.
    package static func stop(
        _ runDirectory: String, within seconds: Int, executable: String,
        show: @escaping (String) -> Void
    ) throws(RunError) -> Outcome {
        let path = RunHosts.path(runDirectory)
        if FileSystem.exists(path) {
            guard let hosts = RunHosts(path) else {
                // This launch was given up before its first process.
                unlink(path)
                return Outcome()
            }
            let outcome = try end(
                runDirectory, hosts, within: seconds, show: show,
                transport: HostShell.transport())
            // Hosts that were not reached stay listed, so that a later stop can try again.
            if outcome.isClean { unlink(path) }
            return outcome
        }
        guard FileSystem.exists(ProcessList(runDirectory: runDirectory).path) else {
            throw .runDirectory(
                "\(runDirectory).pids is not there; nothing was launched for this run")
        }
        let entry = RunHosts.Entry(host: ClusterLaunch.thisMachine, executable: executable)
        let hosts = RunHosts(launch: "", entries: [entry], isComplete: true)
        return try end(runDirectory, hosts, within: seconds, show: show, transport: [])
    }

    /// Ends the processes on all hosts. The coordinator's host comes first, since the coordinator
    /// tells the other processes to end.
    static func end(
        _ runDirectory: String, _ hosts: RunHosts, within seconds: Int,
        show: @escaping (String) -> Void, transport: [String]
    ) throws(RunError) -> Outcome {
        var outcome = Outcome()
        let heads = hosts.entries.filter(\.host.isCoordinator)
        let members = hosts.entries.filter { !$0.host.isCoordinator }
        for (entries, patience) in [(heads, seconds), (members, 5)] where !entries.isEmpty {
            for (executable, group) in Dictionary(grouping: entries, by: \.executable)
                .sorted(by: { $0.key < $1.key })
            {
                let crew = try HostCrew(
                    transport: transport, executable: executable, interruptions: nil, show: show)
                crew.isPatient = true
                let answers = try crew.ask(
                    group.map(\.host), within: .seconds(patience + 60)
                ) { _ in HostRequest(.stop(within: patience), of: runDirectory) }
                if answers.count < group.count { outcome.isClean = false }
                for answer in answers.values {
                    outcome.count += answer.stopped
                    if !answer.killed.isEmpty || answer.problem != nil { outcome.isClean = false }
                }
            }
        }
        return outcome
    }
}
