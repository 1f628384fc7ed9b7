/// What was found out about the hosts of a cluster file.
public struct ClusterFacts: Sendable {
    public enum Outcome: Sendable {
        case report(HostReport)
        /// The host could not be logged in to.
        case unreachable(String)
        case noDirectory
        /// The executable is not there, or does not start.
        case noExecutable(String)
        /// It started, but gave no report.
        case noReport(String)
    }

    public struct Host: Sendable {
        public var host: ClusterFile.Host
        public var outcome: Outcome
        /// Seconds since 1970 by the clock of the host that asked, around the question.
        public var askedAt: Double
        public var answeredAt: Double

        public init(
            host: ClusterFile.Host, outcome: Outcome, askedAt: Double, answeredAt: Double
        ) {
            self.host = host
            self.outcome = outcome
            self.askedAt = askedAt
            self.answeredAt = answeredAt
        }

        public var report: HostReport? {
            if case .report(let report) = outcome { report } else { nil }
        }
    }

    /// One try to connect from a host to another one that listened.
    public struct Link: Hashable, Sendable {
        public var source: String
        public var target: String
        public var probe: HostReport.Probe

        public init(from source: String, to target: String, _ probe: HostReport.Probe) {
            self.source = source
            self.target = target
            self.probe = probe
        }
    }

    public var hosts: [Host]
    public var links: [Link]

    public init(hosts: [Host], links: [Link] = []) {
        self.hosts = hosts
        self.links = links
    }
}
