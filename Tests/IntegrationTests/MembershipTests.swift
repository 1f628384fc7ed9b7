import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Workers come and go, and the bits stay.
    @Suite struct MembershipTests {
        private static let steps = 4000
        private let directory: TemporaryDirectory
        private let configuration: RunConfiguration

        init() throws {
            directory = try TemporaryDirectory()
            let data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: Self.steps)
            configuration.training.checkpointEvery = 200
            self.configuration = configuration
        }

        /// Starts a run of as many workers and servers, for as long as a test needs.
        private func endless(workers: Int, servers: Int) throws -> TrainRun {
            var configuration = configuration.with(workers: workers, servers: servers)
            configuration.training.steps = RunConfiguration.endless
            return try TrainRun(configuration, in: directory, "run")
        }

        @Test func joinsLateAndLeaves() throws {
            let run = try endless(workers: 2, servers: 1)
            try run.awaitCheckpoint(200)
            let endpoint = try #require(run.records.endpoint)
            let log = "\(run.records.directory.logs)/late.jsonl"
            let late = try Command(["worker", "--coordinator", endpoint, "--log-file", log])
            try eventually("work for the worker that came late") {
                run.records.log("late").contains {
                    $0["message"] == "assigned" && $0["train.virtual-workers"] != "[]"
                }
            }
            try run.awaitSteps(200)
            late.child.send(signal: SIGINT)
            let left = late.finish(within: .seconds(10))
            #expect(left.exitCode == 0, "\(left)")
            #expect(left.errors.isEmpty, "\(left)")
            try run.endAsSerial(configuration)
        }

        @Test(arguments: [0, 1]) func killedWorker(servers: Int) throws {
            let run = try endless(workers: 3, servers: servers)
            try run.awaitCheckpoint(200)
            let worker = try #require(run.records.joined()["worker 2"])
            kill(worker, SIGKILL)
            try eventually("notice of the loss") {
                run.records.log("coordinator-1").contains {
                    $0["message"] == "lost" && $0["peer.name"] == "worker 2"
                }
            }
            try run.awaitSteps(400)
            try run.endAsSerial(configuration)
        }

        @Test func killedServer() throws {
            let run = try TrainRun(configuration.with(workers: 2, servers: 2), in: directory, "run")
            try run.awaitCheckpoint(200)
            kill(try #require(run.records.joined()["server 1"]), SIGKILL)
            let expected = try SerialTrainer(configuration).weights(afterSteps: Self.steps)
            #expect(try run.weights() == expected)
            #expect(try run.records.ledgerSteps() == Array(0..<Self.steps))
            let steps = try run.records.metrics().filter { $0.kind == "step" }.map(\.step)
            #expect(steps == Array(1...Self.steps))
        }
    }
}
