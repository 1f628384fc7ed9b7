import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// `convoy doctor --cluster`, with every misconfiguration made on purpose.
    @Suite struct DoctorTests {
        private let directory: TemporaryDirectory
        private let transport: String

        /// Sets up hosts that are this machine under other names; some names stand for a fault.
        init() throws {
            directory = try TemporaryDirectory()
            transport = try directory.write(
                """
                #!/bin/sh
                case $1 in
                *gone) echo "ssh: connect to host $1 port 22: No route to host" >&2; exit 255 ;;
                slow) exec sleep 60 ;;
                mute) exit 0 ;;
                chatty) echo "Welcome to $1" ;;
                late) sh -c "$2" | sed -E 's/"(begunAt|endedAt)":[0-9]+/"\\1":1000/g'; exit ;;
                esac
                exec sh -c "$2"

                """, "transport")
            chmod(transport, 0o755)
        }

        private func doctor(
            _ hosts: String, _ flags: [String] = [], data: String = "none"
        ) throws -> Command.Result {
            let file = try directory.write(hosts, "hosts")
            return try Command.run(
                ["doctor", "--cluster", file, "--ssh", transport, "--data", data] + flags,
                within: .seconds(60))
        }

        private func head(_ more: String = "") throws -> String {
            "alpha coordinator,server address=127.0.0.1 port=\(try TCP.freePort()) \(more)\n"
        }

        @Test func nothingIsWrong() throws {
            let result = try doctor(head() + "chatty worker address=127.0.0.1\n")
            #expect(result.exitCode == 0, "\(result)")
            #expect(result.errors.isEmpty, "\(result)")
            #expect(result.output.contains("3 processes can start on 2 hosts"), "\(result)")
            let json = try doctor(head() + "beta worker address=127.0.0.1\n", ["--json"])
            #expect(json.output == "{\"exit_code\":0,\"findings\":[]}\n", "\(json)")
            RunRecords(directory.path).expectNothingRunning()
        }

        @Test(arguments: [
            ("u@x", "gone worker user=train address=127.0.0.1", 69, "unreachable  gone: login"),
            ("mute", "mute worker address=127.0.0.1", 65, "error  mute: report"),
            ("dir", "beta worker directory=/nowhere/x", 65, "error  beta: directory"),
            ("exe", "beta worker directory=/tmp", 65, "error  beta: executable"),
            ("address", "beta worker address=198.51.100.7", 65, "error  beta: address"),
            ("clock", "late worker address=127.0.0.1", 0, "warning  late: clock"),
            ("cores", "beta worker address=127.0.0.1 threads=999", 65, "warning  beta: cores"),
            (
                "memory", "beta worker address=127.0.0.1 workers=1024 threads=99", 65,
                "error  beta: memory"
            ),
            ("name", "no-such-host.invalid worker", 0, "warning  no-such-host.invalid: host name"),
        ])
        func faults(_ name: String, _ line: String, _ code: Int, _ mention: String) throws {
            let result = try doctor(head() + line + "\n")
            #expect(result.output.contains("\n\(mention)"), "\(result)")
            if name != "cores" { #expect(result.exitCode == code, "\(result)") }
        }

        @Test func aHostThatHangs() throws {
            let result = try doctor(head() + "slow worker\n", ["--timeout", "1"])
            #expect(result.exitCode == 69, "\(result)")
            #expect(result.output.contains("no answer within 1.0 seconds"), "\(result)")
            #expect(result.seconds < 20, "\(result)")
        }

        /// The coordinator is called localhost, a name that leads other hosts to themselves.
        @Test func nameIsLoopback() throws {
            let result = try doctor("localhost coordinator,server\nbeta worker address=127.0.0.1\n")
            #expect(result.exitCode == 65, "\(result)")
            #expect(result.output.contains("which is loopback"), "\(result)")
        }

        @Test func portInUse() throws {
            let (descriptor, port) = try TCP.listen()
            defer { close(descriptor) }
            let result = try doctor("localhost coordinator,worker port=\(port)\n")
            #expect(result.exitCode == 65, "\(result)")
            #expect(
                result.output.contains("error  localhost: port: expected port \(port)"), "\(result)")
        }

        @Test func anotherBuild() throws {
            let executable = try FileSystem.read(ConvoyExecutable.path)
            let other = try directory.write(executable + [0], "other/convoy")
            chmod(other, 0o755)
            let result = try doctor(
                head() + "beta worker address=127.0.0.1 directory=\(directory.path)/other\n")
            #expect(result.exitCode == 65, "\(result)")
            #expect(result.output.contains("error  beta: build"), "\(result)")
        }

        @Test func data() throws {
            let missing = try doctor(
                head() + "beta worker address=127.0.0.1\n", data: "idx:/nowhere")
            #expect(missing.exitCode == 65, "\(missing)")
            #expect(missing.output.contains("error  alpha: data"), "\(missing)")
            #expect(missing.output.contains("warning  beta: data"), "\(missing)")
        }

        @Test func plan() throws {
            let result = try doctor(head() + "gone worker workers=2 threads=3\n", ["--print-plan"])
            #expect(result.exitCode == 0, "\(result)")
            let lines = result.output.split(separator: "\n")
            #expect(lines.count == 4, "\(result)")
            #expect(lines.last == "worker\t2\tgone\t-\t-\t-\t3\t-", "\(result)")
        }

        @Test(arguments: [
            (["--print-plan"], 64, "--cluster"), (["--cluster", "/nowhere"], 65, "/nowhere"),
            (["--listen-probe", "1"], 64, "PORT,SECONDS"), (["--connect", "x"], 64, "HOST:PORT"),
            (["--free-port", "0"], 64, "--free-port"),
        ])
        func badInput(_ flags: [String], _ code: Int, _ mention: String) throws {
            let result = try Command.run(["doctor"] + flags, within: .seconds(10))
            #expect(result.exitCode == code, "\(result)")
            #expect(result.errorLines.count == 1, "\(result)")
            #expect(result.errors.contains(mention), "\(result)")
        }

        /// Hosts on a cable, with a missing route and a port that is open one way only.
        @Test(.enabled(if: NetworkNamespaces.isAvailable, "needs root and `ip netns`"))
        func networks() throws {
            let network = try NetworkNamespaces(directory)
            func doctor(_ address: String) throws -> Command.Result {
                let file = try directory.write(
                    """
                    alpha coordinator,server address=\(address) port=5557
                    beta worker address=10.77.0.2
                    """, "network-hosts")
                return try Command.run(
                    ["doctor", "--cluster", file, "--ssh", network.transport, "--data", "none"],
                    within: .seconds(60))
            }
            let good = try doctor("10.77.0.1")
            #expect(good.exitCode == 0, "\(good)")
            #expect(good.output.contains("3 processes can start on 2 hosts"), "\(good)")

            // Alpha's packets from the port are dropped, so beta gets no answer.
            try network.run("alpha", "ip rule add priority 1 ipproto tcp sport 5557 blackhole")
            let dropped = try doctor("10.77.0.1")
            #expect(dropped.exitCode == 65, "\(dropped)")
            #expect(
                dropped.output.contains(
                    "error  beta: port: expected a connection to alpha at 10.77.0.1 port 5557, "
                        + "found no answer, while the other way is open"), "\(dropped)")
            try network.run("alpha", "ip rule del priority 1")

            // Beta's own rules make the port unreachable.
            try network.run("beta", "ip rule add priority 1 ipproto tcp dport 5557 unreachable")
            let unreachable = try doctor("10.77.0.1")
            #expect(unreachable.exitCode == 65, "\(unreachable)")
            #expect(unreachable.output.contains("error  beta: route"), "\(unreachable)")
            try network.run("beta", "ip rule del priority 1")

            // Beta has no route to this address of alpha.
            try network.run("alpha", "ip addr add 10.78.0.1/24 dev lo")
            let apart = try doctor("10.78.0.1")
            #expect(apart.exitCode == 65, "\(apart)")
            #expect(apart.output.contains(" 5557, found no route"), "\(apart)")
        }
    }
}
