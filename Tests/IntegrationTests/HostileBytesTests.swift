import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing
import ZeroMQ

extension Integration {
    /// Random bytes at every listening port do not change the result.
    @Suite struct HostileBytesTests {
        /// The bytes come from a holder of the run's keys, or from any process when the run has no
        /// keys.
        @Test(arguments: [0, 2], [true, false])
        func garbageAtEveryPort(servers: Int, hasKeys: Bool) throws {
            let directory = try TemporaryDirectory()
            let data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: RunConfiguration.endless)
                .with(workers: 2, servers: servers)
            configuration.training.checkpointEvery = 500
            let serial = try SerialTrainer(configuration)
            let material = try RunMaterial(
                configuration,
                data: serial.dataSet.description.summary(
                    partitionRecordCounts: serial.dataSet.partitionRecordCounts))
            let run = try TrainRun(
                configuration, in: directory, "run", flags: hasKeys ? [] : ["--insecure"])
            let insider = hasKeys ? Insider(keys: run.records.directory.keys) : nil
            try eventually("training") {
                run.records.log("coordinator-1").contains { $0["message"] == "training" }
            }
            let ports = ProcessTable.identifiers(mentioning: run.records.directory.path)
                .reduce(into: Set<Int>()) { $0.formUnion(ProcessTable.listeningPorts($1)) }
            // The coordinator listens at its control, bulk and data ports, and every member at one.
            #expect(ports.count == 3 + 2 + servers)
            for round in 0..<3 {
                let messages = HostileMessages(
                    plan: material.slicePlan, partCount: material.partCount, seed: UInt64(round))
                for port in ports.sorted() { try attack(port, messages, insider) }
            }
            try run.awaitCheckpoint(1500)
            try run.endAsSerial(configuration)
            let log = run.records.log("coordinator-1")
            #expect(!log.contains { $0["message"] == "lost" }, "a member was lost")
            #expect(log.contains { $0["message"] == "dropped a malformed control message" })
            #expect(log.contains { $0["message"] == "dropped a malformed data message" })
            #expect(log.contains { $0["message"] == "cannot serve a partition" })
            let steps = try run.records.summary().steps
            #expect(run.records.checkpoints.last == steps)
            let journal = try FileSystem.read(run.records.directory.journal)
            let entries = String(decoding: journal, as: UTF8.self)
            for step in stride(from: 500, through: steps, by: 500) {
                #expect(entries.contains("{\"checkpoint\":{\"_0\":\(step)}}"), "step \(step)")
            }
        }

        /// Another process of this user writes rubbish to the pipes: all messages then go through
        /// sockets.
        @Test(arguments: [0, 2]) func rubbishInEveryPipe(servers: Int) throws {
            let directory = try TemporaryDirectory()
            let data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: RunConfiguration.endless)
                .with(workers: 2, servers: servers)
            configuration.training.checkpointEvery = 200
            let run = try TrainRun(configuration, in: directory, "run")
            try eventually("training") {
                run.records.log("coordinator-1").contains { $0["message"] == "training" }
            }
            var spoiled = 0
            for process in run.records.joined().values {
                for pipe in Self.pipes(of: process) {
                    let end = open(pipe, O_WRONLY | O_NONBLOCK)
                    guard end >= 0 else { continue }
                    defer { close(end) }
                    let rubbish = [UInt8](repeating: 0xA5, count: 100)
                    if write(end, rubbish, rubbish.count) == rubbish.count { spoiled += 1 }
                }
            }
            // Every worker and every thread that serves shards has a pipe.
            #expect(spoiled >= 2 + max(2, servers))
            try run.awaitSteps(400)
            try run.endAsSerial(configuration)
            let names = ["worker-1", "worker-2"] + (1...2).prefix(servers).map { "server-\($0)" }
            let sentence = "something else than Convoy wrote to a pipe"
            for name in names {
                let log = run.records.log(name)
                #expect(log.contains { $0["message"]?.hasPrefix(sentence) == true }, "\(name)")
            }
            #expect(!run.records.log("coordinator-1").contains { $0["message"] == "lost" })
        }

        /// Returns the paths of the pipes that a process reads.
        private static func pipes(of process: Int32) -> [String] {
            FileSystem.names(in: "/proc/\(process)/fd").compactMap { name in
                let path = "/proc/\(process)/fd/\(name)"
                var target = [CChar](repeating: 0, count: 64)
                guard readlink(path, &target, 63) > 0, strncmp(target, "/memfd:convoy", 13) == 0 else {
                    return nil
                }
                let page = open(path, O_RDONLY)
                guard page >= 0 else { return nil }
                defer { close(page) }
                var fields = [UInt64](repeating: 0, count: 4)
                guard pread(page, &fields, 32, 0) == 32, fields[0] == 0x4550_4950_594F_5643 else {
                    return nil
                }
                return "/proc/\(process)/fd/\(fields[2])"
            }
        }

        private func attack(
            _ port: Int, _ messages: HostileMessages, _ insider: Insider?
        ) throws {
            var connections: [Int32] = []
            for stream in messages.streams {
                if let connection = try TCP.send(stream, port: port) {
                    connections.append(connection)
                }
            }
            let context = try Context()
            var options = try insider?.options() ?? SocketOptions()
            options.linger = .milliseconds(300)
            for (index, group) in messages.groups.enumerated() {
                // A text as identity gets further than the bytes that libzmq makes up.
                options.routingIdentity =
                    messages.seed % 3 == 2 ? nil : Array("stranger-\(messages.seed)-\(index)".utf8)
                let dealer = try Socket(context, .dealer, options: options)
                try dealer.connect("tcp://127.0.0.1:\(port)")
                for message in group {
                    _ = try dealer.send(message.map { Frame($0) }, within: .milliseconds(300))
                }
                dealer.close()
            }
            context.terminate()
            for connection in connections { close(connection) }
        }
    }
}
