import ClusterHosts
import ClusterRuntime
import Testing

/// A healthy cluster of two hosts, which each test changes in one place.
@Suite struct ClusterJudgementTests {
    private static let gibibyte = 1 << 30

    private static func report(_ name: String, _ address: String) -> HostReport {
        HostReport(
            hostName: name, build: "b1", coreCount: 8, memoryByteCount: 16 * gibibyte,
            availableByteCount: 12 * gibibyte, backends: ["reference", "onednn"],
            instructionSet: "avx2", begunAt: 100, endedAt: 101, entropyBits: 256,
            interfaces: [
                .init(name: "lo", address: "127.0.0.1"), .init(name: "eth0", address: address),
            ],
            lookups: [
                .init(name: "head", addresses: ["10.0.0.1"]),
                .init(name: "node", addresses: ["10.0.0.2"]),
            ],
            directory: .init(path: "/runs", isWritable: true, freeByteCount: 50 * gibibyte),
            data: .init(specification: "idx:/d", fingerprint: "f1", byteCount: 50 << 20))
    }

    private static func good() throws -> ClusterFacts {
        let file = try ClusterFile(
            Array("head coordinator,server\nnode worker workers=2 threads=4".utf8),
            fileName: "hosts")
        let reports = [report("head", "10.0.0.1"), report("node", "10.0.0.2")]
        return ClusterFacts(
            hosts: zip(file.hosts, reports).map {
                .init(host: $0, outcome: .report($1), askedAt: 99.5, answeredAt: 101.5)
            },
            links: [
                .init(from: "head", to: "node", .init(address: "node", port: 40_000)),
                .init(from: "node", to: "head", .init(address: "head", port: 40_001)),
                .init(from: "node", to: "head", .init(address: "head", port: 5555)),
            ])
    }

    /// Returns the findings after a change of one host's report, the second host's by default.
    private func node(
        _ index: Int = 1, _ change: (inout HostReport) -> Void
    ) throws -> [Finding] {
        var facts = try Self.good()
        var report = try #require(facts.hosts[index].report)
        change(&report)
        facts.hosts[index].outcome = .report(report)
        return ClusterJudgement.findings(facts)
    }

    private func expect(
        _ findings: [Finding], _ severity: Finding.Severity, _ what: String, _ mentions: [String],
        host: String = "node", sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let lines = findings.map(\.line)
        #expect(findings.count == 1, "\(lines)", sourceLocation: sourceLocation)
        guard let finding = findings.first else { return }
        #expect(finding.severity == severity, "\(lines)", sourceLocation: sourceLocation)
        #expect(finding.what == what, "\(lines)", sourceLocation: sourceLocation)
        #expect(finding.host == host, "\(lines)", sourceLocation: sourceLocation)
        for mention in mentions {
            #expect(finding.line.contains(mention), "\(lines)", sourceLocation: sourceLocation)
        }
        let code = [Finding.Severity.warning: 0, .error: 65, .unreachable: 69][severity]
        #expect(Finding.exitCode(findings) == code, sourceLocation: sourceLocation)
    }

    @Test func nothingIsWrong() throws {
        #expect(ClusterJudgement.findings(try Self.good()) == [])
        #expect(Finding.exitCode([]) == 0)
    }

    @Test func hostsWithoutAReport() throws {
        let cases: [(ClusterFacts.Outcome, Finding.Severity, String, String)] = [
            (.unreachable("Permission denied"), .unreachable, "login", "Permission denied"),
            (.noDirectory, .error, "directory", "line 2"),
            (.noExecutable("convoy: not found"), .error, "executable", "not found"),
            (.noReport("exit code 64"), .error, "report", "exit code 64"),
        ]
        for (outcome, severity, what, mention) in cases {
            var facts = try Self.good()
            facts.hosts[1].outcome = outcome
            expect(ClusterJudgement.findings(facts), severity, what, [mention])
        }
        // Without a report of the coordinator's host nothing is left to compare others with: no
        // false alarm.
        var facts = try Self.good()
        facts.hosts[0].outcome = .unreachable("down")
        expect(ClusterJudgement.findings(facts), .unreachable, "login", ["down"], host: "head")
    }

    @Test func buildsDiffer() throws {
        expect(try node { $0.build = "b2" }, .error, "build", ["b1, as on head", "found b2"])
    }

    @Test func instructionSetsDiffer() throws {
        var facts = try Self.good()
        facts.hosts[0].host.workerCount = 1
        var report = try #require(facts.hosts[1].report)
        report.instructionSet = "avx"
        facts.hosts[1].outcome = .report(report)
        expect(
            ClusterJudgement.findings(facts), .warning, "instruction set",
            ["expected avx2", "found avx;", "the run uses avx everywhere"])
        expect(
            try node { $0.instructionSet = "z80" }, .error, "instruction set", ["generic", "z80"])
        // The instruction set of a host without workers does not matter.
        #expect(try node(0) { $0.instructionSet = "sse41" } == [])
    }

    @Test(arguments: [(2.6, "ahead"), (-1.6, "behind")])
    func clocksDiffer(_ offset: Double, _ direction: String) throws {
        let findings = try node {
            $0.begunAt = 100 + offset
            $0.endedAt = 101 + offset
        }
        expect(findings, .warning, "clock", [direction, "s \(direction)"])
        // An offset that the query's own duration may explain is no finding.
        #expect(
            try node {
                $0.begunAt += offset > 0 ? 1.4 : -1.4
                $0.endedAt += offset > 0 ? 1.4 : -1.4
            } == [])
    }

    @Test func fewerCoresThanThreads() throws {
        expect(
            try node { $0.coreCount = 7 }, .warning, "cores",
            ["expected 8 for 2 workers of 4 threads", "found 7", "line 2"])
    }

    @Test func tooLittleMemory() throws {
        expect(
            try node { $0.availableByteCount = 500 << 20 }, .warning, "memory", ["500 MiB free"])
        expect(
            try node {
                $0.availableByteCount = 500 << 20
                $0.memoryByteCount = 600 << 20
            }, .error, "memory", ["500 MiB free of 600 MiB", "lower workers="])
    }

    @Test func littleDiskSpace() throws {
        func disk(_ host: Int, _ byteCount: Int) throws -> [Finding] {
            try node(host) { $0.directory?.freeByteCount = byteCount }
        }
        expect(try disk(0, 200 << 20), .warning, "disk", ["/runs", "200 MiB"], host: "head")
        expect(try disk(0, 50 << 20), .error, "disk", ["50 MiB"], host: "head")
        #expect(try disk(1, 200 << 20) == [])
        expect(try disk(1, 50 << 20), .warning, "disk", ["50 MiB"])
        expect(
            try node { $0.directory?.isWritable = false }, .error, "directory", ["permission"])
    }

    @Test func littleEntropy() throws {
        expect(try node { $0.entropyBits = 12 }, .warning, "entropy", ["found 12"])
        #expect(try node { $0.entropyBits = nil } == [])
    }

    @Test func dataIsMissingOrAnother() throws {
        let missing = HostReport.Data(
            specification: "idx:/d", fingerprint: nil, byteCount: nil, failure: "/d is not there")
        expect(
            try node { $0.data = missing }, .warning, "data", ["/d is not there", "streamed"])
        expect(
            try node(0) { $0.data = missing }, .error, "data", ["copy it there"], host: "head")
        expect(
            try node { $0.data?.fingerprint = "f2" }, .error, "data",
            ["fingerprint f1, as on head", "found fingerprint f2"])
    }

    @Test func namesThatDoNotHelp() throws {
        func names(_ host: Int, _ name: Int, _ lookup: HostReport.Lookup) throws -> [Finding] {
            try node(host) { $0.lookups[name] = lookup }
        }
        let unknown = "Name or service not known"
        expect(
            try names(1, 0, .init(name: "head", addresses: [], failure: unknown)), .error,
            "host name", ["head (the name of line 1) to resolve", unknown])
        expect(
            try names(1, 1, .init(name: "node", addresses: [], failure: unknown)), .warning,
            "host name", ["node (its own name)"])
        expect(
            try names(0, 0, .init(name: "head", addresses: ["127.0.1.1"])), .error, "host name",
            ["head (its own name)", "127.0.1.1, which is loopback", "address="], host: "head")
        // One address that others can reach is enough.
        #expect(try names(0, 0, .init(name: "head", addresses: ["::1", "10.0.0.1"])) == [])
    }

    /// A name that cannot be resolved is reported once, not again for each connection that fails
    /// because of it.
    @Test func aNameExplainsItsConnections() throws {
        for (lookup, trouble) in [
            (HostReport.Lookup(name: "head", addresses: ["127.0.1.1"]), NetworkTrouble.refused),
            (.init(name: "head", addresses: [], failure: "unknown"), .unresolved),
        ] {
            var facts = try Self.good()
            var report = try #require(facts.hosts[1].report)
            report.lookups[0] = lookup
            facts.hosts[1].outcome = .report(report)
            facts.links[1].probe.trouble = trouble
            facts.links[2].probe.trouble = trouble
            expect(ClusterJudgement.findings(facts), .error, "host name", ["head"])
        }
    }

    @Test func anAddressMakesNamesIrrelevant() throws {
        var facts = try Self.good()
        facts.hosts[0].host.address = "10.0.0.1"
        var report = try #require(facts.hosts[1].report)
        report.lookups[0] = .init(name: "head", addresses: [], failure: "unknown")
        facts.hosts[1].outcome = .report(report)
        #expect(ClusterJudgement.findings(facts) == [])
    }

    @Test func addressesAndPorts() throws {
        func bind(_ trouble: NetworkTrouble) throws -> [Finding] {
            try node { $0.binds = [.init(address: "10.0.0.9", port: 5555, trouble: trouble)] }
        }
        expect(
            try bind(.addressNotHere), .error, "address",
            ["10.0.0.9 on an interface", "found 10.0.0.2 (eth0)", "address= in line 2"])
        expect(try bind(.portInUse), .error, "port", ["port 5555 to be free", "port="])
        expect(try bind(.noPermission), .error, "port", ["no permission"])
        expect(
            try node {
                $0.interfaces = []
                $0.binds = [.init(address: "10.0.0.9", port: 0, trouble: .addressNotHere)]
            }, .error, "address", ["loopback alone"])
    }

    @Test func waysBetweenHosts() throws {
        func link(_ index: Int, _ trouble: NetworkTrouble) throws -> [Finding] {
            var facts = try Self.good()
            facts.links[index].probe.trouble = trouble
            return ClusterJudgement.findings(facts)
        }
        expect(
            try link(2, .noAnswer), .error, "port",
            ["head at head port 5555", "no answer, while the other way is open", "firewall"])
        expect(try link(2, .refused), .error, "port", ["refused", "listened"])
        expect(try link(2, .noRoute), .error, "route", ["no route", "ip route get head"])
        // With servers, no process connects to a host that has only workers.
        expect(
            try link(0, .noAnswer), .warning, "port", ["while the other way is open"], host: "head")
        var facts = try Self.good()
        for index in facts.links.indices { facts.links[index].probe.trouble = .noAnswer }
        let findings = ClusterJudgement.findings(facts)
        #expect(findings.map(\.severity) == [.warning, .error])
        #expect(findings[1].line.contains("head at head ports 40001 and 5555"), "\(findings)")
        #expect(!findings.contains { $0.line.contains("the other way") })
    }

    /// A host without a route cannot answer either, so the missing answer is not reported too.
    @Test func aMissingRouteExplainsAMissingAnswer() throws {
        var facts = try Self.good()
        facts.links[0].probe.trouble = .noAnswer
        facts.links[1].probe.trouble = .noRoute
        facts.links[2].probe.trouble = .noRoute
        expect(
            ClusterJudgement.findings(facts), .error, "route",
            ["head at head ports 40001 and 5555", "no route"])
    }

    /// Without servers, workers host the shards, so they connect to one another.
    @Test func withoutServersWorkersNeedOneAnother() throws {
        var facts = try Self.good()
        facts.hosts[0].host.serverCount = 0
        facts.hosts[0].host.workerCount = 1
        facts.links[0].probe.trouble = .noAnswer
        expect(ClusterJudgement.findings(facts), .error, "port", ["node at node"], host: "head")
    }

    @Test func aloneALoopbackNameIsFine() throws {
        var facts = try Self.good()
        facts.hosts = [facts.hosts[0]]
        facts.links = []
        var report = try #require(facts.hosts[0].report)
        report.lookups = [.init(name: "head", addresses: ["127.0.1.1"])]
        facts.hosts[0].outcome = .report(report)
        #expect(ClusterJudgement.findings(facts) == [])
    }

    /// Text from a host must not steer the terminal.
    @Test func linesStayLines() throws {
        let line = try #require(try node { $0.build = "b2\n\u{1B}[2J" }.first).line
        #expect(!line.contains("\n") && !line.contains("\u{1B}"))
    }
}
