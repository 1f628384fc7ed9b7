import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import TestSupport
import Testing

@Suite struct ClusterFileTests {
    private func file(_ text: String) throws -> ClusterFile {
        try ClusterFile(Array(text.utf8), fileName: "hosts")
    }

    @Test func everythingIsRead() throws {
        let file = try file(
            """
            # head and servers

            head  coordinator,server port=6000 address=10.0.0.1 servers=2\r
            \tnode-2.lab   worker  workers=3 threads=8 user=train directory=/opt/convoy # fast
            10.0.0.3 worker address=fd00::3
            """)
        #expect(file.hosts.map(\.name) == ["head", "node-2.lab", "10.0.0.3"])
        #expect(file.hosts.map(\.line) == [3, 4, 5])
        let head = file.coordinator
        #expect(head.isCoordinator && head.serverCount == 2 && head.workerCount == 0)
        #expect(head.port == 6000)
        #expect(head.reachableAt == "10.0.0.1")
        #expect(head.destination == "head")
        let node = file.hosts[1]
        #expect(node.workerCount == 3 && node.threadCount == 8)
        #expect(node.destination == "train@node-2.lab")
        #expect(node.reachableAt == "node-2.lab")
        #expect(node.directory == "/opt/convoy")
        #expect(node.port == nil)
        #expect(file.hosts[2].address == "fd00::3")
        #expect(
            file.plan.map(\.line) == [
                "coordinator\t1\thead\t-\t10.0.0.1\t6000\t-\t-",
                "server\t1\thead\t-\t10.0.0.1\t-\t-\t-", "server\t2\thead\t-\t10.0.0.1\t-\t-\t-",
                "worker\t1\tnode-2.lab\ttrain\t-\t-\t8\t/opt/convoy",
                "worker\t2\tnode-2.lab\ttrain\t-\t-\t8\t/opt/convoy",
                "worker\t3\tnode-2.lab\ttrain\t-\t-\t8\t/opt/convoy",
                "worker\t4\t10.0.0.3\t-\tfd00::3\t-\t1\t-",
            ])
    }

    @Test func aByteOrderMarkIsPassedOver() throws {
        let file = try file("\u{FEFF}head coordinator,worker\r\nother worker\r\n")
        #expect(file.hosts.map(\.name) == ["head", "other"])
    }

    @Test func defaults() throws {
        let host = try file("a coordinator,worker").hosts[0]
        #expect(host.port == 5555 && host.workerCount == 1 && host.threadCount == 1)
        #expect(host.serverCount == 0 && host.user == nil && host.address == nil)
    }

    /// The example parses to what its comments say.
    @Test func exampleIsGood() throws {
        let here = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let file = try ClusterFile.load("/\(here)/Cluster/hosts.example")
        #expect(file.hosts.count == 4)
        #expect(file.plan.count == 1 + 1 + 6)
    }

    @Test(arguments: [
        ("", "role coordinator, found none"), ("# nothing\n", "found none"),
        ("a worker", "role coordinator, found none"), ("a coordinator", "role worker, found none"),
        ("a coordinator,worker\nb coordinator", "found 2 (line 1, line 2)"),
        ("a coordinator,worker\na worker", "line 2: host a: expected one line a host"),
        ("a", "line 1: host a: expected a role"), ("a boss", "found 'boss'"),
        ("a worker,", "found ''"), ("a worker,worker", "worker twice"),
        ("a worker 4", "'4': expected KEY=VALUE"), ("a worker slots=4", "found another key"),
        ("a worker threads", "found no value"), ("a worker threads=", "found ''"),
        ("a worker threads=0", "from 1 to 1024"), ("a worker threads=1025", "from 1 to 1024"),
        ("a worker threads=-1", "found '-1'"), ("a worker threads=+1", "found '+1'"),
        ("a worker threads=1e3", "found '1e3'"),
        ("a worker threads=99999999999999999999", "from 1 to 1024"),
        ("a worker threads=1 threads=1", "found it twice"),
        ("a worker workers=0", "from 1 to 1024"), ("a server workers=1", "with the role worker"),
        ("a server threads=1", "with the role worker"),
        ("a worker servers=1", "with the role server"), ("a server servers=0", "from 1 to 1024"),
        ("a worker port=5555", "with the role coordinator"),
        ("a coordinator port=0", "from 1 to 65535"),
        ("a coordinator port=65536", "from 1 to 65535"),
        ("a worker user=", "user="), ("a worker user=-oProxyCommand=x", "user="),
        ("a worker user=a;b", "user="), ("a worker address=", "address="),
        ("a worker address=head", "an IPv4 or IPv6 address"),
        ("a worker address=10.0.0.256", "found '10.0.0.256'"),
        ("a worker directory=opt", "an absolute path"), ("a worker directory=", "an absolute path"),
        ("-oProxyCommand=x worker", "line 1: host"), ("a$(x) worker", "line 1: host"),
        ("a'b worker", "line 1: host"),
    ])
    func badLinesAreNamed(_ text: String, _ mention: String) {
        let failure = failure { try file(text) }
        #expect(failure?.kind == .configuration)
        #expect(failure?.text.hasPrefix("hosts") == true, "\(failure?.text ?? "")")
        #expect(failure?.text.contains(mention) == true, "\(failure?.text ?? "")")
    }

    @Test func bytesThatAreNoText() {
        let bytes: [UInt8] = [0xFF, 0xFE]
        #expect(failure { try ClusterFile(bytes, fileName: "hosts") }?.kind == .configuration)
        let long = [UInt8](repeating: 0x23, count: ClusterFile.maximumByteCount + 1)
        #expect(failure { try ClusterFile(long, fileName: "hosts") }?.kind == .configuration)
        let many = (0...1024).map { "h\($0) worker\n" }.joined() + "c coordinator"
        #expect(failure { try file(many) }?.text.contains("at most 1024 hosts") == true)
    }
}
