import ClusterProtocol
import RunFiles

/// Derives findings about a cluster from facts only. It reads no clock, file or network.
package struct ClusterJudgement {
    /// The difference of clocks that is accepted, in seconds.
    static let clockTolerance = 1.0
    /// The least free space that a coordinator can work with, in bytes.
    static let diskMinimum = 100 << 20
    /// The free space that a coordinator should have, in bytes.
    static let diskComfort = 1 << 30
    /// The least entropy that the kernel should have, in bits.
    static let entropyMinimum = 64
    /// The memory of a process without data, in bytes. This and `threadByteCount` were measured on
    /// the built-in model and rounded up.
    static let processByteCount = 128 << 20
    /// The memory of each compute thread in addition, in bytes.
    static let threadByteCount = 64 << 20

    let facts: ClusterFacts

    /// Returns all findings, in the order of the cluster file.
    package static func findings(_ facts: ClusterFacts) -> [Finding] {
        let judgement = ClusterJudgement(facts: facts)
        return facts.hosts.flatMap { judgement.findings($0) }
    }

    /// Returns the findings about a single host on which a whole run is to start.
    package static func findings(_ report: HostReport) -> [Finding] {
        var host = ClusterFile.Host(line: 1, name: report.hostName)
        host.isCoordinator = true
        host.workerCount = 1
        let only = ClusterFacts.Host(
            host: host, outcome: .report(report), askedAt: report.begunAt,
            answeredAt: report.endedAt)
        return findings(ClusterFacts(hosts: [only]))
    }

    private func findings(_ host: ClusterFacts.Host) -> [Finding] {
        guard case .report(let report) = host.outcome else { return [silence(host)] }
        var findings: [Finding] = []
        findings += build(host, report) + instructionSet(host, report) + clock(host, report)
        findings += cores(host.host, report) + memory(host.host, report)
        findings += disk(host.host, report) + entropy(host.host, report)
        findings += data(host.host, report)
        findings += names(host.host, report) + binds(host.host, report) + links(host.host)
        return findings
    }

    var coordinator: ClusterFacts.Host? { facts.hosts.first(where: \.host.isCoordinator) }

    // MARK: Hosts that gave no report

    private func silence(_ host: ClusterFacts.Host) -> Finding {
        let name = host.host.name
        let executable = "\(host.host.directory ?? "the directory of this convoy")"
        switch host.outcome {
        case .unreachable(let text):
            return Finding(
                .unreachable, name, "login", expected: "a shell over ssh without a question",
                found: text,
                advice: "see that `ssh -o BatchMode=yes \(host.host.destination) true` works")
        case .noDirectory:
            return Finding(
                .error, name, "directory", expected: "\(executable) on the host", found: "none",
                advice: "make it there, or correct directory= in line \(host.host.line)")
        case .noExecutable(let text):
            return Finding(
                .error, name, "executable", expected: "convoy in \(executable)", found: text,
                advice: "copy the executable there, or name its place with directory=")
        case .noReport(let text):
            return Finding(
                .error, name, "report", expected: "what `convoy doctor --json` says", found: text,
                advice: "copy this host's executable there")
        case .report: preconditionFailure("a host with a report is not silent")
        }
    }

    // MARK: Builds and clocks

    private func build(_ host: ClusterFacts.Host, _ report: HostReport) -> [Finding] {
        guard let reference = coordinator?.report, reference.build != report.build else {
            return []
        }
        return [
            Finding(
                .error, host.host.name, "build",
                expected: "\(reference.build), as on \(coordinator?.host.name ?? "")",
                found: report.build, advice: "copy one executable to all hosts")
        ]
    }

    private func instructionSet(_ host: ClusterFacts.Host, _ report: HostReport) -> [Finding] {
        guard host.host.workerCount > 0 else { return [] }
        guard InstructionSet.ascending.contains(report.instructionSet) else {
            return [
                Finding(
                    .error, host.host.name, "instruction set",
                    expected: "one of \(InstructionSet.ascending.joined(separator: ", "))",
                    found: report.instructionSet, advice: "use another host")
            ]
        }
        let all = facts.hosts.filter { $0.host.workerCount > 0 }
            .compactMap { $0.report?.instructionSet }
        guard let best = all.max(by: { InstructionSet.supports($1, $0) }),
            let least = InstructionSet.common(all), best != report.instructionSet
        else { return [] }
        return [
            Finding(
                .warning, host.host.name, "instruction set",
                expected: "\(best), as other workers have",
                found: report.instructionSet,
                advice: "with the onednn backend the run uses \(least) everywhere; for speed leave "
                    + "the slower hosts out")
        ]
    }

    /// Compares clocks. The host reads its clock between question and answer, so a time outside of
    /// these two is wrong.
    private func clock(_ host: ClusterFacts.Host, _ report: HostReport) -> [Finding] {
        let ahead = report.endedAt - host.answeredAt
        let behind = host.askedAt - report.begunAt
        let skew = max(ahead, behind)
        guard skew > Self.clockTolerance else { return [] }
        return [
            Finding(
                .warning, host.host.name, "clock",
                expected: "this host's time, within \(Self.clockTolerance) s",
                found: "at least \(NumberText.fixed(skew, 1)) s "
                    + (ahead > behind ? "ahead" : "behind"),
                advice: "set it, for instance with chrony; logs and metrics cannot be compared")
        ]
    }

    // MARK: Capacity

    private func cores(_ host: ClusterFile.Host, _ report: HostReport) -> [Finding] {
        let wanted = host.workerCount * host.threadCount
        guard wanted > report.coreCount else { return [] }
        return [
            Finding(
                .warning, host.name, "cores",
                expected: "\(wanted) for \(host.workerCount) workers of "
                    + "\(host.threadCount) threads",
                found: "\(report.coreCount)",
                advice: "lower workers= or threads= in line \(host.line)")
        ]
    }

    /// Returns the memory that the processes of a host need at least, in bytes. Each worker holds
    /// the data.
    static func neededByteCount(_ host: ClusterFile.Host, data: Int) -> Int {
        let processes = host.workerCount + host.serverCount + (host.isCoordinator ? 1 : 0)
        // The host reports this number, so it is limited: no host has more, and the sum below
        // cannot overflow.
        let data = min(max(0, data), 1 << 50)
        return processes * processByteCount
            + host.workerCount * (data + host.threadCount * threadByteCount)
    }

    private func memory(_ host: ClusterFile.Host, _ report: HostReport) -> [Finding] {
        let data = report.data?.byteCount ?? coordinator?.report?.data?.byteCount ?? 0
        let needed = Self.neededByteCount(host, data: data)
        let isHopeless = needed > report.memoryByteCount
        guard isHopeless || needed > report.availableByteCount else { return [] }
        let total = Self.mebibytes(report.memoryByteCount)
        return [
            Finding(
                isHopeless ? .error : .warning, host.name, "memory",
                expected: "about \(Self.mebibytes(needed)) for its processes",
                found: "\(Self.mebibytes(report.availableByteCount)) free of \(total)",
                advice: isHopeless
                    ? "lower workers= or servers= in line \(host.line)"
                    : "end what uses it, or lower workers= or servers=")
        ]
    }

    private func disk(_ host: ClusterFile.Host, _ report: HostReport) -> [Finding] {
        guard let directory = report.directory else { return [] }
        if !directory.isWritable {
            return [
                Finding(
                    .error, host.name, "directory",
                    expected: "\(directory.path) that can be written",
                    found: "no permission to write", advice: "change its owner or mode")
            ]
        }
        guard directory.freeByteCount < Self.diskComfort else { return [] }
        // Members write only logs; the coordinator also writes checkpoints.
        let fails = host.isCoordinator && directory.freeByteCount < Self.diskMinimum
        let wanted = host.isCoordinator ? Self.diskComfort : Self.diskMinimum
        guard directory.freeByteCount < wanted else { return [] }
        return [
            Finding(
                fails ? .error : .warning, host.name, "disk",
                expected: "\(Self.mebibytes(wanted)) free below \(directory.path)",
                found: Self.mebibytes(directory.freeByteCount),
                advice: "free some space, or use another directory")
        ]
    }

    private func entropy(_ host: ClusterFile.Host, _ report: HostReport) -> [Finding] {
        guard let bits = report.entropyBits, bits < Self.entropyMinimum else { return [] }
        return [
            Finding(
                .warning, host.name, "entropy", expected: "\(Self.entropyMinimum) bits or more",
                found: "\(bits)",
                advice: "wait after the host's start, or install rng-tools: drawing keys may hang")
        ]
    }

    private static func mebibytes(_ byteCount: Int) -> String {
        "\(NumberText.grouped(byteCount >> 20)) MiB"
    }

    // MARK: Data

    /// Judges the data. The coordinator needs the data set; workers may have it streamed. Every
    /// host that has it must have the same.
    private func data(_ host: ClusterFile.Host, _ report: HostReport) -> [Finding] {
        guard let data = report.data, host.isCoordinator || host.workerCount > 0 else { return [] }
        if let failure = data.failure {
            return [
                Finding(
                    host.isCoordinator ? .error : .warning, host.name, "data",
                    expected: "\(data.specification) on the host", found: failure,
                    advice: host.isCoordinator
                        ? "the coordinator needs the data set: copy it there"
                        : "it has to be streamed to this host, or copied to the same path")
            ]
        }
        guard let ours = coordinator?.report?.data?.fingerprint, let theirs = data.fingerprint,
            ours != theirs
        else { return [] }
        return [
            Finding(
                .error, host.name, "data",
                expected: "\(data.specification) with fingerprint \(ours.prefix(16)), as on "
                    + (coordinator?.host.name ?? ""), found: "fingerprint \(theirs.prefix(16))",
                advice: "copy one data set to all hosts")
        ]
    }
}
