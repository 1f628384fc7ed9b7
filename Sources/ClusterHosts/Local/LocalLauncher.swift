import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles
import Threads

/// Runs a whole cluster on this machine: starts coordinator, servers and workers as child processes,
/// replaces those that die, and leaves none behind.
package final class LocalLauncher {
    package struct Settings: Sendable {
        package var executable: String
        package var configuration: RunConfiguration
        package var directory: RunDirectory
        package var isResuming: Bool
        /// Takes settings that decide bits and differ from those that the run has.
        package var changesSettings = false
        /// The subcommand that workers are started with.
        package var workerCommand = ["worker"]
        /// Flags of workers alone: where they find their data.
        package var workerArguments: [String] = []
        /// Whether workers are bound to cores of their own, where there are enough.
        package var bindsCores = true
        /// A file for what the children print; nil lets them share this process's output.
        package var output: String?
        /// The keys directory of all processes; nil: the coordinator makes one for the run.
        package var keys: String?
        /// Without keys there shall be none.
        package var isInsecure = false

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

    /// Replacements of members within one minute before the launcher gives up on them.
    private static let maximumRestartsPerMinute = 120
    /// The same without a new step in the ledger: processes that die again and again, at the same
    /// place maybe, shall not do so for ever.
    private static let maximumVainRestarts = 60
    /// However short heartbeats are, a busy machine may keep a process from running for as long.
    private static let leastPatience = Duration.seconds(1)

    private let settings: Settings
    /// This very program, when it is what children run.
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
    /// Cores that no worker is bound to at the moment.
    private var freeCores: [CoreSet] = []
    private var started: [Role: Int] = [:]
    private var restarts: [Duration] = []
    private var vainRestartCount = 0
    private var ledgerByteCount = 0
    private var endpoint = ""
    private var stopCount = 0
    /// Processes that this one has ended because they hung.
    private var hung: Set<Int32> = []
    /// Why those who ended by themselves leave nobody for their role: nobody will come.
    private var finalCode: Int?

    /// - Parameter note: shows a line to the person who started this.
    package init(
        _ settings: Settings, interruptions: Interruptions, note: @escaping (String) -> Void
    ) {
        self.settings = settings
        let own = "/proc/self/exe"
        image = FileSystem.target(ofLink: own) == settings.executable ? own : nil
        self.interruptions = interruptions
        self.note = note
    }

    /// Runs to the end of the run.
    ///
    /// - Returns: the exit code of the run.
    package func run() throws(Failure) -> Int {
        let directory = settings.directory
        let wasThere = settings.isResuming ? true : try directory.create()
        defer { if !settings.isResuming { directory.removeIfUnused(wasThere: wasThere) } }
        try FileSystem.makeDirectories(directory.logs)
        // The coordinator takes it over once everything is checked.
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

    /// - Parameter isReplacing: the one before it died, and members of the run are at work.
    private func startCoordinator(isReplacing: Bool = false) throws(Failure) {
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

    /// A child runs the program that was there at the start, even when its file was replaced or removed
    /// since.
    private func child(_ name: String, _ arguments: [String]) throws(Failure) -> ChildProcess {
        try ChildProcess(
            name: name, executable: settings.executable, image: image,
            arguments: arguments, output: settings.output)
    }

    /// Nil where the run has keys of its own.
    private var keyArguments: [String]? {
        settings.keys.map { ["--keys", $0] } ?? (settings.isInsecure ? ["--insecure"] : nil)
    }

    /// Waits until the coordinator listens; its exit code when it ends instead.
    ///
    /// - Parameter former: the file of the run's coordinator before, which stays where this one is
    ///   refused: that run may be going on.
    private func awaitEndpoint(otherThan former: [Int]?) throws(Failure) -> Int? {
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
        throw .internalError("the coordinator did not begin to listen within 120 s")
    }

    /// Each worker gets its part of the cores. With several on one core, or another run that has done
    /// the same, the system knows better.
    private func divideCores() {
        let cluster = settings.configuration.cluster
        let allowed = CoreSet.allowed
        guard settings.bindsCores, cluster.workers > 1,
            allowed.cores.count >= cluster.workers * cluster.threads
        else { return }
        claim = CoreClaim()
        if claim != nil { freeCores = allowed.parts(cluster.workers) }
    }

    private func start(_ role: Role) throws(Failure) {
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

    private func supervise() throws(Failure) -> Int {
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

    /// A child that hangs is ended; another takes its place, as for one that was killed.
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

    /// A coordinator that was killed is replaced; it finds the run in the journal, and the members,
    /// who have gone on meanwhile, find it at its old address.
    private func replaceCoordinator(_ end: ChildProcess.End) throws(Failure) -> Bool {
        guard case .signalled = end, stopCount == 0, mayRestart() else { return false }
        note("the coordinator \(text(end, of: coordinator)); another takes its place")
        try startCoordinator(isReplacing: true)
        return true
    }

    /// A member that died is replaced; one that ended by itself is not.
    private func replaceEnded() throws(Failure) {
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
