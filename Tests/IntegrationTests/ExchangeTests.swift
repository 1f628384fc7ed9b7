import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// What a step costs on the wire and in memory.
    @Suite struct ExchangeTests {
        /// A model of 28,612 parameters: its slices are so large that headers do not count.
        private static let model = """
            input: [1, 12, 12]
            layers:
              - flatten: {}
              - dense: {units: 192, activation: relu}
              - dense: {units: 4}

            """
        private static let modelByteCount = 28_612.0 * 4

        private struct Exchange {
            var steps = 0.0
            var contributions = 0.0
            var sent = 0.0
            var received = 0.0

            init?(_ log: [[String: String]]) {
                let line = log.first { $0["message"] == "exchanged" }
                guard let line else { return nil }
                func number(_ key: String) -> Double { line[key].flatMap(Double.init) ?? -1 }
                steps = number(LogKey.step)
                contributions = number(LogKey.contributions)
                sent = number(LogKey.sentByteCount)
                received = number(LogKey.receivedByteCount)
            }
        }

        /// With a shard in every worker each process sends and receives 2 (W - 1) / W of the model
        /// a step: its sums go to the other shards, and its slice of the weights to the other
        /// workers. A worker that helps a late one sends a further sum.
        @Test(arguments: [2, 3, 4, 8]) func bytesOnTheWire(workers: Int) throws {
            let directory = try TemporaryDirectory()
            let data = try SampleData().write(to: directory)
            var configuration = try RunConfiguration.sample(data, model: Self.model, steps: 150)
            configuration.training.virtualWorkers = workers
            configuration.training.batchSize = 4 * workers
            // Nothing late is asked for again.
            configuration.cluster.heartbeatIntervalMilliseconds = 30_000
            let run = try TrainRun(
                configuration, in: directory, "run",
                flags: ["--workers", "\(workers)", "--servers", "0", "--no-shared-memory"])
            _ = try run.weights()
            let exchanges = (1...workers).compactMap { Exchange(run.records.log("worker-\($0)")) }
            #expect(exchanges.count == workers)
            let contributions = exchanges.reduce(0) { $0 + $1.contributions }
            let slice = Self.modelByteCount / Double(workers)
            let others = Double(workers - 1)
            for exchange in exchanges {
                #expect(exchange.steps == 150)
                // Without help, both are 2 (W - 1) / W of the model for each of 150 steps.
                let sent = (exchange.contributions + 150) * others * slice
                let received = (contributions - exchange.contributions + 150 * others) * slice
                #expect((0.98...1.02).contains(exchange.sent / sent), "\(exchange)")
                #expect((0.98...1.02).contains(exchange.received / received), "\(exchange)")
                let plain = 150 * 2 * others * slice
                print(
                    "\(workers) workers: sent \(exchange.sent / plain), received "
                        + "\(exchange.received / plain) of 2 (W - 1) / W of the model, "
                        + "\(Int(exchange.contributions)) sums in 150 steps")
            }
        }

        /// With `cnn` on 3 x 32 x 32 a worker stays below 300 MiB and does not grow.
        @Test func memoryOfAWorker() throws {
            let directory = try TemporaryDirectory()
            var configuration = RunConfiguration()
            configuration.data.source = try SampleData.writeCIFAR(to: directory, recordCount: 300)
            configuration.training.epochs = 1000
            configuration.training.steps = 240
            configuration.training.checkpointEvery = 60
            let run = try TrainRun(configuration, in: directory, "run")
            var peaks: [Bool: Int] = [:]
            while !run.command.hasEnded {
                let isEarly = (run.records.checkpoints.last ?? 0) < 120
                let path = run.records.directory.path
                for identifier in ProcessTable.identifiers("worker", mentioning: path) {
                    let peak = ProcessTable.peakResidentKiB(identifier) ?? 0
                    peaks[isEarly] = max(peaks[isEarly] ?? 0, peak)
                }
                usleep(20_000)
            }
            _ = try run.weights()
            let (early, late) = (peaks[true] ?? 0, peaks[false] ?? 0)
            print("a worker on 3 x 32 x 32: \(early / 1024) MiB, then \(late / 1024) MiB")
            #expect((1..<300 * 1024).contains(max(early, late)))
            #expect(late - early < 12 * 1024)
        }
    }
}
