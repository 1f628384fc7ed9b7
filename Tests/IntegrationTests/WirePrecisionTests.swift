import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import TestSupport
import Testing
import ZeroMQ

extension Integration {
    /// The promise with a bf16 wire: the bits differ from fp32's, and are equal on any cluster.
    @Suite struct WirePrecisionTests {
        private static let shapes: [ClusterShape] = [
            (1, 1, 0), (1, 2, 1), (2, 1, 0), (2, 2, 2), (3, 1, 1), (3, 1, 2), (5, 1, 2), (5, 2, 0),
        ]
        /// A model with an odd number of parameters, so that the last chunk is odd.
        private static let oddModel = SampleData.model
            .replacing("kernel: 3", with: "kernel: 2")

        private let directory: TemporaryDirectory
        private let data: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData().write(to: directory)
        }

        private func sample(steps: Int) throws -> RunConfiguration {
            var configuration = try RunConfiguration.sample(
                data, model: Self.oddModel, steps: steps)
            configuration.training.wirePrecision = .bf16
            return configuration
        }

        /// Settings for runs that last long enough to disturb.
        private func longSample(steps: Int) throws -> RunConfiguration {
            var configuration = try sample(steps: steps)
            configuration.data.source = try SampleData(trainingCount: 2003, testCount: 203)
                .write(to: directory, folder: "long")
            configuration.training.checkpointEvery = 200
            return configuration
        }

        private func expected(_ configuration: RunConfiguration) throws -> String {
            try SerialTrainer(configuration)
                .weights(afterSteps: try #require(configuration.training.steps))
        }

        @Test func sameBitsOnEveryCluster() throws {
            let configuration = try sample(steps: 23)
            let expected = try expected(configuration)
            var plain = configuration
            plain.training.wirePrecision = .fp32
            #expect(try self.expected(plain) != expected)
            for shape in Self.shapes {
                let run = try TrainRun(configuration, in: directory, shape)
                #expect(try run.weights() == expected, "\(shape)")
                #expect(try run.records.summary().wire_precision == "bf16")
            }
        }

        /// bf16 by flag: through sockets and memory, with and without keys, and with every leaf
        /// audited.
        @Test(
            arguments: [
                ["--no-shared-memory", "--insecure"], ["--no-shared-memory", "--keys"], ["--keys"],
                ["--audit", "1", "--no-shared-memory"], ["--audit", "1"],
            ])
        func sameBitsOnEveryWay(flags: [String]) throws {
            let configuration = try sample(steps: 19)
            let keys = "\(directory.path)/keys"
            _ = try Command.succeed(["keygen", "--output", keys])
            var plain = configuration
            plain.training.wirePrecision = .fp32
            let run = try TrainRun(
                plain, in: directory, "run",
                flags: ["--wire-precision", "bf16", "--workers", "2", "--servers", "2"]
                    + flags.flatMap { $0 == "--keys" ? [$0, keys] : [$0] })
            #expect(try run.weights() == expected(configuration))
            let file = String(
                decoding: try FileSystem.read(run.records.directory.configuration), as: UTF8.self)
            #expect(file.contains("wire-precision: bf16"))
        }

        @Test(arguments: [0, 1]) func killedWorker(servers: Int) throws {
            let configuration = try longSample(steps: RunConfiguration.endless)
            let run = try TrainRun(
                configuration.with(workers: 3, servers: servers), in: directory, "run")
            try run.awaitCheckpoint(200)
            kill(try #require(run.records.joined()["worker 2"]), SIGKILL)
            try eventually("notice of the loss") {
                run.records.log("coordinator-1").contains {
                    $0["message"] == "lost" && $0["peer.name"] == "worker 2"
                }
            }
            try run.awaitSteps(400)
            try run.endAsSerial(configuration)
        }

        /// A server is killed, and later the run is resumed: its state comes from checkpoints,
        /// which hold the master weights.
        @Test func killedServerAndResumed() throws {
            let configuration = try longSample(steps: 3000)
            var first = configuration
            first.training.steps = 1210
            let run = try TrainRun(first.with(workers: 2, servers: 2), in: directory, "run")
            try run.awaitCheckpoint(200)
            kill(try #require(run.records.joined()["server 1"]), SIGKILL)
            #expect(try run.weights() == expected(first))
            let path = run.records.directory.path
            let changed = try Command.run(
                ["train", "--resume", path, "--steps", "3000", "--wire-precision", "fp32"])
            #expect(changed.exitCode == 65, "\(changed)")
            #expect(changed.errors.contains("training.wire-precision bf16"), "\(changed)")
            _ = try Command.succeed(
                [
                    "train", "--resume", path, "--steps", "3000", "--workers", "3", "--servers",
                    "0",
                ])
            #expect(try run.records.summary().weights_sha256 == expected(configuration))
        }

        /// The test loss in the summary is that of the weights in the last checkpoint.
        @Test(arguments: ["--shared-memory", "--no-shared-memory"])
        func masterWeightsAreEvaluated(flag: String) throws {
            struct Evaluation: Decodable { var test_loss: Double }
            let run = try TrainRun(
                sample(steps: 23), in: directory, "run",
                flags: [flag, "--workers", "2", "--servers", "1"])
            _ = try run.weights()
            let result = try Command.succeed(
                ["evaluate", "--checkpoint", run.records.directory.path, "--data", data])
            let found = try JSONDecoder().decode(Evaluation.self, from: Data(result.output.utf8))
            let loss = try #require(try run.records.summary().test_loss)
            #expect(abs(found.test_loss - loss) < 1e-9, "\(found.test_loss), \(loss)")
        }

        /// A contribution in the other precision is refused, and the log says why.
        @Test func theOtherPrecisionIsRefusedByName() throws {
            let configuration = try longSample(steps: RunConfiguration.endless)
                .with(workers: 1, servers: 1)
            let run = try TrainRun(
                configuration, in: directory, "run", flags: ["--no-shared-memory"])
            try eventually("training") {
                run.records.log("coordinator-1").contains { $0["message"] == "training" }
            }
            let server = try #require(run.records.joined()["server 1"])
            let serial = try SerialTrainer(configuration)
            var header = BulkHeader(kind: .contribution, step: Step(0), shard: ShardIndex(0))
            header.payloadType = .float32
            header.payloadByteCount = serial.network.parameters.elementCount * 4
            header.totals = ContributionTotals(
                sampleCount: serial.plan.microbatchRange(step: 0, virtualWorker: 0).count)
            header.placement = Placement(1)
            let context = try Context()
            var options = try Insider(keys: run.records.directory.keys).options()
            options.routingIdentity = Array("worker-0000000000000bad".utf8)
            options.linger = .seconds(10)
            let dealer = try Socket(context, .dealer, options: options)
            let port = try #require(ProcessTable.listeningPorts(server).first)
            try dealer.connect("tcp://127.0.0.1:\(port)")
            let payload = [UInt8](repeating: 0, count: header.payloadByteCount)
            _ = try dealer.send([Frame(header.bytes), Frame(payload)], within: .seconds(5))
            dealer.close()
            context.terminate()
            let wanted = "contribution of payload type float32, expected bfloat16"
            try eventually("refusal") {
                run.records.log("server-1").contains { $0["error.detail"] == wanted }
            }
            try run.endAsSerial(configuration)
        }

        /// With bf16 half the bytes cross between a worker and a server.
        @Test func halfTheBytes() throws {
            let steps = 50
            let configuration = try longSample(steps: steps).with(workers: 1, servers: 1)
            let parameters = try SerialTrainer(configuration).network.parameters.elementCount
            for (precision, elementByteCount) in [(WirePrecision.fp32, 4), (.bf16, 2)] {
                let count = try bulkByteCount(configuration, precision)
                let floor = 2 * parameters * elementByteCount * steps
                // The rest are headers, the start, and master weights at the end.
                #expect(
                    count > floor && count < floor * 23 / 20,
                    "\(precision): \(count), \(floor)")
            }
        }

        private func bulkByteCount(
            _ configuration: RunConfiguration, _ precision: WirePrecision
        ) throws -> Int {
            var configuration = configuration
            configuration.training.wirePrecision = precision
            configuration.cluster.sharedMemory = false
            let file = try directory.write(configuration.yaml, "\(precision).yaml")
            let endpoint = "tcp://127.0.0.1:\(try TCP.freePort())"
            let port = try TCP.freePort()
            let proxy = try RecordingProxy(0x7F00_0002, port: port, to: port)
            let commands = [
                try Command([
                    "coordinator", "--config", file, "--run-dir", "\(directory.path)/\(precision)",
                    "--listen", endpoint,
                ]),
                try Command([
                    "server", "--bind", "127.0.0.1:\(port)", "--announce", "127.0.0.2",
                    "--coordinator", endpoint,
                ]),
                try Command(["worker", "--coordinator", endpoint]),
            ]
            for command in commands {
                let result = command.finish()
                #expect(result.exitCode == 0, "\(result)")
            }
            return proxy.stop().count
        }
    }
}
