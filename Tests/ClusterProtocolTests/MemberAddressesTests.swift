import ClusterProtocol
import Testing

@Suite struct MemberAddressesTests {
    private static let locals: [MemberAddresses.Local] = [
        ("lo", "127.0.0.1"), ("lo", "::1"), ("eth0", "10.1.2.3"), ("eth0", "fe80::7"),
        ("eth0", "fd00::3"), ("eth1", "10.2.2.3"), ("eth1", "10.1.9.9"),
    ].map { .init(interface: $0, address: NetworkAddress($1)!) }

    private struct Case {
        var coordinator: String
        var resolved: String?
        var bind: String?
        var announce: String?
        var announced: [String] = []
        var route: String? = "10.1.2.3"
    }

    private func addresses(_ given: Case) throws -> MemberAddresses {
        let endpoint = try #require(Endpoint(given.coordinator))
        var known: [NetworkAddress] = given.resolved.flatMap { NetworkAddress($0) }.map { [$0] } ?? []
        if case .address(let address) = endpoint.host { known = [address] }
        return try MemberAddresses(
            coordinator: endpoint, bind: given.bind.map { try BindChoice($0) },
            announce: given.announce.flatMap { Endpoint.Host($0) },
            facts: .init(
                coordinator: known, announced: given.announced.compactMap { NetworkAddress($0) },
                locals: Self.locals, route: given.route.flatMap { NetworkAddress($0) }))
    }

    private func check(
        _ given: Case, _ listen: String, _ announced: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let found = try addresses(given)
        #expect("\(found.listen)" == listen, sourceLocation: sourceLocation)
        #expect(
            found.announcedHost.map { "\($0)" } == announced, sourceLocation: sourceLocation)
    }

    @Test func loopbackStaysLoopback() throws {
        try check(.init(coordinator: "tcp://127.0.0.1:5", route: "127.0.0.1"), "tcp://127.0.0.1:*")
        try check(.init(coordinator: "tcp://127.0.0.2:5", route: "127.0.0.1"), "tcp://127.0.0.1:*")
        try check(.init(coordinator: "tcp://[::1]:5", route: "::1"), "tcp://[::1]:*")
        try check(
            .init(coordinator: "tcp://localhost:5", resolved: "127.0.0.1"), "tcp://127.0.0.1:*")
        try check(.init(coordinator: "ipc://x", route: nil), "tcp://127.0.0.1:*")
    }

    @Test func theRouteDecidesOtherwise() throws {
        try check(.init(coordinator: "tcp://10.1.0.1:5"), "tcp://10.1.2.3:*")
        try check(
            .init(coordinator: "tcp://head:5", resolved: "10.2.0.1", route: "10.2.2.3"),
            "tcp://10.2.2.3:*")
        try check(.init(coordinator: "tcp://[fd00::1]:5", route: "fd00::3"), "tcp://[fd00::3]:*")
    }

    @Test func whatBindSays() throws {
        let head = "tcp://10.1.0.1:5"
        try check(.init(coordinator: head, bind: "10.2.0.0/16:5600"), "tcp://10.2.2.3:5600")
        // When two addresses of this host fit, the one that the route uses is taken.
        try check(.init(coordinator: head, bind: "10.1.0.0/16"), "tcp://10.1.2.3:*")
        try check(
            .init(coordinator: head, bind: "10.1.0.0/16", route: "10.1.9.9"), "tcp://10.1.9.9:*")
        try check(.init(coordinator: head, bind: "eth0", route: "10.2.2.3"), "tcp://10.1.2.3:*")
        try check(.init(coordinator: head, bind: "fd00::/16", route: "10.2.2.3"), "tcp://[fd00::3]:*")
        try check(.init(coordinator: head, bind: "0.0.0.0:7"), "tcp://0.0.0.0:7", "10.1.2.3")
        try check(
            .init(coordinator: head, bind: "::", announce: "203.0.113.9"), "tcp://[::]:*",
            "203.0.113.9")
        try check(
            .init(coordinator: head, bind: "127.0.0.1:7", announce: "gate", announced: ["10.9.9.9"]),
            "tcp://127.0.0.1:7", "gate")
        try check(
            .init(
                coordinator: "tcp://head:5", resolved: "127.0.1.1", bind: "10.1.2.3",
                route: "127.0.0.1"), "tcp://10.1.2.3:*")
    }

    @Test func neverLoopbackToOthers() {
        func refused(_ given: Case, _ mentions: String..., flag: String) {
            let failure = #expect(throws: RunError.self) { try addresses(given) }
            #expect(failure?.kind == .usage)
            #expect(failure?.text.hasPrefix("\(flag): ") == true, "\(failure?.text ?? "")")
            for mention in mentions {
                #expect(failure?.text.contains(mention) == true, "\(failure?.text ?? "")")
            }
        }
        let head = "tcp://10.1.0.1:5"
        refused(.init(coordinator: head, bind: "127.0.0.1"), "10.1.2.3 (eth0)", flag: "--bind")
        refused(.init(coordinator: head, announce: "127.0.0.1"), flag: "--announce")
        refused(
            .init(coordinator: head, announce: "node1", announced: ["127.0.1.1"]), "127.0.1.1",
            "/etc/hosts", "10.1.2.3 (eth0)", flag: "--announce")
        refused(
            .init(coordinator: "tcp://head:5", resolved: "127.0.1.1", route: "127.0.0.1"),
            "127.0.1.1", "/etc/hosts", "--bind", flag: "--coordinator")
        refused(.init(coordinator: head, route: nil), "no route", flag: "--coordinator")
        refused(.init(coordinator: head, bind: "10.7.0.0/16"), "10.7.0.0/16", flag: "--bind")
        refused(.init(coordinator: head, bind: "eth7"), "eth7", flag: "--bind")
        refused(
            .init(coordinator: head, bind: "0.0.0.0", route: nil), "--announce", flag: "--bind")
    }
}
