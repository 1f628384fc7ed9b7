import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles

/// Starts a run on this machine, or on the hosts of a cluster file over ssh. The run's processes go
/// on after the launching process has ended.
///
/// 1. A host that has another program, or none, gets this program.
/// 2. `convoy doctor` inspects the hosts of a cluster file.
/// 3. Each host gets its keys.
/// 4. Each host's ``HostAgent`` starts its coordinator, servers and workers.
///
/// A second launch of the same run resumes from the newest checkpoint, or starts the processes that
/// are missing. A launch that fails ends the processes it has started. If it was killed before it
/// could do so, the next launch ends them.
package final class ClusterLaunch {
    /// What to launch, and how.
    package struct Settings {
        /// The path of this program.
        package var executable: String
        /// The run directory on this machine. On other hosts it is relative to the directory their
        /// processes run in.
        package var runDirectory: String
        /// The cluster file. Nil launches the run on this machine only, with the processes that the
        /// run file asks for.
        package var cluster: ClusterFile?
        /// Flags of `convoy coordinator`, without those that the launch sets itself.
        package var coordinatorArguments: [String] = []
        /// Files of this machine that the coordinator of a cluster file reads, by flag.
        package var files: [(flag: String, path: String)] = []
        /// Flags of `convoy worker` that say where its data is.
        package var workerArguments: [String] = []
        /// A keys directory. With a cluster file it holds either a directory for each host, or one
        /// key for all hosts.
        package var keys: String?
        /// Whether the processes use no keys.
        package var isInsecure = false
        /// Whether the launch goes on in spite of the doctor's errors.
        package var isForced = false
        /// Whether the coordinator accepts changed settings that decide bits.
        package var changesSettings = false
        /// The data set that the doctor looks for on each host.
        package var data = "fashion-mnist"
        /// The command that starts a command on another host, usually ssh.
        package var transport: [String]

        /// Creates settings with defaults for all else. The environment may replace ssh.
        ///
        /// - Throws: `.usage` when the command that replaces ssh is blank.
        package init(
            executable: String, runDirectory: String, cluster: ClusterFile?
        ) throws(RunError) {
            self.executable = executable
            self.runDirectory = runDirectory
            self.cluster = cluster
            transport = try HostShell.transport()
        }
    }

    private let settings: Settings
    private let crew: HostCrew
    private let interruptions: Interruptions
    private let show: (String) -> Void
    private let launch: String
    private let held: HeldFile
    private let former: RunHosts?
    private var hosts: [ClusterFile.Host]
    /// The path of the program on each host, by host name.
    private var executables: [String: String] = [:]
    private var start = CoordinatorStart.new
    /// Whether an earlier launch was completed, so that this launch only adds to it.
    private var wasComplete = false
    /// Whether there may be processes of this launch on the hosts.
    private var hasBegun = false

    /// Creates a launch and takes the run's lock against other launches.
    ///
    /// - Parameter show: Shows a line to people.
    /// - Throws: `.occupied` when another launch of the run is under way.
    package init(
        _ settings: Settings, interruptions: Interruptions, show: @escaping (String) -> Void
    ) throws(RunError) {
        self.settings = settings
        self.interruptions = interruptions
        self.show = show
        launch = "\(time(nil))-\(getpid())-\(UInt32.random(in: 0..<100_000))"
        hosts = settings.cluster?.hosts ?? [Self.thisMachine]
        let path =
            settings.cluster == nil
            ? ProcessList(runDirectory: settings.runDirectory).path
            : RunHosts.path(settings.runDirectory)
        held = try HeldFile(path, run: settings.runDirectory)
        former = settings.cluster == nil ? nil : RunHosts(path)
        crew = try HostCrew(
            transport: settings.transport, executable: settings.executable,
            interruptions: interruptions, show: show)
    }

    static let thisMachine = {
        var host = ClusterFile.Host(line: 0, name: "localhost")
        host.isCoordinator = true
        return host
    }()

    private var isOnHosts: Bool { settings.cluster != nil }

    private var head: ClusterFile.Host { hosts.first(where: \.isCoordinator) ?? hosts[0] }

    /// Launches the run. On failure it ends what it has started.
    ///
    /// - Returns: A short report of what was started.
    /// - Throws: `.lost` when a host was not reached, `.interrupted` when the launch was
    ///   interrupted, `.host` when a host cannot do its part, and other kinds for what is wrong
    ///   here.
    package func run() throws(RunError) -> String {
        do throws(RunError) { return try begin() } catch {
            giveUp()
            throw error
        }
    }

    private func begin() throws(RunError) -> String {
        if let former, !former.isComplete {
            show("ending what an unfinished launch has left")
            _ = try? ClusterStop.end(
                settings.runDirectory, former, within: 10, show: show,
                transport: settings.transport)
        }
        if isOnHosts { try bringPrograms() }
        try decideStart()
        if isOnHosts, start == .new || start == .resume { try inspect() }
        let keys = try hostKeys()
        try writeHosts(isComplete: false)
        hasBegun = true
        let joins = wasComplete
        _ = try ask(within: .seconds(90)) { _ in
            joins ? .join(launch: self.launch) : .prepare(launch: self.launch)
        }
        if !keys.isEmpty { _ = try ask(within: .seconds(60)) { keys[$0.name].map { .keys($0) } } }
        let endpoint = try startCoordinator()
        let members = try members(of: endpoint)
        let answers = try ask(within: .seconds(120)) { host in
            members[host.name].map { .members(launch: self.launch, $0) }
        }
        if isOnHosts {
            try writeHosts(isComplete: true)
        } else {
            _ = try ask(within: .seconds(30)) { _ in .complete }
        }
        let started = answers.values.reduce(0) { $0 + $1.started.count }
        return report(endpoint, members, started)
    }

    private func ask(
        within limit: Duration, payload: String? = nil,
        _ action: (ClusterFile.Host) -> HostRequest.Action?
    ) throws(RunError) -> [String: HostAnswer] {
        try crew.ask(hosts, within: limit, payload: payload) { host in
            action(host).map { HostRequest($0, of: self.settings.runDirectory) }
        }
    }

    // MARK: - Programs

    private func bringPrograms() throws(RunError) {
        let sum = HostFacts.sha256(try FileSystem.read(settings.executable))
        let said = try crew.run(on: hosts, within: .seconds(60)) { host in
            HostCrew.Order(
                line: ProgramCopy.look(
                    directory: host.directory, executable: self.settings.executable, sum: sum))
        }
        var wanting: [String: String] = [:]
        for host in hosts {
            switch ProgramCopy.State(said[host.name] ?? []) {
            case .ready(let path): executables[host.name] = path
            case .wanted(let place): wanting[host.name] = place
            case nil: throw .host("\(host.name): expected a word of its program, found none")
            }
        }
        if !wanting.isEmpty {
            show("copying \(settings.executable) to \(wanting.keys.sorted().joined(separator: " "))")
            let took = try crew.run(on: hosts, within: .seconds(900)) { host in
                wanting[host.name].map {
                    HostCrew.Order(
                        line: ProgramCopy.receive(place: $0, sum: sum), input: self.settings.executable)
                }
            }
            for (name, place) in wanting {
                guard ProgramCopy.State(took[name] ?? []) == .ready("\(place)/convoy") else {
                    throw .host("\(name): the program was not taken")
                }
                executables[name] = "\(place)/convoy"
            }
        }
        // A copied program runs in its own directory, unless the file names a directory.
        for index in hosts.indices {
            guard let path = executables[hosts[index].name], path != settings.executable else { continue }
            hosts[index].directory = FileSystem.parent(of: path)
        }
    }

    // MARK: - What is there

    private func decideStart() throws(RunError) {
        let answers = try ask(within: .seconds(60)) { _ in .look }
        guard let there = answers[head.name] else { throw .fault("no answer of \(head.name)") }
        let isComplete = former?.isComplete ?? there.isComplete
        var (missing, present) = (0, 0)
        for host in hosts {
            let running = answers[host.name]?.running ?? []
            for member in wanted(host) {
                if running.contains(member.name) { present += 1 } else { missing += 1 }
            }
        }
        if isComplete, there.isCoordinatorAnswering {
            guard missing > 0 else {
                throw .occupied(
                    "\(settings.runDirectory) runs already, in the processes listed in \(held.path)")
            }
            start = .none
        } else if there.hasCheckpoint {
            start = isComplete && present > 0 ? .replace : .resume
        }
        wasComplete = start == .none || start == .replace
        if wasComplete, settings.changesSettings {
            throw .usage(
                "--change-settings: the processes of \(settings.runDirectory) are at work with its "
                    + "settings; end them with convoy stop \(settings.runDirectory) first")
        }
    }

    /// Returns names, roles and threads of the servers and workers of a host. They are numbered
    /// within the host, so that they keep their names when the file gets other hosts.
    private func wanted(_ host: ClusterFile.Host) -> [(name: String, role: Role, threads: Int)] {
        var (servers, workers, threads) = (host.serverCount, host.workerCount, host.threadCount)
        if !isOnHosts {
            let path = RunDirectory(settings.runDirectory).configuration
            guard let configuration = try? RunConfiguration.load(file: path) else { return [] }
            let cluster = configuration.cluster
            (servers, workers, threads) = (cluster.servers, cluster.workers, cluster.threads)
        }
        return (0..<servers).map { ("server-\($0 + 1)", .server, 1) }
            + (0..<workers).map { ("worker-\($0 + 1)", .worker, threads) }
    }

    // MARK: - Preflight

    private func inspect() throws(RunError) {
        guard let cluster = settings.cluster else { return }
        let inspection = try ClusterInspection(
            cluster.with(hosts: hosts), executable: settings.executable, data: settings.data,
            limit: .seconds(60))
        inspection.interruptions = interruptions
        let facts = try inspection.facts()
        let findings = ClusterJudgement.findings(facts)
        for host in facts.hosts { if let line = host.summary { show(line) } }
        for finding in findings { show(finding.line) }
        let code = Finding.exitCode(findings)
        guard code == ExitCode.done || settings.isForced && code == ExitCode.data else {
            let text =
                "convoy doctor found what would make the run fail; --force tries it all the same"
            throw RunError(Failure(text: text, exitCode: code))
        }
    }

    // MARK: - Keys

    /// Returns the contents of each host's keys directory, by host name and file name. The result
    /// is empty without keys, and for a run on this machine only, which makes its own keys.
    private func hostKeys() throws(RunError) -> [String: [String: String]] {
        guard isOnHosts, !settings.isInsecure else { return [:] }
        let directory = settings.keys ?? "\(settings.runDirectory).keys"
        let isShared = FileSystem.exists("\(directory)/\(KeyRing.secretName)")
        if !isShared {
            let names = [head] + hosts.filter { $0.name != head.name }
            // Hosts that have keys keep them.
            _ = try KeyGenerator(output: directory, present: .keep)
                .make(nodes: names.map { Self.node($0.name) })
        }
        var keys: [String: [String: String]] = [:]
        for host in hosts {
            let source = isShared ? directory : "\(directory)/\(Self.node(host.name))"
            var files = [KeyRing.secretName, KeyRing.publicName, KeyRing.coordinatorName]
            // Workers connect to servers, and to one another where they hold parameters or relay.
            files += FileSystem.names(in: "\(source)/allowed").filter { $0.hasSuffix(".public") }
                .map { "allowed/\($0)" }
            var contents: [String: String] = [:]
            for file in files {
                contents[file] = String(
                    decoding: try FileSystem.read("\(source)/\(file)", atMost: 1 << 16), as: UTF8.self)
            }
            keys[host.name] = contents
        }
        return keys
    }

    /// Returns the name of a host's keys. `convoy keygen` accepts no addresses as names.
    static func node(_ name: String) -> String {
        let isAddress = name.contains(":") || name.allSatisfy { $0.isNumber || $0 == "." }
        return isAddress ? "host-\(name.replacing(":", with: "-"))" : name
    }

    // MARK: - Starting

    private func writeHosts(isComplete: Bool) throws(RunError) {
        guard isOnHosts else { return }
        var entries = hosts.map {
            RunHosts.Entry(host: $0, executable: executables[$0.name] ?? settings.executable)
        }
        // Hosts that are no longer in the file may still run processes.
        if wasComplete, let former {
            let names = Set(hosts.map(\.name))
            entries += former.entries.filter { !names.contains($0.host.name) }.map {
                var entry = $0
                entry.host.isCoordinator = false
                return entry
            }
        }
        try held.write(RunHosts(launch: launch, entries: entries, isComplete: isComplete).text)
    }

    private var security: [String] {
        if settings.isInsecure { return ["--insecure"] }
        guard !isOnHosts, let keys = settings.keys else { return [] }
        return ["--keys", keys]
    }

    /// Starts the coordinator unless it is at work.
    ///
    /// - Returns: The endpoint that the coordinator listens at.
    private func startCoordinator() throws(RunError) -> String {
        guard start != .none else {
            // Members find the coordinator at its present endpoint.
            return configuredEndpoint
        }
        var arguments = settings.coordinatorArguments + security
        if let cluster = settings.cluster {
            let servers = cluster.hosts.reduce(0) { $0 + $1.serverCount }
            let workers = cluster.hosts.reduce(0) { $0 + $1.workerCount }
            arguments += ["--workers", "\(workers)", "--servers", "\(servers)"]
            arguments += ["--listen", configuredEndpoint]
            for file in settings.files {
                let name = "\(file.flag)-\(file.path.split(separator: "/").last ?? "file")"
                _ = try ask(within: .seconds(300), payload: file.path) {
                    $0.isCoordinator ? .put(name: name) : nil
                }
                arguments += ["--\(file.flag)", "\(settings.runDirectory).\(name)"]
            }
        } else if !arguments.contains(where: { $0 == "--listen" || $0.hasPrefix("--listen=") }) {
            arguments += ["--listen", "tcp://127.0.0.1:*"]
        }
        let action = HostRequest.Action.coordinator(
            launch: launch, start: start, arguments: arguments)
        // A coordinator may have pictures to decode before it listens.
        let answers = try ask(within: .seconds(3660)) { $0.isCoordinator ? action : nil }
        return answers[head.name]?.endpoint ?? configuredEndpoint
    }

    private var configuredEndpoint: String {
        guard isOnHosts else {
            return (JournalReader.announced(RunDirectory(settings.runDirectory))).map { "\($0)" } ?? ""
        }
        let address = head.reachableAt
        let place = address.contains(":") ? "[\(address)]" : address
        return "tcp://\(place):\(head.port ?? ClusterFile.defaultPort)"
    }

    private func members(of endpoint: String) throws(RunError) -> [String: [HostMember]] {
        var members: [String: [HostMember]] = [:]
        for host in hosts {
            members[host.name] = wanted(host).map { name, role, threads in
                var words = [role.rawValue, "--coordinator", endpoint] + security
                if let address = host.address { words += ["--bind", address] }
                if role == .worker {
                    words += ["--threads", "\(threads)"] + settings.workerArguments
                }
                return HostMember(name: name, arguments: words)
            }
        }
        return members
    }

    private func report(
        _ endpoint: String, _ members: [String: [HostMember]], _ started: Int
    ) -> String {
        let all = members.values.flatMap { $0 }
        let servers = all.count { $0.name.hasPrefix(Role.server.rawValue) }
        let workers = all.count - servers
        let others = "\(CountText.of(started, "process", "processes")) for those that were gone"
        let what =
            switch start {
            case .new: ""
            case .resume: " (going on from its newest checkpoint)"
            case .replace: " (another coordinator\(started > 0 ? ", and \(others)" : ""))"
            case .none: " (\(others))"
            }
        let place = head.directory.map { ", in \($0)" } ?? ""
        var lines = [
            "run directory \(settings.runDirectory)\(isOnHosts ? " on \(head.name)\(place)" : "")\(what)"
        ]
        let on = isOnHosts ? " on \(CountText.of(hosts.count, "host", "hosts"))" : ""
        lines.append(
            "coordinator   \(endpoint), \(CountText.of(servers, "server", "servers")), "
                + "\(CountText.of(workers, "worker", "workers"))\(on)")
        lines.append("\(isOnHosts ? "hosts        " : "processes    ") \(held.path)")
        lines.append("follow it     convoy monitor \(settings.runDirectory)")
        lines.append("end it        convoy stop \(settings.runDirectory)")
        return lines.joined(separator: "\n")
    }

    // MARK: - Giving up

    private func giveUp() {
        defer { if held.isEmpty { held.remove() } }
        guard hasBegun else { return }
        if wasComplete {
            // Processes that were at work before this launch stay.
            try? writeHosts(isComplete: true)
            if !isOnHosts { try? ProcessList(runDirectory: settings.runDirectory).append("complete") }
            return
        }
        show("ending what was started")
        let entries = hosts.map {
            RunHosts.Entry(host: $0, executable: executables[$0.name] ?? settings.executable)
        }
        let all = RunHosts(launch: launch, entries: entries, isComplete: false)
        let isClean = try? ClusterStop.end(
            settings.runDirectory, all, within: 10, show: show, transport: settings.transport)
        if isOnHosts, isClean?.isClean == true { try? held.write("") }
    }
}

extension ClusterFile {
    /// Returns the same file with other properties of its hosts.
    func with(hosts: [Host]) -> ClusterFile { ClusterFile(fileName: fileName, hosts: hosts) }
}
