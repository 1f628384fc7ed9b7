import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// With relays between workers and servers the bits stay, and a server has fewer senders.
    @Suite struct RelayTests {
        private static let steps = 40
        private let directory: TemporaryDirectory
        private let data: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
        }

        private func configuration(steps: Int, workers: Int) throws -> RunConfiguration {
            var configuration = try RunConfiguration.sample(data, steps: steps)
                .with(workers: workers, servers: 2)
            configuration.training.virtualWorkers = 12
            configuration.cluster.fanIn = 2
            return configuration
        }

        /// Returns whether the coordinator told its workers to relay.
        private func isRelayed(_ run: TrainRun) -> Bool {
            run.records.log("coordinator-1").contains {
                $0["message"] == "sums and weights go by relays"
            }
        }

        /// Returns the number of sums that workers relayed for others, from their logs.
        private func relayedCount(_ run: TrainRun) -> Int {
            (1...6).reduce(0) { sum, worker in
                let line = run.records.log("worker-\(worker)").last { $0["message"] == "exchanged" }
                return sum + Int(Double(line?["train.relayed"] ?? "0") ?? 0)
            }
        }

        @Test func sameBitsOnEveryWay() throws {
            let configuration = try configuration(steps: Self.steps, workers: 6)
            let expected = try SerialTrainer(configuration).weights(afterSteps: Self.steps)
            let straight = try TrainRun(
                configuration, in: directory, "straight",
                flags: ["--fan-in", "0", "--no-shared-memory"])
            #expect(try straight.weights() == expected)
            #expect(!isRelayed(straight) && relayedCount(straight) == 0)
            let relayed = try TrainRun(configuration, in: directory, "relayed")
            #expect(try relayed.weights() == expected)
            #expect(isRelayed(relayed))
            #expect(relayedCount(relayed) > Self.steps, "\(relayedCount(relayed))")
            let keys = "\(directory.path)/keys"
            _ = try Command.succeed(["keygen", "--output", keys])
            let sealed = try TrainRun(
                configuration, in: directory, "sealed", flags: ["--keys", keys])
            #expect(try sealed.weights() == expected)
            // A worker that its relay refuses would send everything straight.
            #expect(relayedCount(sealed) > Self.steps, "\(relayedCount(sealed))")
            for flags in [["--audit", "0.3"], ["--threads", "2", "--servers", "1"]] {
                let run = try TrainRun(
                    configuration, in: directory, "run-\(flags[1])", flags: flags)
                #expect(try run.weights() == expected, "\(flags)")
                #expect(isRelayed(run))
            }
        }

        @Test func sameBitsInBFloat16OnTheWire() throws {
            var configuration = try configuration(steps: Self.steps, workers: 5)
            configuration.training.wirePrecision = .bf16
            let expected = try SerialTrainer(configuration).weights(afterSteps: Self.steps)
            let run = try TrainRun(configuration, in: directory, "run")
            #expect(try run.weights() == expected)
            #expect(isRelayed(run))
        }

        @Test func killedRelay() throws {
            var configuration = try configuration(steps: RunConfiguration.endless, workers: 5)
            configuration.training.checkpointEvery = 200
            let run = try TrainRun(configuration, in: directory, "run")
            try run.awaitCheckpoint(200)
            for name in ["worker 2", "worker 4"] {
                kill(try #require(run.records.joined()[name]), SIGKILL)
            }
            try eventually("notice of the loss") {
                run.records.log("coordinator-1").count { $0["message"] == "lost" } >= 2
            }
            try run.awaitSteps(400)
            try run.endAsSerial(configuration)
        }
    }
}
