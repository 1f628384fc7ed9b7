/// Judges host names, addresses and connections between hosts.
extension ClusterJudgement {
    private var isAlone: Bool { facts.hosts.count == 1 }

    /// Judges the names that this host has to resolve. A name with `address=` is used by ssh only.
    /// All members connect to the coordinator's name, so trouble with it is an error.
    func names(_ host: ClusterFile.Host, _ report: HostReport) -> [Finding] {
        guard !isAlone else { return [] }
        return facts.hosts.map(\.host).filter { $0.address == nil }.compactMap { other in
            guard let lookup = report.lookups.first(where: { $0.name == other.name }) else {
                return nil
            }
            let isFatal = other.isCoordinator
            let own = other.name == host.name ? "its own name" : "the name of line \(other.line)"
            if lookup.addresses.isEmpty {
                return Finding(
                    isFatal ? .error : .warning, host.name, "host name",
                    expected: "\(other.name) (\(own)) to resolve",
                    found: lookup.failure ?? "no address",
                    advice: "add it to DNS or /etc/hosts, or give line \(other.line) an address=")
            }
            let loopback = lookup.addresses.filter(NetworkProbe.isLoopback)
            guard let first = loopback.first, loopback.count == lookup.addresses.count else {
                return nil
            }
            return Finding(
                isFatal ? .error : .warning, host.name, "host name",
                expected: "\(other.name) (\(own)) to resolve to an address that other hosts reach",
                found: "\(first), which is loopback",
                advice: "correct /etc/hosts, or give line \(other.line) an address=")
        }
    }

    func binds(_ host: ClusterFile.Host, _ report: HostReport) -> [Finding] {
        let own = report.interfaces.filter { !NetworkProbe.isLoopback($0.address) }
            .prefix(8).map { "\($0.address) (\($0.name))" }.joined(separator: ", ")
        return report.binds.compactMap { probe in
            switch probe.trouble {
            case nil: nil
            case .addressNotHere:
                Finding(
                    .error, host.name, "address",
                    expected: "\(probe.address) on an interface of the host",
                    found: own.isEmpty ? "loopback alone" : own,
                    advice: "correct address= in line \(host.line)")
            case .portInUse:
                Finding(
                    .error, host.name, "port", expected: "port \(probe.port) to be free",
                    found: "another process listens there",
                    advice: "end it, or choose another port= in line \(host.line)")
            case let trouble?:
                Finding(
                    .error, host.name, "port",
                    expected: "to listen at \(probe.address) port \(probe.port)",
                    found: "\(trouble)",
                    advice: "see address= and port= in line \(host.line)")
            }
        }
    }

    /// Returns what is wrong with the connections from this host to each other host.
    func links(_ host: ClusterFile.Host) -> [Finding] {
        let own = facts.links.filter { $0.source == host.name }
        return own.enumerated().compactMap { index, link in
            guard let trouble = link.probe.trouble, !isExplained(link) else { return nil }
            // All ports of a target with the same trouble share one finding.
            func isAlike(_ other: ClusterFacts.Link) -> Bool {
                other.target == link.target && other.probe.trouble == trouble
            }
            guard !own[..<index].contains(where: isAlike) else { return nil }
            let ports = own.filter(isAlike).map { "\($0.probe.port)" }
            let place =
                "\(link.target) at \(link.probe.address) "
                + (ports.count > 1 ? "ports " : "port ") + ports.joined(separator: " and ")
            let back = facts.links.first { $0.source == link.target && $0.target == link.source }
            let isOneWay = back.map { $0.probe.trouble == nil } ?? false
            return Finding(
                isNeeded(host, link.target) ? .error : .warning, host.name,
                trouble == .noRoute ? "route" : "port", expected: "a connection to \(place)",
                found: "\(trouble)" + (isOneWay ? ", while the other way is open" : ""),
                advice: advice(trouble, link))
        }
    }

    /// Returns whether the run needs a connection: members connect to the coordinator, and workers
    /// also connect to hosts with shards.
    private func isNeeded(_ source: ClusterFile.Host, _ targetName: String) -> Bool {
        guard let target = facts.hosts.first(where: { $0.host.name == targetName })?.host else {
            return false
        }
        let hasServers = facts.hosts.contains { $0.host.serverCount > 0 }
        let hostsShards = hasServers ? target.serverCount > 0 : target.workerCount > 0
        return target.isCoordinator || source.workerCount > 0 && hostsShards
    }

    /// Returns whether another finding explains the trouble: the name does not resolve or resolves
    /// to loopback, or the answer has no route back.
    private func isExplained(_ link: ClusterFacts.Link) -> Bool {
        if link.probe.trouble == .unresolved { return true }
        if link.probe.trouble == .noAnswer {
            return facts.links.contains {
                $0.source == link.target && $0.target == link.source
                    && $0.probe.trouble == .noRoute
            }
        }
        let source = facts.hosts.first { $0.host.name == link.source }?.report
        let lookup = source?.lookups.first { $0.name == link.probe.address }
        guard let addresses = lookup?.addresses, !addresses.isEmpty else { return false }
        return addresses.allSatisfy(NetworkProbe.isLoopback)
    }

    private func advice(_ trouble: NetworkTrouble, _ link: ClusterFacts.Link) -> String {
        switch trouble {
        case .noRoute:
            "see `ip route get \(link.probe.address)` on \(link.source): its network does not "
                + "reach the other's, or a firewall says so"
        case .noAnswer:
            "a firewall on \(link.source), \(link.target) or between them drops it; open TCP from "
                + "\(link.source) to \(link.target)"
        case .refused:
            "somebody in between rejects it, since \(link.target) listened; open TCP from "
                + "\(link.source) to \(link.target)"
        case .unresolved, .addressNotHere, .portInUse, .noPermission, .other:
            "see that TCP from \(link.source) to \(link.target) works"
        }
    }
}
