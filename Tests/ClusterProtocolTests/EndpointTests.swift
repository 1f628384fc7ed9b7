import ClusterProtocol
import Testing

@Suite struct EndpointTests {
    @Test(arguments: [
        ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5555"), ("tcp://*:5555", "tcp://0.0.0.0:5555"),
        ("tcp://10.1.2.3:0", "tcp://10.1.2.3:*"), ("tcp://[FD00::1]:*", "tcp://[fd00::1]:*"),
        ("tcp://node-1.example:70", "tcp://node-1.example:70"), ("ipc:///tmp/x", "ipc:///tmp/x"),
        ("tcp://[::ffff:10.0.0.1]:7", "tcp://10.0.0.1:7"),
    ])
    func reads(_ text: String, _ written: String) throws {
        let endpoint = try #require(Endpoint(text))
        #expect("\(endpoint)" == written)
        #expect(Endpoint(written) == endpoint)
    }

    @Test(arguments: [
        "", "tcp://", "tcp://:", "tcp://:5", "tcp://1.2.3.4", "tcp://1.2.3.4:65536", "tcp://fd00::1:5",
        "tcp://[fd00::1]", "tcp://[fd00::g]:5", "tcp://1.2.3:5", "tcp://a b:5", "tcp://300.1.1.1:5",
        "udp://1.2.3.4:5", "ipc://", "nowhere", "tcp://a:+5", "inproc://x",
    ])
    func refuses(_ text: String) {
        #expect(Endpoint(text) == nil)
        let failure = #expect(throws: RunError.self) { try Endpoint(text, flag: "--listen") }
        #expect(failure?.kind == .usage)
        #expect(failure?.text.hasPrefix("--listen: ") == true)
    }

    @Test func placesBeside() throws {
        let open = try #require(Endpoint("tcp://[::]:5555"))
        #expect("\(open.beside(port: nil, suffix: "x"))" == "tcp://[::]:*")
        #expect("\(open.beside(port: 7, suffix: "x"))" == "tcp://[::]:7")
        #expect("\(Endpoint("ipc://a")!.beside(port: 7, suffix: "x"))" == "ipc://a.x")
        let known = try #require(Endpoint("tcp://head:9"))
        #expect("\(open.reached(like: known))" == "tcp://head:5555")
        #expect(known.reached(like: open) == known)
        #expect(!open.isReachable && known.isReachable)
        #expect(!open.isLocal && Endpoint("tcp://localhost:1")!.isLocal)
    }

    @Test(arguments: [
        ("10.1.2.3", "10.1.2.3"), ("10.1.2.3:5600", "10.1.2.3:5600"), ("10.1.2.3:*", "10.1.2.3"),
        ("10.1.0.0/16", "10.1.0.0/16"), ("10.1.0.0/16:5600", "10.1.0.0/16:5600"),
        ("fd00::1", "[fd00::1]"), ("[fd00::1]:5600", "[fd00::1]:5600"), ("fd00::/64", "fd00::/64"),
        ("eth0", "eth0"), ("eth0:7", "eth0:7"),
    ])
    func bindChoices(_ text: String, _ written: String) throws {
        #expect("\(try BindChoice(text))" == written)
    }

    @Test(arguments: ["", ":5", "10.1.2.3/33", "10.1.2.3:70000", "[fd00::1", "a b", "10.1.2.3.4"])
    func bindRefusals(_ text: String) {
        let failure = #expect(throws: RunError.self) { try BindChoice(text) }
        #expect(failure?.kind == .usage && failure?.text.hasPrefix("--bind: ") == true)
    }
}
