/// What was found out about the hosts of a cluster file.
package struct ClusterFacts: Sendable {
    package enum Outcome: Sendable {
        case report(HostReport)
        /// The host could not be logged in to.
        case unreachable(String)
        case noDirectory
        /// The executable is not there, or does not start.
        case noExecutable(String)
        /// It started, but gave no report.
        case noReport(String)
    }

    package struct Host: Sendable {
        package var host: ClusterFile.Host
        package var outcome: Outcome
        /// Seconds since 1970 by the clock of the host that asked, around the question.
        package var askedAt: Double
        package var answeredAt: Double

        package init(
            host: ClusterFile.Host, outcome: Outcome, askedAt: Double, answeredAt: Double
        ) {
            self.host = host
            self.outcome = outcome
            self.askedAt = askedAt
            self.answeredAt = answeredAt
        }

        package var report: HostReport? {
            if case .report(let report) = outcome { report } else { nil }
        }
    }

    /// One try to connect from a host to another one that listened.
    package struct Link: Hashable, Sendable {
        package var source: String
        package var target: String
        package var probe: HostReport.Probe

        package init(from source: String, to target: String, _ probe: HostReport.Probe) {
            self.source = source
            self.target = target
            self.probe = probe
        }
    }

    package var hosts: [Host]
    package var links: [Link]

    package init(hosts: [Host], links: [Link] = []) {
        self.hosts = hosts
        self.links = links
    }
}
