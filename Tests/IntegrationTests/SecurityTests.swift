import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import TestSupport
import Testing
import ZeroMQ

extension Integration {
    /// Keys decide only who may take part and what can be read on the wire.
    @Suite struct SecurityTests {
        private let directory: TemporaryDirectory
        private let data: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
        }

        private func keys(_ name: String) -> String { "\(directory.path)/\(name)" }

        private func makeKeys(_ name: String, nodes: String? = nil) throws {
            _ = try Command.succeed(
                ["keygen", "--output", keys(name)] + (nodes.map { ["--nodes", $0] } ?? []))
        }

        /// The run has given keys, its own keys, or none.
        @Test(arguments: [0, 1], ["--keys", nil, "--insecure"])
        func sameBits(servers: Int, flag: String?) throws {
            try makeKeys("keys")
            let configuration = try RunConfiguration.sample(data, steps: 40)
                .with(workers: 2, servers: servers)
            var flags = flag.map { [$0] } ?? []
            if flag == "--keys" { flags.append(keys("keys")) }
            let run = try TrainRun(configuration, in: directory, "run", flags: flags)
            #expect(try run.weights() == SerialTrainer(configuration).weights(afterSteps: 40))
            let log = run.records.log("coordinator-1")
            let expected = flag == "--insecure" ? "no" : "yes"
            #expect(log.contains { $0["net.keys"] == expected })
            let warning = "listening without encryption or authentication"
            for name in ["coordinator-1", "worker-1"] {
                let warnings = run.records.log(name).filter { $0["message"] == warning }
                #expect(warnings.count == (flag == "--insecure" ? 1 : 0), "\(name)")
            }
            #expect(FileSystem.exists(run.records.directory.keys) == (flag == nil))
        }

        /// Members of a dead coordinator are let in by its successor, and a new member finds the
        /// keys.
        @Test func theNextCoordinatorTakesUpTheKeys() throws {
            let configuration = try RunConfiguration.sample(data, steps: RunConfiguration.endless)
                .with(workers: 1, servers: 1)
            let run = try StreamedRun(configuration, in: directory, "run")
            try run.startWorker([])
            let secret = "\(run.records.directory.keys)/node.secret"
            try eventually("training") { run.log("coordinator", 1).contains(#""training""#) }
            let former = try FileSystem.read(secret)
            run.coordinator.child.send(signal: SIGKILL)
            _ = run.coordinator.finish()
            // This worker looks for a coordinator before there is one again.
            try run.startWorker([])
            try run.replaceCoordinator()
            try eventually("both workers, and the server") {
                run.log("coordinator", 2).components(separatedBy: #""joined""#).count - 1 == 3
            }
            #expect(try FileSystem.read(secret) == former)
            #expect(!run.log("coordinator", 2).contains("turned a connection away"))
            run.coordinator.child.send(signal: SIGINT)
            for command in run.workers + [run.coordinator] {
                let result = command.finish()
                #expect([0, 130].contains(result.exitCode), "\(result)")
            }
            let summary = try run.records.summary()
            let expected = try SerialTrainer(configuration).weights(afterSteps: summary.steps)
            #expect(summary.weights_sha256 == expected)
        }

        /// The largest chunk, when sealed, is larger than the limit for plain chunks. The 65,534
        /// parameters of this model are one chunk.
        @Test func theLargestChunkFits() throws {
            try makeKeys("keys")
            let model = """
                input: [1, 12, 12]
                layers:
                  - flatten: {}
                  - dense: {units: 100, activation: relu}
                  - dense: {units: 486, activation: relu}
                  - dense: {units: 4}

                """
            let configuration = try RunConfiguration.sample(data, model: model, steps: 5)
                .with(workers: 2, servers: 1)
            let run = try TrainRun(
                configuration, in: directory, "run", flags: ["--keys", keys("keys")])
            #expect(
                try run.weights(within: .seconds(30))
                    == SerialTrainer(configuration).weights(afterSteps: 5))
        }

        /// Returns the bytes on the wire between members and coordinator, and between worker and
        /// server. Workers know the server by an address at which it does not listen.
        private func traffic(
            _ configuration: RunConfiguration, _ name: String, _ flags: [String]
        ) throws -> (control: [UInt8], bulk: [UInt8]) {
            let file = try directory.write(configuration.yaml, "\(name).yaml")
            let records = RunRecords(keys(name))
            let controlPort = try TCP.freePort()
            let bulkPort = try TCP.freePort()
            let control = try RecordingProxy(to: controlPort)
            let bulk = try RecordingProxy(0x7F00_0002, port: bulkPort, to: bulkPort)
            let member = ["--coordinator", "tcp://127.0.0.1:\(control.port)"] + flags
            let commands = [
                try Command(
                    [
                        "coordinator", "--config", file, "--run-dir", records.directory.path,
                        "--listen", "tcp://127.0.0.1:\(controlPort)",
                    ] + flags),
                try Command(
                    ["server", "--bind", "127.0.0.1:\(bulkPort)", "--announce", "127.0.0.2"]
                        + member),
                try Command(["worker"] + member), try Command(["worker"] + member),
            ]
            for command in commands {
                let result = command.finish()
                #expect(result.exitCode == 0, "\(result)")
            }
            let expected = try SerialTrainer(configuration)
                .weights(afterSteps: try #require(configuration.training.steps))
            #expect(try records.summary().weights_sha256 == expected)
            return (control.stop(), bulk.stop())
        }

        @Test func nothingIsReadableOnTheWire() throws {
            try makeKeys("keys")
            // Floats in the host's shared memory do not travel on the wire.
            var configuration = try RunConfiguration.sample(data, steps: 20)
                .with(workers: 2, servers: 1)
            configuration.cluster.sharedMemory = false
            let plain = try traffic(configuration, "plain", ["--insecure"])
            #expect(plain.control.contains(text: "\"kind\""))
            // The magic and the version: four bytes may occur in sealed messages by chance.
            let header = "CVOY\(Character(Unicode.Scalar(UInt8(BulkHeader.version))))\u{0}"
            #expect(plain.bulk.contains(text: header))
            let sealed = try traffic(configuration, "sealed", ["--keys", keys("keys")])
            #expect(sealed.control.count > 5_000 && sealed.bulk.count > 100_000)
            for text in ["\"kind\"", "heartbeat", "virtual-workers", header, "worker-"] {
                let isReadable =
                    sealed.control.contains(text: text) || sealed.bulk.contains(text: text)
                #expect(!isReadable, "\(text)")
            }
            #expect(sealed.bulk.contains(text: "CURVE"))
        }

        /// Strangers of every kind come to every port while a run goes on.
        @Test func strangersAreTurnedAway() throws {
            try makeKeys("keys")
            try makeKeys("others")
            var configuration = try RunConfiguration.sample(data, steps: RunConfiguration.endless)
                .with(workers: 2, servers: 1)
            configuration.training.checkpointEvery = 1000
            let run = try TrainRun(
                configuration, in: directory, "run", flags: ["--keys", keys("keys")])
            try run.awaitCheckpoint(0)
            let endpoint = try eventually("endpoint") { run.records.endpoint }
            try eventually("training") {
                run.records.log("coordinator-1").contains { $0["message"] == "training" }
            }
            // A key of another cluster, with the right public key of this coordinator.
            for name in ["node.public", "node.secret"] {
                try directory.write(FileSystem.read("\(keys("others"))/\(name)"), "mixed/\(name)")
            }
            for name in ["coordinator.public", "allowed/node.public"] {
                try directory.write(FileSystem.read("\(keys("keys"))/\(name)"), "mixed/\(name)")
            }
            for name in ["mixed", "mixed/allowed"] { chmod(keys(name), 0o700) }
            chmod(keys("mixed/node.secret"), 0o600)
            func join(_ flags: [String]) throws -> Command {
                try Command(
                    ["worker", "--coordinator", endpoint, "--connect-timeout", "2"] + flags)
            }
            let plain = try join(["--insecure", "--log-file", "/dev/null"])
            let wrong = try join(["--keys", keys("others")])
            let unlisted = try join(["--keys", keys("mixed")])
            let ports = ProcessTable.identifiers(mentioning: run.records.directory.path)
                .reduce(into: Set<Int>()) { $0.formUnion(ProcessTable.listeningPorts($1)) }
            for port in ports.sorted() {
                try offerNoKeys(port)
                try scan(port)
            }
            try outdated(endpoint)
            try flood(endpoint)
            for (command, mention) in [
                (plain, "mechanism"), (wrong, "coordinator.public"), (unlisted, "allow-list"),
            ] {
                let result = command.finish(within: .seconds(30))
                #expect(result.exitCode == 69, "\(result)")
                #expect(result.errors.contains(mention), "\(result)")
                #expect(result.errorLines.count == 1, "\(result)")
            }
            try run.endAsSerial(configuration)
            let log = run.records.log("coordinator-1")
            #expect(!log.contains { $0["message"] == "lost" }, "a member was lost")
            let turnedAway = log.filter { $0["message"] == "turned a connection away" }
            let key = try KeyRing(directory: keys("others")).publicKey
            #expect(turnedAway.filter { $0["peer.key"] == key }.count == 1, "\(turnedAway)")
            for mention in ["mechanism", "keys do not fit", "not ZeroMQ"] {
                #expect(
                    turnedAway.contains { $0["reason"]?.contains(mention) == true },
                    "\(mention): \(turnedAway)")
            }
            #expect(turnedAway.count < 16, "once a peer and reason: \(turnedAway)")
            #expect(
                log.contains { $0["error.detail"]?.contains("protocol version 9") == true })
        }

        /// The first bytes of a peer that offers one of ZMTP's mechanisms.
        private func greeting(_ mechanism: String) -> [UInt8] {
            [0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 3, 0] + Array(mechanism.utf8)
                + [UInt8](repeating: 0, count: 20 - mechanism.utf8.count + 1 + 31)
        }

        /// Connects without keys and stays until the other side hangs up. A worker may see before
        /// the coordinator that their mechanisms differ, and hang up before its greeting has left.
        private func offerNoKeys(_ port: Int) throws {
            let connection = try #require(try TCP.send(greeting("NULL"), port: port))
            defer { close(connection) }
            try eventually("hung up", within: .seconds(10)) {
                var byte: UInt8 = 0
                let count = recv(connection, &byte, 1, Int32(MSG_DONTWAIT))
                return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)
            }
        }

        /// Connects like a port scanner, like a browser, and like a peer that announces a frame of
        /// a gigabyte.
        private func scan(_ port: Int) throws {
            let greeting = greeting("CURVE")
            let gigabyte: [UInt8] = [2, 0, 0, 0, 0, 0x40, 0, 0, 0]
            for bytes in [
                [], [7, 7, 7], Array("GET / HTTP/1.1\r\n\r\n".utf8), Array(greeting.prefix(20)),
                greeting + gigabyte + [UInt8](repeating: 1, count: 100_000),
            ] {
                for _ in 0..<3 {
                    if let connection = try TCP.send(bytes, port: port) {
                        usleep(20_000)
                        close(connection)
                    }
                }
            }
        }

        /// Returns a socket with the run's keys.
        private func insider(
            _ context: Context, _ name: String, _ endpoint: String
        ) throws -> SocketBox {
            var options = try Insider(keys: keys("keys")).options()
            options.routingIdentity = Array(name.utf8)
            options.linger = .milliseconds(500)
            let socket = try SocketBox(context, .dealer, options: options)
            try socket.connect(endpoint)
            return socket
        }

        /// Sends a hello of another version, with the run's keys: the answer is in words of that
        /// version.
        private func outdated(_ endpoint: String) throws {
            let context = try Context()
            let socket = try insider(context, "worker-of-old", endpoint)
            let hello = Frame(#"{"version":9,"kind":"hello","body":{"new":"field"}}"#)
            _ = try socket.send([hello], within: .seconds(5))
            let answer = try socket.receive(within: .seconds(10))
            #expect(answer?.first?.text?.contains("protocol version is 9") == true)
            socket.close()
            context.terminate()
        }

        /// Sends as fast as it can for a second, with the run's keys.
        private func flood(_ endpoint: String) throws {
            let context = try Context()
            let socket = try insider(context, "worker-flood", endpoint)
            let frame = Frame([UInt8](repeating: 0x5B, count: 500_000))
            let end = ContinuousClock.now + .seconds(1)
            var count = 0
            while ContinuousClock.now < end {
                if try socket.send([count % 2 == 0 ? frame : Frame("x")], within: .milliseconds(10))
                    == .sent
                {
                    count += 1
                }
            }
            #expect(count > 100)
            socket.close()
            context.terminate()
        }

        @Test func keysComeAndGoWithoutARestart() throws {
            try makeKeys("nodes", nodes: "head,one,two")
            let allowed = keys("nodes/head/allowed/two.public")
            let key = try FileSystem.read(allowed)
            unlink(allowed)
            let configuration = try RunConfiguration.sample(data, steps: 20)
                .with(workers: 2, servers: 0)
            let file = try directory.write(configuration.yaml, "run.yaml")
            let records = RunRecords(keys("run"))
            let endpoint = "tcp://127.0.0.1:\(try TCP.freePort())"
            func start(_ arguments: [String], _ node: String) throws -> Command {
                try Command(arguments + ["--keys", keys("nodes/\(node)")])
            }
            let coordinator = try start(
                [
                    "coordinator", "--config", file, "--run-dir", records.directory.path,
                    "--listen", endpoint,
                ], "head")
            let first = try start(["worker", "--coordinator", endpoint], "one")
            // The second worker tries again, and is let in once its key is there.
            let second = try start(["worker", "--coordinator", endpoint], "two")
            func log(_ message: String) -> [[String: String]] {
                records.log("coordinator").filter { $0["message"] == message }
            }
            try eventually("refusal") { log("turned a connection away").count == 1 }
            try eventually("first worker") { log("joined").count == 1 }
            try directory.write(key, "nodes/head/allowed/two.public")
            for command in [coordinator, first, second] {
                let result = command.finish()
                #expect(result.exitCode == 0, "\(result)")
            }
            #expect(log("joined").count == 2)
            #expect(
                try records.summary().weights_sha256
                    == SerialTrainer(configuration).weights(afterSteps: 20))
        }

        @Test func aRemovedKeyIsRefusedAtTheNextConnection() throws {
            try makeKeys("nodes", nodes: "head,one")
            let file = try directory.write(
                RunConfiguration.sample(data, steps: 20).with(workers: 9, servers: 0).yaml,
                "run.yaml")
            let records = RunRecords(keys("run"))
            let endpoint = "tcp://127.0.0.1:\(try TCP.freePort())"
            let coordinator = try Command([
                "coordinator", "--config", file, "--run-dir", records.directory.path,
                "--listen", endpoint, "--keys", keys("nodes/head"),
            ])
            let arguments = [
                "worker", "--coordinator", endpoint, "--keys", keys("nodes/one"),
                "--connect-timeout", "3",
            ]
            let before = try Command(arguments)
            try eventually("joined") {
                records.log("coordinator").contains { $0["message"] == "ready" }
            }
            unlink(keys("nodes/head/allowed/one.public"))
            let after = try Command.run(arguments, within: .seconds(20))
            #expect(after.exitCode == 69 && after.errors.contains("allow-list"), "\(after)")
            // A member that has joined stays.
            #expect(!before.hasEnded)
            let reread = records.log("coordinator").filter {
                $0["message"] == "allow-list read again"
            }
            #expect(reread.count == 1)
            for command in [coordinator, before] {
                command.child.send(signal: SIGINT)
                command.child.send(signal: SIGKILL)
                _ = command.finish(within: .seconds(10))
            }
        }
    }
}
