import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// `convoy status` of a real cluster.
    @Suite struct StatusTests {
        private struct Status: Decodable {
            struct Member: Decodable {
                var name: String
                var role: String
                var pid: Int32
                var state: String
                var step: Int
                var virtual_workers: String
                var last_heard_ms: Int
                var compute_us: Int?
                var resident_bytes: Int?
            }
            struct Failures: Decodable {
                var rebalances: Int
            }
            var state: String
            var healthy: Bool
            var failures: Failures
            var step: Int
            var steps: Int
            var images_per_second: Double
            var loss: Double?
            var members: [Member]
        }

        private let directory: TemporaryDirectory
        private let configuration: RunConfiguration

        init() throws {
            directory = try TemporaryDirectory()
            let data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
            configuration = try RunConfiguration.sample(data, steps: 1_000_000)
                .with(workers: 2, servers: 1)
        }

        private struct Asked {
            var result: Command.Result
            var status: Status
        }

        /// Asks for the status; returns nil while the coordinator does not listen yet.
        private func ask(_ run: TrainRun) throws -> Asked? {
            guard run.records.endpoint != nil else { return nil }
            let result = try Command.run(
                ["status", run.records.directory.path, "--json"], within: .seconds(20))
            guard result.exitCode != 69 else { return nil }
            let status = try JSONDecoder().decode(Status.self, from: Data(result.output.utf8))
            return Asked(result: result, status: status)
        }

        @Test func aRunningCluster() throws {
            let run = try TrainRun(configuration, in: directory, "run")
            let asked: Asked = try eventually("a healthy cluster that has trained") {
                guard let asked = try ask(run), asked.status.healthy else { return nil }
                let workers = asked.status.members.filter { $0.role == "worker" }
                let haveWorked = workers.allSatisfy { $0.compute_us != nil }
                return asked.status.step > 0 && haveWorked ? asked : nil
            }
            let (result, status) = (asked.result, asked.status)
            #expect(result.exitCode == 0, "\(result)")
            #expect(result.errors.isEmpty, "\(result)")
            #expect(["training", "evaluating"].contains(status.state))
            #expect(status.steps == 1_000_000)
            #expect(status.images_per_second > 0)
            #expect(status.loss != nil)
            #expect(status.members.map(\.name).sorted() == ["server 1", "worker 1", "worker 2"])
            let joined = run.records.joined()
            for member in status.members {
                #expect(member.pid == joined[member.name], "\(member)")
                #expect(member.state == "ready", "\(member)")
                #expect((1 << 20..<1 << 34).contains(member.resident_bytes ?? 0), "\(member)")
            }
            // Virtual workers may have been dealt again when one worker has a slower core.
            if status.failures.rebalances == 0 {
                #expect(Set(status.members.map(\.virtual_workers)) == ["", "0-2", "3-5"])
            }
            let dealt = status.members.flatMap { member in
                member.virtual_workers.split(separator: ",").flatMap { range in
                    let ends = range.split(separator: "-").compactMap { Int($0) }
                    return Array((ends.first ?? -1)...(ends.last ?? -1))
                }
            }
            #expect(dealt.sorted() == Array(0...5))
            // Asks by endpoint for a table; the run goes on undisturbed.
            let endpoint = try #require(run.records.endpoint)
            let table = try Command.succeed(["status", "--coordinator", endpoint])
            #expect(table.output.hasSuffix("healthy\n"), "\(table)")
            #expect(table.output.contains("worker 2"), "\(table)")
            try watchThenFinish(run)
        }

        /// `--watch` asks again until the run has ended, and ends with the run's exit code.
        private func watchThenFinish(_ run: TrainRun) throws {
            let watch = try Command(["status", run.records.directory.path, "--watch", "--json"])
            try eventually("two answers") { watch.output.split(separator: "\n").count >= 2 }
            run.command.child.send(signal: SIGINT)
            #expect(run.command.finish().exitCode == 130)
            let watched = watch.finish(within: .seconds(20))
            #expect(watched.exitCode == 130, "\(watched)")
            #expect(watched.output.split(separator: "\n").last?.contains("finished") == true)
            let after = try Command.run(["status", run.records.directory.path])
            #expect(after.exitCode == 130, "\(after)")
            #expect(after.output.contains("interrupted (exit code 130)"), "\(after)")
        }

        /// A second launcher of a run is refused, and the run goes on and is found as before.
        @Test func aRefusedResumeLeavesTheRunToBeFound() throws {
            let run = try TrainRun(configuration, in: directory, "run")
            try eventually("a healthy cluster") { try ask(run)?.status.healthy ?? false }
            let endpoint = run.records.endpoint
            let second = try Command.run(
                ["train", "--resume", run.records.directory.path], within: .seconds(20))
            #expect(second.exitCode == 65, "\(second)")
            #expect(second.errors.contains("another coordinator is at work on it"), "\(second)")
            #expect(run.records.endpoint == endpoint)
            #expect(try ask(run)?.status.healthy == true)
            run.command.child.send(signal: SIGINT)
            #expect(run.command.finish().exitCode == 130)
        }

        @Test func aSilentWorkerIsSeen() throws {
            var configuration = configuration
            configuration.cluster.heartbeatIntervalMilliseconds = 3000
            let run = try TrainRun(configuration, in: directory, "run")
            try eventually("a healthy cluster") { try ask(run)?.status.healthy ?? false }
            let worker = try #require(run.records.joined()["worker 2"])
            kill(worker, SIGSTOP)
            defer { kill(worker, SIGCONT) }
            let row: Status.Member = try eventually("silence", within: .seconds(30)) {
                try ask(run)?.status.members.first { $0.pid == worker && $0.state == "silent" }
            }
            #expect(row.last_heard_ms > 6000)
            run.command.child.send(signal: SIGINT)
            run.command.child.send(signal: SIGINT)
            _ = run.command.finish()
        }

        @Test func waitingIsNotHealthy() throws {
            let records = RunRecords("\(directory.path)/run")
            let file = try directory.write(configuration.yaml, "run.yaml")
            let coordinator = try Command([
                "coordinator", "--config", file, "--run-dir", records.directory.path,
                "--listen", "tcp://127.0.0.1:*",
            ])
            try eventually("endpoint") { records.endpoint != nil }
            let result = try Command.run(["status", records.directory.path])
            #expect(result.exitCode == 75, "\(result)")
            #expect(
                result.output.contains("not healthy: waiting: 0 of 2 workers, 0 of 1 servers"),
                "\(result)")
            coordinator.child.send(signal: SIGKILL)
            _ = coordinator.finish()
            let gone = try Command.run(["status", records.directory.path, "--timeout", "1"])
            #expect(gone.exitCode == 69, "\(gone)")
            #expect(gone.errorLines.count == 1, "\(gone)")
            #expect((1...10).contains(gone.seconds), "\(gone)")
        }

        @Test(arguments: [
            (["--timeout", "0"], 64, "--timeout"), (["/nowhere"], 65, "/nowhere"),
            (["--coordinator", "over there"], 64, "over there"),
            (["x", "--coordinator", "tcp://127.0.0.1:1"], 64, "exclude"),
        ])
        func badInput(_ flags: [String], _ code: Int, _ mention: String) throws {
            let result = try Command.run(["status"] + flags, within: .seconds(10))
            #expect(result.exitCode == code, "\(result)")
            #expect(result.errorLines.count == 1, "\(result)")
            #expect(result.errors.contains(mention), "\(result)")
        }
    }
}
