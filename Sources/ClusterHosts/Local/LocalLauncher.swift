import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles
import Threads

/// Runs a whole cluster on this machine. It starts coordinator, servers and workers as child
/// processes, replaces those that die, and leaves none running.
package final class LocalLauncher {
    /// What to run, and how.
    package struct Settings: Sendable {
        /// The path of the program that the children run.
        package var executable: String
        /// The configuration of the run.
        package var configuration: RunConfiguration
        /// The run directory.
        package var directory: RunDirectory
        /// Whether the run goes on from its newest checkpoint.
        package var isResuming: Bool
        /// Whether changed settings that decide bits are accepted.
        package var changesSettings = false
        /// The subcommand that starts a worker.
        package var workerCommand = ["worker"]
        /// Flags for workers only. They say where workers find their data.
        package var workerArguments: [String] = []
        /// Whether workers are bound to cores of their own, where there are enough cores.
        package var bindsCores = true
        /// The path of a file for the output of the children. With nil the children share this
        /// process's output.
        package var output: String?
        /// The keys directory of all processes. With nil the coordinator makes one for the run.
        package var keys: String?
        /// Whether the processes use no keys when `keys` is nil.
        package var isInsecure = false

        /// Creates settings with defaults for all else.
        package init(
            executable: String, configuration: RunConfiguration, directory: RunDirectory,
            isResuming: Bool, keys: String? = nil
        ) {
            self.keys = keys
            self.executable = executable
            self.configuration = configuration
            self.directory = directory
            self.isResuming = isResuming
        }
    }

    /// The largest number of replacements within one minute before the launcher gives up.
    private static let maximumRestartsPerMinute = 120
    /// The largest number of replacements without a new step in the ledger. Processes that die
    /// repeatedly, perhaps always at the same place, are then no longer replaced.
    private static let maximumVainRestarts = 60
    /// The shortest silence after which a child is ended. Heartbeats may be shorter, but a busy
    /// machine may keep a process from running for this long.
    private static let leastPatience = Duration.seconds(1)

    private let settings: Settings
    /// The path of the running program itself when the children run the same file, otherwise nil.
    private let image: String?
    private let interruptions: Interruptions
    private let note: (String) -> Void
    private struct Member {
        var role: Role
        var child: ChildProcess
        var cores: CoreSet?
        var silence = Silence()
    }

    private var coordinator: ChildProcess?
    private var coordinatorSilence = Silence()
    private var members: [Member] = []
    private var claim: CoreClaim?
    /// The cores that no worker is bound to at the moment.
    private var freeCores: [CoreSet] = []
    private var started: [Role: Int] = [:]
    private var restarts: [Duration] = []
    private var vainRestartCount = 0
    private var ledgerByteCount = 0
    private var endpoint = ""
    private var stopCount = 0
    /// The processes that this launcher has ended because they hung.
    private var hung: Set<Int32> = []
    /// The run's exit code when the last member of a role has ended by itself with an error. It
    /// would end the same way again, so it is not replaced.
    private var finalCode: Int?

    /// Creates a launcher.
    ///
    /// - Parameter note: Shows a line to people.
    package init(
        _ settings: Settings, interruptions: Interruptions, note: @escaping (String) -> Void
    ) {
        self.settings = settings
        let own = "/proc/self/exe"
        image = FileSystem.target(ofLink: own) == settings.executable ? own : nil
        self.interruptions = interruptions
        self.note = note
    }

    /// Runs the cluster to the end of the run.
    ///
    /// - Returns: The exit code of the run.
    /// - Throws: `.runDirectory` or `.storage` when the run directory cannot be made, `.fault` when
    ///   a process cannot be started or the coordinator does not listen within 120 seconds.
    package func run() throws(RunError) -> Int {
        let directory = settings.directory
        let wasThere = settings.isResuming ? true : try directory.create()
        defer { if !settings.isResuming { directory.removeIfUnused(wasThere: wasThere) } }
        try FileSystem.makeDirectories(directory.logs)
        // The coordinator takes this file over once everything is checked.
        let next = directory.configuration + ".next"
        try FileSystem.replace(next, with: settings.configuration.yaml)
        defer { unlink(next) }
        let former = FileSystem.identity(directory.endpoint)
        try startCoordinator()
        guard let code = try awaitEndpoint(otherThan: former) else {
            divideCores()
            for _ in 0..<settings.configuration.cluster.servers { try start(.server) }
            for _ in 0..<settings.configuration.cluster.workers { try start(.worker) }
            let code = try supervise()
            stopMembers()
            return code
        }
        return code
    }

    // MARK: Starting

    /// Starts a coordinator.
    ///
    /// - Parameter isReplacing: Whether the coordinator before it died while members of the run are
    ///   at work.
    private func startCoordinator(isReplacing: Bool = false) throws(RunError) {
        let number = (started[.coordinator] ?? 0) + 1
        started[.coordinator] = number
        var arguments =
            [
                "coordinator", "--config",
                settings.directory.configuration + (isReplacing ? "" : ".next"),
                "--run-dir", settings.directory.path,
                "--listen", isReplacing ? endpoint : "tcp://127.0.0.1:*",
                "--exit-with-parent", "--log-file",
                "\(settings.directory.logs)/coordinator-\(number).jsonl",
            ] + (keyArguments ?? [])
        if settings.isResuming || isReplacing { arguments.append("--resume") }
        if !isReplacing { arguments.append("--fresh-members") }
        if settings.changesSettings, !isReplacing { arguments.append("--change-settings") }
        coordinator = try child("coordinator", arguments)
        coordinatorSilence = Silence()
    }

    /// Starts a child. It runs the program of the launcher's start, even when the program's file
    /// was replaced or removed since then.
    private func child(_ name: String, _ arguments: [String]) throws(RunError) -> ChildProcess {
        try ChildProcess(
            name: name, executable: settings.executable, image: image,
            arguments: arguments, output: settings.output)
    }

    /// The flags about keys; nil when the run has keys of its own.
    private var keyArguments: [String]? {
        settings.keys.map { ["--keys", $0] } ?? (settings.isInsecure ? ["--insecure"] : nil)
    }

    /// Waits until the coordinator listens, and sets `endpoint`.
    ///
    /// - Parameter former: Identity of the endpoint file before this coordinator was started. The
    ///   file stays when this coordinator is refused, since the run may be going on in other
    ///   processes.
    /// - Returns: Nil when the coordinator listens, otherwise the exit code of the run.
    private func awaitEndpoint(otherThan former: [Int]?) throws(RunError) -> Int? {
        let deadline = SteadyClock.now + .seconds(120)
        while SteadyClock.now < deadline {
            let found = FileSystem.identity(settings.directory.endpoint)
            if found != nil, found != former {
                let text = String(
                    decoding: try FileSystem.read(settings.directory.endpoint), as: UTF8.self)
                endpoint = text.split(separator: "\n").first.map(String.init) ?? ""
                if !endpoint.isEmpty { return nil }
            }
            if let end = coordinator?.poll() { return code(of: end) }
            if case .stopRequested = interruptions.wait(timeout: .milliseconds(5)) {
                coordinator?.stop(asking: SIGINT, within: .seconds(2))
                return ExitCode.interrupted
            }
        }
        throw .fault("the coordinator did not begin to listen within 120 s")
    }

    /// Divides the cores among the workers. Nothing is bound when there are too few cores, or when
    /// another run has bound its workers already; the system then schedules better by itself.
    private func divideCores() {
        let cluster = settings.configuration.cluster
        let allowed = CoreSet.allowed
        guard settings.bindsCores, cluster.workers > 1,
            allowed.cores.count >= cluster.workers * cluster.threads
        else { return }
        claim = CoreClaim()
        if claim != nil { freeCores = allowed.parts(cluster.workers) }
    }

    private func start(_ role: Role) throws(RunError) {
        let number = (started[role] ?? 0) + 1
        started[role] = number
        let name = "\(role.rawValue)-\(number)"
        let command = role == .worker ? settings.workerCommand : [role.rawValue]
        var arguments =
            command + [
                "--coordinator", endpoint, "--exit-with-parent", "--label",
                "\(role.rawValue) \(number)", "--log-file",
                "\(settings.directory.logs)/\(name).jsonl",
            ] + (keyArguments ?? ["--keys", settings.directory.keys])
        let cores = role == .worker && !freeCores.isEmpty ? freeCores.removeFirst() : nil
        if let cores { arguments += ["--cores", "\(cores)"] }
        if role == .worker {
            arguments += ["--threads", "\(settings.configuration.cluster.threads)"]
            arguments += settings.workerArguments
        }
        let child = try child("\(role.rawValue) \(number)", arguments)
        members.append(Member(role: role, child: child, cores: cores))
    }

    // MARK: Watching

    private func supervise() throws(RunError) -> Int {
        while true {
            if let end = coordinator?.poll(), try !replaceCoordinator(end) {
                return finalCode ?? code(of: end)
            }
            try replaceEnded()
            endSilent()
            guard case .stopRequested = interruptions.wait(timeout: .milliseconds(20)) else {
                continue
            }
            stopCount += 1
            if stopCount == 1 {
                note("stopping: the run is checkpointed first; once more to stop at once")
                coordinator?.send(signal: SIGINT)
            } else {
                coordinator?.send(signal: SIGKILL)
                for member in members { member.child.send(signal: SIGKILL) }
                return ExitCode.interrupted
            }
        }
    }

    /// Ends every child that hangs. Another child takes its place, as for one that was killed.
    private func endSilent() {
        let heartbeat = settings.configuration.cluster.heartbeatInterval
        let limit = max(Self.leastPatience, heartbeat * 3)
        if let coordinator,
            let time = coordinatorSilence.look(
                hasGivenSign: coordinator.hasGivenSign(), limit: limit)
        {
            end(coordinator, after: time)
            coordinatorSilence = Silence()
        }
        for index in members.indices {
            let child = members[index].child
            guard
                let time = members[index].silence.look(
                    hasGivenSign: child.hasGivenSign(), limit: limit)
            else { continue }
            end(child, after: time)
            members[index].silence = Silence()
        }
    }

    private func end(_ child: ChildProcess, after silence: Duration) {
        guard child.poll() == nil else { return }
        note(
            "\(child.name) (pid \(child.processIdentifier)) has given no sign of life for "
                + "\(NumberText.fixed(silence / .seconds(1), 1)) s; it is ended")
        hung.insert(child.processIdentifier)
        child.send(signal: SIGKILL)
    }

    /// Replaces a coordinator that a signal ended. The new coordinator finds the run in the
    /// journal. The members have gone on in the meantime and find it at the old address.
    ///
    /// - Returns: Whether another coordinator was started.
    private func replaceCoordinator(_ end: ChildProcess.End) throws(RunError) -> Bool {
        guard case .signalled = end, stopCount == 0, mayRestart() else { return false }
        note("the coordinator \(text(end, of: coordinator)); another takes its place")
        try startCoordinator(isReplacing: true)
        return true
    }

    /// Removes members that have ended. Another member takes the place of each that died or failed.
    /// A member that ended with exit code 0, 64 or 65 is not replaced.
    private func replaceEnded() throws(RunError) {
        for index in members.indices.reversed() {
            guard let end = members[index].child.poll() else { continue }
            let member = members.remove(at: index)
            let (role, child) = (member.role, member.child)
            if let cores = member.cores { freeCores.append(cores) }
            let log = "\(settings.directory.logs)/\(child.name.replacing(" ", with: "-")).jsonl"
            switch end {
            case .exited(ExitCode.done): break
            case .exited(let code) where code == ExitCode.data || code == ExitCode.usage:
                note("\(child.name) ended with exit code \(code), see \(log)")
                guard stopCount == 0, !members.contains(where: { $0.role == role }) else { continue }
                stopCount = 1
                finalCode = code
                note("no \(role.rawValue) is left that could go on; the run is stopped")
                coordinator?.send(signal: SIGINT)
            case .exited, .signalled:
                guard stopCount == 0, mayRestart() else {
                    note("\(child.name) \(text(end, of: child)); it is not replaced")
                    continue
                }
                try start(role)
                note(
                    "\(child.name) (pid \(child.processIdentifier)) \(text(end, of: child)); "
                        + "\(members[members.count - 1].child.name) takes its place")
            }
        }
    }

    private func mayRestart() -> Bool {
        let now = SteadyClock.now
        restarts.removeAll { now - $0 > .seconds(60) }
        let byteCount = FileSystem.byteCount(settings.directory.ledger)
        if byteCount > ledgerByteCount {
            ledgerByteCount = byteCount
            vainRestartCount = 0
        }
        guard restarts.count < Self.maximumRestartsPerMinute,
            vainRestartCount < Self.maximumVainRestarts
        else { return false }
        restarts.append(now)
        vainRestartCount += 1
        return true
    }

    private func text(_ end: ChildProcess.End, of child: ChildProcess?) -> String {
        if let child, hung.remove(child.processIdentifier) != nil { return "hung and was ended" }
        return switch end {
        case .exited(let code): "ended with exit code \(code)"
        case .signalled(let signal):
            signal == Int(SIGKILL)
                ? "was killed (signal 9: by someone, or by the kernel for lack of memory)"
                : "was ended by signal \(signal)"
        }
    }

    private func code(of end: ChildProcess.End) -> Int {
        switch end {
        case .exited(let code): return code
        case .signalled:
            note(
                "the coordinator \(text(end, of: coordinator)); go on with --resume \(settings.directory.path)"
            )
            return ExitCode.lost
        }
    }

    // MARK: Ending

    private func stopMembers() {
        let deadline = SteadyClock.now + .seconds(5)
        for member in members {
            _ = member.child.wait(within: max(.zero, deadline - SteadyClock.now))
        }
        for member in members { member.child.stop(within: .seconds(2)) }
        members = []
    }
}
