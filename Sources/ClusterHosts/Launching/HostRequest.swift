/// A launcher's request to one host: a line of JSON on the standard input of `convoy host`.
///
/// `runDirectory` is the run's name on all hosts, relative to the directory that their processes
/// run in. Next to it are `RUN_DIR.pids`, the list of the run's processes on the host, and
/// `RUN_DIR.node`, the host's keys.
package struct HostRequest: Codable, Sendable {
    /// What the host is asked to do.
    package enum Action: Codable, Sendable {
        /// Reports the processes at work and whether there is a checkpoint.
        case look
        /// Ends the processes of an earlier launch and begins a new list.
        case prepare(launch: String)
        /// Continues the existing list.
        case join(launch: String)
        /// Writes a file next to the run directory, as RUN_DIR.NAME. Its content follows the
        /// request's line.
        case put(name: String)
        /// Replaces the keys directory by these contents, by relative path.
        case keys([String: String])
        /// Starts the coordinator and waits until it listens.
        case coordinator(launch: String, start: CoordinatorStart, arguments: [String])
        /// Starts those of the members that do not run.
        case members(launch: String, [HostMember])
        /// Records that all processes of the launch were started.
        case complete
        /// Ends all processes. The coordinator gets this many seconds for a checkpoint.
        case stop(within: Int)
    }

    /// The run directory.
    package var runDirectory: String
    /// What the host is asked to do.
    package var action: Action

    /// Creates a request about a run.
    package init(_ action: Action, of runDirectory: String) {
        self.action = action
        self.runDirectory = runDirectory
    }
}

/// How a launch starts the coordinator.
package enum CoordinatorStart: String, Codable, Sendable {
    /// With a run that has no checkpoint.
    case new
    /// From the newest checkpoint, with no process of the run at work.
    case resume
    /// In the place of a coordinator that is gone or hangs. Its members are at work.
    case replace
    /// Not at all. A coordinator is at work, and members are missing.
    case none
}

/// A server or worker to start on a host.
package struct HostMember: Codable, Sendable, Hashable {
    /// The name, for instance "worker-2". Numbers count within the host.
    package var name: String
    /// The subcommand and its flags.
    package var arguments: [String]
}

/// A host's answer: a line of JSON, the last one on its standard output.
package struct HostAnswer: Codable, Sendable {
    /// The names of the processes at work.
    package var running: [String] = []
    /// Whether the list says that all processes of a launch were started.
    package var isComplete = false
    /// Whether the run has a checkpoint on this host.
    package var hasCheckpoint = false
    /// Whether the coordinator at work answers. One that hangs does not.
    package var isCoordinatorAnswering = false
    /// The endpoint that the coordinator listens at.
    package var endpoint: String?
    /// The names of the members that were started.
    package var started: [String] = []
    /// The number of processes that were at work when the stop began.
    package var stopped = 0
    /// The names of the processes that had to be killed.
    package var killed: [String] = []
    /// The failure, if there was one.
    package var problem: String?
    /// The exit code of the failure; 0 without one.
    package var exitCode = 0

    /// Creates an answer that reports nothing.
    package init() {}
}
