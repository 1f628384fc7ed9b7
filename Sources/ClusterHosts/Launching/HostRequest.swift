/// What a launcher asks of one host: a line of JSON to `convoy host`, on standard input.
///
/// `runDirectory` is the run's name on all hosts, from the directory that their processes run in.
/// Beside it lie `RUN_DIR.pids`, the list of its processes there, and `RUN_DIR.node`, its keys.
package struct HostRequest: Codable, Sendable {
    package enum Action: Codable, Sendable {
        /// What is at work, and whether there is a checkpoint.
        case look
        /// Ends what an earlier launch has left, and begins a list.
        case prepare(launch: String)
        /// Goes on with the list that is there.
        case join(launch: String)
        /// Puts a file beside the run directory, as RUN_DIR.NAME; what follows the line is its content.
        case put(name: String)
        /// Replaces the keys directory: contents by relative path.
        case keys([String: String])
        /// Starts the coordinator, and waits until it listens.
        case coordinator(launch: String, start: CoordinatorStart, arguments: [String])
        /// Starts those of the members that do not run.
        case members(launch: String, [HostMember])
        /// Notes that all of a launch were started.
        case complete
        /// Ends all processes; the coordinator gets so many seconds for a checkpoint.
        case stop(within: Int)
    }

    package var runDirectory: String
    package var action: Action

    package init(_ action: Action, of runDirectory: String) {
        self.action = action
        self.runDirectory = runDirectory
    }
}

/// How a coordinator begins.
package enum CoordinatorStart: String, Codable, Sendable {
    /// With a run that has no checkpoint.
    case new
    /// With the newest checkpoint; nobody is at work.
    case resume
    /// In the place of one that is gone or hangs; its members are at work.
    case replace
    /// Not at all: one is at work, and members are missing.
    case none
}

/// A server or a worker to be started on a host.
package struct HostMember: Codable, Sendable, Hashable {
    /// For instance "worker-2", counted within the host.
    package var name: String
    /// Subcommand and flags.
    package var arguments: [String]
}

/// What a host answers: a line of JSON, the last one on its standard output.
package struct HostAnswer: Codable, Sendable {
    /// Names of the processes at work.
    package var running: [String] = []
    /// Whether the list says that all of a launch were started.
    package var isComplete = false
    package var hasCheckpoint = false
    /// Whether the coordinator at work answers; one that hangs does not.
    package var isCoordinatorAnswering = false
    /// Where the coordinator listens.
    package var endpoint: String?
    package var started: [String] = []
    /// How many processes were ended.
    package var stopped = 0
    /// Processes that had to be killed.
    package var killed: [String] = []
    /// What went wrong, if anything did, and the exit code that goes with it.
    package var problem: String?
    package var exitCode = 0

    package init() {}
}
