import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Ctrl-C and what follows it.
    @Suite struct InterruptionTests {
        private static let steps = 3000
        private let directory: TemporaryDirectory
        private let data: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
        }

        private func configuration() throws -> RunConfiguration {
            var configuration = try RunConfiguration.sample(data, steps: Self.steps)
            configuration.training.checkpointEvery = 200
            return configuration
        }

        @Test func interruptedAndResumed() throws {
            let configuration = try configuration().with(workers: 2, servers: 1)
            let run = try TrainRun(configuration, in: directory, "run")
            try run.awaitCheckpoint(400)
            let processes = run.records.joined()
            #expect(processes.keys.sorted() == ["server 1", "worker 1", "worker 2"])
            run.command.child.send(signal: SIGINT)
            let result = run.command.finish(within: .seconds(20))
            #expect(result.exitCode == 130, "\(result)")
            #expect(result.errors.isEmpty, "\(result)")
            run.records.expectNothingRunning()
            #expect(processes.values.allSatisfy { !ProcessTable.isRunning($0) })

            let stopped = try #require(run.records.checkpoints.last)
            #expect(stopped >= 400 && stopped < Self.steps)
            let path = run.records.directory.path
            #expect(try run.records.summary().steps == stopped)
            #expect(try run.records.ledgerSteps() == Array(0..<stopped))
            _ = try Command.succeed(["verify", path])

            _ = try Command.succeed(
                ["train", "--resume", path, "--workers", "3", "--servers", "0"])
            run.records.expectNothingRunning()
            let expected = try SerialTrainer(configuration).weights(afterSteps: Self.steps)
            #expect(try run.records.summary().weights_sha256 == expected)
            #expect(try run.records.ledgerSteps() == Array(0..<Self.steps))
            let steps = try run.records.metrics().filter { $0.kind == "step" }.map(\.step)
            #expect(steps == Array(1...Self.steps))
            let epochs = try run.records.metrics().filter { $0.kind == "epoch" }.map(\.step)
            #expect(epochs == Array(stride(from: 56, to: Self.steps, by: 56)) + [Self.steps])
            let good = try Command.succeed(["verify", path])
            #expect(good.output.contains("\(Self.steps) steps"), "\(good)")
        }

        /// A closed terminal, a reached limit or another signal that ends processes: the run writes
        /// a checkpoint first. A shell and the kernel may both send SIGHUP.
        @Test(arguments: [SIGHUP, SIGTERM, SIGUSR1, SIGXCPU]) func anySignalThatEnds(_ signal: Int32) throws {
            var configuration = try configuration().with(workers: 2, servers: 1)
            configuration.training.steps = RunConfiguration.endless
            let run = try TrainRun(configuration, in: directory, "run")
            try run.awaitCheckpoint(200)
            run.command.child.send(signal: signal)
            if signal == SIGHUP { run.command.child.send(signal: signal) }
            let result = run.command.finish(within: .seconds(30))
            #expect(result.exitCode == 130, "\(result)")
            run.records.expectNothingRunning()
            let stopped = try #require(run.records.checkpoints.last)
            #expect(try run.records.summary().steps == stopped)
            #expect(try run.records.ledgerSteps() == Array(0..<stopped))
            let expected = try SerialTrainer(configuration).weights(afterSteps: stopped)
            #expect(try run.records.summary().weights_sha256 == expected)
        }

        /// The program's file is removed during a run, or replaced by another build, and then
        /// processes die.
        @Test(arguments: [false, true]) func theProgramIsReplaced(isRemoved: Bool) throws {
            var configuration = try configuration().with(workers: 2, servers: 1)
            configuration.training.steps = RunConfiguration.endless
            let program = try directory.write(
                FileSystem.read(ConvoyExecutable.path), "program")
            chmod(program, 0o755)
            let file = try directory.write(configuration.yaml, "run.yaml")
            let records = RunRecords("\(directory.path)/run")
            let command = try Command(
                ["train", "--config", file, "--run-dir", records.directory.path],
                executable: program)
            let run = TrainRun(records: records, command: command)
            try run.awaitCheckpoint(200)
            unlink(program)
            if !isRemoved { try directory.write(Array("another".utf8), "program") }
            for role in ["worker", "server", "coordinator"] {
                let victim = try #require(
                    ProcessTable.identifiers(role, mentioning: "\(records.directory.path)/logs/")
                        .first)
                kill(victim, SIGKILL)
                try run.awaitSteps(200)
            }
            try run.endAsSerial(configuration)
        }

        /// A member that does not answer delays the first Ctrl-C; the second does not wait.
        @Test func secondInterruptEndsAtOnce() throws {
            var configuration = try configuration().with(workers: 2, servers: 1)
            configuration.training.steps = 1_000_000
            configuration.cluster.heartbeatIntervalMilliseconds = 60_000
            let run = try TrainRun(configuration, in: directory, "run")
            try run.awaitCheckpoint(200)
            // Without the worker no step ends, and without the server no checkpoint.
            for name in ["worker 1", "server 1"] {
                kill(try #require(run.records.joined()[name]), SIGSTOP)
            }
            run.command.child.send(signal: SIGINT)
            try eventually("answer to Ctrl-C") { run.command.output.contains("once more") }
            #expect(run.command.child.wait(within: .seconds(1)) == nil)
            run.command.child.send(signal: SIGINT)
            let result = run.command.finish(within: .seconds(5))
            #expect(result.exitCode == 130, "\(result)")
            run.records.expectNothingRunning()
        }

        /// The launcher is killed: all its processes end too, and the run can be resumed.
        @Test func killedLauncherLeavesNobody() throws {
            let configuration = try configuration().with(workers: 2, servers: 0)
            let run = try TrainRun(configuration, in: directory, "run")
            try run.awaitCheckpoint(200)
            run.command.child.send(signal: SIGKILL)
            _ = run.command.finish(within: .seconds(5))
            try eventually("end of every process", within: .seconds(15)) {
                ProcessTable.identifiers(mentioning: run.records.directory.path).isEmpty
            }
            _ = try Command.succeed(["train", "--resume", run.records.directory.path])
            let expected = try SerialTrainer(configuration).weights(afterSteps: Self.steps)
            #expect(try run.records.summary().weights_sha256 == expected)
            _ = try Command.succeed(["verify", run.records.directory.path])
        }

        /// Corrupt checkpoints are skipped, with a remark.
        @Test func resumeFromAnOlderCheckpoint() throws {
            var configuration = try configuration().with(workers: 1, servers: 1)
            configuration.training.steps = 700
            let run = try TrainRun(configuration, in: directory, "run")
            _ = try run.weights()
            // The last three, and the best, which may be older.
            let checkpoints = run.records.checkpoints
            try #require((3...4).contains(checkpoints.count) && checkpoints.last == 700)
            let files = ["model.safetensors", "optimizer.safetensors"]
            for (step, file) in zip(checkpoints.reversed(), files) {
                let name = CheckpointStore.name(step: step)
                let path = "\(run.records.directory.checkpoints)/\(name)/\(file)"
                var bytes = try FileSystem.read(path)
                bytes[bytes.count - 5] ^= 1
                try directory.write(bytes, String(path.dropFirst(directory.path.count + 1)))
            }
            let path = run.records.directory.path
            let verified = try Command.run(["verify", path])
            #expect(verified.exitCode == 65, "\(verified)")
            #expect(verified.errorLines.count == 1, "\(verified)")
            let result = try Command.succeed(["train", "--resume", path, "--steps", "750"])
            #expect(result.output.contains("skipped a checkpoint"), "\(result)")
            let expected = try SerialTrainer(configuration).weights(afterSteps: 750)
            #expect(try run.records.summary().weights_sha256 == expected)
            #expect(try run.records.ledgerSteps() == Array(0..<750))
        }

        /// A run that has finished is not trained again.
        @Test func resumeOfAFinishedRun() throws {
            var configuration = try configuration().with(workers: 1, servers: 1)
            configuration.training.steps = 12
            let run = try TrainRun(configuration, in: directory, "run")
            let weights = try run.weights()
            _ = try Command.succeed(["train", "--resume", run.records.directory.path])
            #expect(try run.records.summary().weights_sha256 == weights)
            #expect(try run.records.ledgerSteps() == Array(0..<12))
        }
    }
}
