import ClusterRuntime
import Testing
import ZeroMQ

#if canImport(Glibc)
    import Glibc
#endif

extension Integration {
    /// Random bytes at every listening port change nothing in the result.
    @Suite struct HostileBytesTests {
        private static let steps = 4000

        @Test(arguments: [0, 2]) func garbageAtEveryPort(servers: Int) throws {
            let directory = try TemporaryDirectory()
            let data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: Self.steps)
                .with(workers: 2, servers: servers)
            configuration.training.checkpointEvery = 500
            let serial = try SerialTrainer(configuration)
            let material = try RunMaterial(
                configuration,
                data: serial.dataSet.description.summary(
                    partitionRecordCounts: serial.dataSet.partitionRecordCounts))
            let run = try TrainRun(configuration, in: directory, "run")
            try eventually("training") {
                run.records.log("coordinator-1").contains { $0["message"] == "training" }
            }
            let ports = ProcessTable.identifiers(mentioning: run.records.directory.path)
                .reduce(into: Set<Int>()) { $0.formUnion(ProcessTable.listeningPorts($1)) }
            // Control, bulk and data of the coordinator, and one port of every member.
            #expect(ports.count == 3 + 2 + servers)
            var wholeRounds = 0
            while !run.command.hasEnded, wholeRounds < 6 {
                let messages = HostileMessages(
                    plan: material.slicePlan, partCount: material.partCount,
                    seed: UInt64(wholeRounds))
                for port in ports.sorted() { try attack(port, messages) }
                if !run.command.hasEnded { wholeRounds += 1 }
            }
            #expect(wholeRounds > 0, "the run was over before every port had its share")
            #expect(try run.weights() == serial.weights(afterSteps: Self.steps))
            let log = run.records.log("coordinator-1")
            #expect(!log.contains { $0["message"] == "lost" }, "a member was lost")
            #expect(log.contains { $0["message"] == "dropped a control message that is none" })
            #expect(log.contains { $0["message"] == "dropped a data message that is none" })
            #expect(log.contains { $0["message"] == "cannot serve a partition" })
            #expect(try run.records.ledgerSteps() == Array(0..<Self.steps))
            #expect(run.records.checkpoints.suffix(3) == [3000, 3500, 4000])
        }

        private func attack(_ port: Int, _ messages: HostileMessages) throws {
            var connections: [Int32] = []
            for stream in messages.streams {
                if let connection = try TCP.send(stream, port: port) {
                    connections.append(connection)
                }
            }
            let context = try Context()
            var options = SocketOptions()
            options.linger = .milliseconds(300)
            for (index, group) in messages.groups.enumerated() {
                // A name that reads as text gets further than the bytes that libzmq makes up.
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
