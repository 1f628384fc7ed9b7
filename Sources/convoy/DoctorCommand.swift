import ArgumentParser
import Backends
import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Glibc
import NeuralNetwork
import Partitions
import RunFiles
import Threads
import ZeroMQ

/// The command `convoy doctor`, which checks this host or the hosts of a cluster file.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "What this host has, or whether a run can start on the hosts of a cluster file.",
        discussion: """
            Exit codes: 0 nothing would make a run fail, 65 something would, or the cluster file \
            is bad, 69 a host of the cluster file is unreachable.
            """)

    @Option(help: "Check the hosts of this cluster file; see Cluster/hosts.example.")
    var cluster: String?

    @Flag(help: "With --cluster: a line a process, fields separated by tabs; checks nothing.")
    var printPlan = false

    @Option(
        help: "What starts a command on another host, in place of ssh (CONVOY_SSH does the same).")
    var ssh: String?

    @Option(help: "Seconds for one host to answer.")
    var timeout: Int = 60

    @Option(help: "Data set to look for; none for none. Without --json: fashion-mnist.")
    var data: String?

    @Flag(help: "The facts of this host as one JSON object, or the findings of a cluster.")
    var json = false

    @Option(help: "An address that processes shall listen at; may be repeated.")
    var bind: [String] = []

    @Option(help: "A port that must be free; may be repeated.")
    var freePort: [Int] = []

    @Option(help: "A host name that must resolve; may be repeated.")
    var resolve: [String] = []

    @Option(help: "Connect to HOST:PORT; may be repeated.")
    var connect: [String] = []

    @Option(help: "Listen at PORT (0: the system's choice) for SECONDS: PORT,SECONDS.")
    var listenProbe: String?

    @Option(help: "Where runs shall be written.")
    var directory: String?

    @Flag(help: .hidden)
    var exitWithParent = false

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            if let cluster { return try inspect(ClusterFile.load(cluster)) }
            if printPlan { throw .usage("--print-plan: it needs --cluster FILE") }
            if let listenProbe {
                try listen(try HostInspection.ListenProbe(listenProbe))
                return ExitCode.done
            }
            let isPlain = bind.isEmpty && freePort.isEmpty && resolve.isEmpty && connect.isEmpty
            if isPlain, !json { return checkHost() }
            Terminal.show(try Self.text(inspection().report()))
            return ExitCode.done
        }
    }

    // MARK: Facts

    /// Returns the inspection of this host that the flags ask for.
    private func inspection() throws(RunError) -> HostInspection {
        var inspection = HostInspection()
        inspection.addresses = bind
        for port in freePort {
            guard (1...65_535).contains(port) else {
                throw .usage("--free-port: expected a port from 1 to 65535, found \(port)")
            }
        }
        inspection.ports = freePort
        inspection.names = resolve
        for text in connect { inspection.targets.append(try HostInspection.target(text)) }
        inspection.directory = directory
        inspection.data = data == "none" ? nil : data
        return inspection
    }

    /// Returns a report as JSON.
    private static func text(_ report: HostReport) throws(RunError) -> String {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            return String(decoding: try encoder.encode(report), as: UTF8.self)
        } catch {
            throw .fault("cannot write the report: \(error)")
        }
    }

    /// Listens at a port for some seconds, so that another host can try to connect to it.
    private func listen(_ probe: HostInspection.ListenProbe) throws(RunError) {
        let interruptions = try Interruptions(watchingParent: exitWithParent)
        let address = bind.first ?? "0.0.0.0"
        let result = HostInspection.listen(probe, at: address) { port in
            Terminal.show("listening \(port)")
        } pause: { time in
            switch interruptions.wait(timeout: time) {
            case .stopRequested, .parentGone: true
            case .woken, .timeout: false
            }
        }
        if let trouble = result.trouble {
            throw .host(
                "--listen-probe: cannot listen at \(address) port \(probe.port): \(trouble)")
        }
    }

    // MARK: A cluster

    /// Checks whether a run can start on the hosts of a cluster file.
    ///
    /// - Returns: the exit code.
    private func inspect(_ file: ClusterFile) throws(RunError) -> Int {
        if printPlan {
            for process in file.plan { Terminal.show(process.line) }
            return ExitCode.done
        }
        guard (1...600).contains(timeout) else {
            throw .usage("--timeout: expected 1 to 600 seconds, found \(timeout)")
        }
        let inspection = try ClusterInspection(
            file, ssh: ssh, executable: try Executable.path(),
            data: data == "none" ? nil : data ?? "fashion-mnist", limit: .seconds(timeout))
        let facts = try inspection.facts()
        let findings = ClusterJudgement.findings(facts)
        let code = Finding.exitCode(findings)
        if json {
            let list = findings.map(\.json).joined(separator: ",")
            Terminal.show("{\"exit_code\":\(code),\"findings\":[\(list)]}")
            return code
        }
        for host in facts.hosts { if let line = host.summary { Terminal.show(line) } }
        for finding in findings { Terminal.show(finding.line) }
        let processes = file.plan.count
        Terminal.show(
            code == ExitCode.done
                ? "\(processes) processes can start on \(file.hosts.count) hosts"
                : "a run would fail: \(findings.filter { $0.severity > .warning }.count) findings")
        return code
    }

    // MARK: This host

    /// Checks what this host has, and shows a line for each check.
    ///
    /// - Returns: the exit code.
    private func checkHost() -> Int {
        var failures = 0
        func check(_ what: String, _ body: () throws -> String) {
            do { Terminal.show("ok    \(what): \(try body())") } catch {
                failures += 1
                Terminal.show("FAIL  \(what): \(error)")
            }
        }
        var inspection = HostInspection()
        inspection.directory = directory ?? "."
        inspection.names = [HostFacts.hostName]
        let report = inspection.report()
        check("host") { report.summary }
        check("build") { "\(report.build), Swift 6" }
        check("backend") {
            let kind = try Backends.resolve(.auto)
            return "\(kind.rawValue) with \(Backends.hostInstructionSet(kind)), of "
                + Backends.available.map(\.rawValue).joined(separator: ", ")
        }
        check("bf16") {
            Backends.hasBF16Instructions
                ? "by oneDNN, with instructions for it"
                : "by the native backend, no faster than fp32: "
                    + (Backends.available.contains(.oneDNN)
                        ? "this host has no instructions for it" : "this build has no oneDNN")
        }
        check("libzmq") {
            try LibraryVersion.current.requireSupported()
            return "\(LibraryVersion.current)"
        }
        check("encryption") {
            guard LibraryVersion.hasCurve else {
                throw RunError.keys("this libzmq was built without CURVE; runs need --insecure")
            }
            guard let keys = try KeyRing.given(nil) else { return "CURVE; no CONVOY_KEYS" }
            return "CURVE; keys of \(keys.directory), \(keys.publicKey)"
        }
        check("loopback") {
            let context = try Context()
            let socket = try Socket(context, .router)
            let endpoint = try socket.bind("tcp://127.0.0.1:*")
            socket.close()
            context.terminate()
            return "a port was had (\(endpoint))"
        }
        Terminal.show("ok    addresses: \(report.addressText)")
        check("data") {
            let specification = data ?? "fashion-mnist"
            let description = try DataSource.describe(DataSpecification(specification))
            return "\(specification): \(description.trainingCount) training and "
                + "\(description.testCount) test records of shape \(description.shape)"
        }
        for finding in ClusterJudgement.findings(report) {
            if finding.severity > .warning { failures += 1 }
            Terminal.show(finding.line)
        }
        return failures == 0 ? ExitCode.done : ExitCode.data
    }
}
