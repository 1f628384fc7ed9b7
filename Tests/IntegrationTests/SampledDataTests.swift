import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Data sets that are samples or shares: some classes do not occur, or there are no test
    /// records.
    @Suite struct SampledDataTests {
        private let directory: TemporaryDirectory

        init() throws { directory = try TemporaryDirectory() }

        private func train(_ data: String, _ name: String) throws -> (Command.Result, RunRecords) {
            let configuration = try RunConfiguration.sample(data, steps: 7)
                .with(workers: 2, servers: 1)
            let run = try TrainRun(configuration, in: directory, name)
            return (run.command.finish(), run.records)
        }

        @Test func moreOutputsThanLabels() throws {
            let data = try SampleData().write(to: directory) { name, bytes in
                name.contains("labels") ? Array(bytes[..<8]) + bytes[8...].map { $0 % 3 } : bytes
            }
            let (result, records) = try train(data, "three")
            #expect(result.exitCode == 0, "\(result)")
            let checkpoint = records.directory.path
            let evaluated = try Command.succeed(["evaluate", "--checkpoint", checkpoint, "--data", data])
            #expect(evaluated.output.contains("\"records\":61"), "\(evaluated)")
            _ = try Command.succeed(["verify", checkpoint])
        }

        /// IDX and CIFAR sources without test files, or with empty ones, and what `partition` makes
        /// of them.
        @Test(arguments: ["absent", "empty"]) func noTestRecords(_ kind: String) throws {
            let data = try SampleData(testCount: kind == "empty" ? 0 : 61).write(to: directory)
            if kind == "absent" {
                for name in SampleData.files where name.hasPrefix("t10k") {
                    unlink("\(directory.path)/data/\(name)")
                }
            }
            try expectTrainsWithoutTest(data, kind)
            let output = "\(directory.path)/partitioned"
            _ = try Command.succeed(
                ["partition", "--data", data, "--partitions", "5", "--output", output])
            _ = try Command.succeed(["verify", output])
            try expectTrainsWithoutTest("partitions:\(output)", "partitions")
        }

        private func expectTrainsWithoutTest(_ data: String, _ name: String) throws {
            let (result, records) = try train(data, name)
            #expect(result.exitCode == 0, "\(result)")
            #expect(result.output.contains("no test records"), "\(result)")
            #expect(!result.output.contains("test loss"), "\(result)")
            let summary = try records.summary()
            #expect(summary.steps == 7 && summary.test_accuracy == nil && summary.test_loss == nil)
            _ = try Command.succeed(["verify", records.directory.path])
            let evaluated = try Command.run(
                ["evaluate", "--checkpoint", records.directory.path, "--data", data])
            #expect(evaluated.exitCode == 65, "\(evaluated)")
            #expect(evaluated.errorLines.count == 1, "\(evaluated)")
            #expect(evaluated.errors.contains("test records"), "\(evaluated)")
        }

        @Test func ofCIFAR() throws {
            let data = try SampleData.writeCIFAR(to: directory, recordCount: 4)
            unlink("\(directory.path)/cifar/test_batch.bin")
            let result = try Command.succeed(
                ["train", "--data", data, "--steps", "2", "--batch-size", "8", "--workers", "1"]
                    + ["--run-dir", "\(directory.path)/cifar-run"])
            #expect(result.output.contains("no test records"), "\(result)")
        }
    }
}
