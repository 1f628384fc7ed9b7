/// The facts that `convoy doctor` collected about the hosts of a cluster file.
package struct ClusterFacts: Sendable {
    /// What a host's answer was.
    package enum Outcome: Sendable {
        case report(HostReport)
        /// The host could not be reached or logged in to.
        case unreachable(String)
        case noDirectory
        /// The executable does not exist, or does not start.
        case noExecutable(String)
        /// The executable started, but gave no report.
        case noReport(String)
    }

    /// One host of the file and its answer.
    package struct Host: Sendable {
        /// The host as the file describes it.
        package var host: ClusterFile.Host
        /// The host's answer.
        package var outcome: Outcome
        /// The time of the question, in seconds since 1970 by the asking host's clock.
        package var askedAt: Double
        /// The time of the answer, in seconds since 1970 by the asking host's clock.
        package var answeredAt: Double

        /// Creates the facts about a host.
        package init(
            host: ClusterFile.Host, outcome: Outcome, askedAt: Double, answeredAt: Double
        ) {
            self.host = host
            self.outcome = outcome
            self.askedAt = askedAt
            self.answeredAt = answeredAt
        }

        /// The host's report, if it gave one.
        package var report: HostReport? {
            if case .report(let report) = outcome { report } else { nil }
        }
    }

    /// One attempt to connect from a host to another host that listened.
    package struct Link: Hashable, Sendable {
        /// The name of the host that connected.
        package var source: String
        /// The name of the host that listened.
        package var target: String
        /// The result of the attempt.
        package var probe: HostReport.Probe

        /// Creates the result of an attempt.
        package init(from source: String, to target: String, _ probe: HostReport.Probe) {
            self.source = source
            self.target = target
            self.probe = probe
        }
    }

    /// The hosts in the order of the file.
    package var hosts: [Host]
    /// The attempts to connect.
    package var links: [Link]

    /// Creates the facts about a cluster.
    package init(hosts: [Host], links: [Link] = []) {
        self.hosts = hosts
        self.links = links
    }
}
