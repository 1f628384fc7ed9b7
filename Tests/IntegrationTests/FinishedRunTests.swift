import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// The coordinator was killed when only the summary was missing: a successor finishes the run
    /// from its journal and writes the summary.
    @Suite struct FinishedRunTests {
        private let directory: TemporaryDirectory
        private let records: RunRecords
        private let summary: String

        init() throws {
            directory = try TemporaryDirectory()
            let data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
            let configuration = try RunConfiguration.sample(data, steps: 150)
                .with(workers: 2, servers: 1)
            let run = try TrainRun(configuration, in: directory, "run")
            _ = try run.weights()
            records = run.records
            summary = try Self.text(records.directory.summary)
            unlink(records.directory.summary)
        }

        private static func text(_ path: String) throws -> String {
            String(decoding: try FileSystem.read(path), as: UTF8.self)
        }

        /// Expects equal fields; numbers that went through text or were added again may differ a
        /// little.
        private func expectSameSummary() throws {
            let found = try Self.text(records.directory.summary).split(separator: "\n")
            let before = summary.split(separator: "\n")
            #expect(found.count == before.count)
            for (now, then) in zip(found, before) where now != then {
                let values = [now, then].map { line in
                    Double(line.split(separator: ":")[1].filter { !", ".contains($0) })
                }
                let (value, expected) = (try #require(values[0]), try #require(values[1]))
                #expect(abs(value - expected) < 1e-9 * abs(expected), "\(now), was \(then)")
            }
        }

        /// The members have ended; only the coordinator is started again.
        @Test func coordinatorAlone() throws {
            let result = try Command.run(
                [
                    "coordinator", "--run-dir", records.directory.path, "--resume", "--listen",
                    "tcp://127.0.0.1:*",
                ], within: .seconds(30))
            #expect(result.exitCode == 0, "\(result)")
            #expect(result.output.contains("weights_sha256"), "\(result)")
            try expectSameSummary()
            records.expectNothingRunning()
        }

        /// A run directory that another build wrote is taken up, with a remark.
        @Test func anotherBuild() throws {
            let run = records.directory
            try FileSystem.replace(run.format, with: RunFormat(format: 1, build: "0123abcd").json)
            let check = try Command.run(["verify", run.path], within: .seconds(30))
            #expect(check.exitCode == 0 && check.output.contains("0123abcd"), "\(check)")
            let result = try Command.run(["train", "--resume", run.path], within: .seconds(30))
            #expect(result.exitCode == 0 && result.output.contains("build 0123abcd"), "\(result)")
            #expect(try RunFormat.read(run).build.map { $0 != "0123abcd" } == true)
            // A run directory of builds before there was a format file.
            unlink(run.format)
            let again = try Command.run(["train", "--resume", run.path], within: .seconds(30))
            #expect(again.exitCode == 0 && !again.output.contains("build "), "\(again)")
        }

        /// A member that missed the end looks for its coordinator and is sent home.
        @Test func memberThatIsStillThere() throws {
            let endpoint = try #require(records.endpoint)
            let worker = try Command(["worker", "--coordinator", endpoint])
            let result = try Command.run(
                [
                    "coordinator", "--run-dir", records.directory.path, "--resume", "--listen",
                    endpoint,
                ], within: .seconds(30))
            #expect(result.exitCode == 0, "\(result)")
            let end = worker.finish(within: .seconds(10))
            #expect(end.exitCode == 0, "\(end)")
            try expectSameSummary()
        }

        /// The resume is refused before anything changed, so the summary stays.
        @Test func refusedResumeLosesNothing() throws {
            try FileSystem.replace(records.directory.summary, with: summary)
            let result = try Command.run(
                ["train", "--resume", records.directory.path, "--wire-precision", "bf16"],
                within: .seconds(30))
            #expect(result.exitCode == 65, "\(result)")
            #expect(result.errorLines.count == 1, "\(result)")
            #expect(try Self.text(records.directory.summary) == summary)
            records.expectNothingRunning()
        }

        @Test func resumed() throws {
            let result = try Command.run(
                ["train", "--resume", records.directory.path], within: .seconds(30))
            #expect(result.exitCode == 0, "\(result)")
            #expect(result.output.contains("finished already"), "\(result)")
            try expectSameSummary()
            records.expectNothingRunning()
        }

        /// A run that is taken further is not over.
        @Test func takenFurther() throws {
            let result = try Command.run(
                ["train", "--resume", records.directory.path, "--steps", "170"])
            #expect(result.exitCode == 0, "\(result)")
            #expect(try records.summary().steps == 170)
            _ = try Command.succeed(["verify", records.directory.path])
        }
    }
}
