import ClusterHosts
import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import TestSupport
import Testing
import Threads

extension Integration {
    /// Outputs that are not read, disks that do not answer and processes under SIGSTOP hang without
    /// dying. The run goes on, says so, and keeps its bits.
    @Suite struct StallTests {
        private let directory: TemporaryDirectory
        private let configuration: RunConfiguration

        init() throws {
            directory = try TemporaryDirectory()
            let data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
            var configuration = try RunConfiguration.sample(
                data, steps: RunConfiguration.endless)
            configuration.training.checkpointEvery = 200
            configuration.cluster.heartbeatIntervalMilliseconds = 300
            self.configuration = configuration.with(workers: 2, servers: 1)
        }

        // MARK: Outputs

        enum Output: String, CaseIterable {
            case fullPipe, closedPipe, terminal, closedDescriptor
        }

        /// An output that takes nothing, and the descriptors that keep it so.
        private func blocked(_ output: Output) throws -> (path: String, held: [Int32]) {
            if output == .terminal {
                let head = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
                var (number, isLocked) = (UInt32(0), Int32(0))
                // TIOCGPTN and TIOCSPTLCK: ptsname(3) and unlockpt(3), which the Glibc module
                // leaves out.
                try #require(
                    head >= 0 && ioctl(head, 0x8004_5430, &number) == 0
                        && ioctl(head, 0x4004_5431, &isLocked) == 0)
                return ("/dev/pts/\(number)", [head])
            }
            let path = "\(directory.path)/pipe"
            try #require(mkfifo(path, 0o600) == 0)
            let reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
            let writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
            try #require(reader >= 0 && writer >= 0)
            let page = [UInt8](repeating: UInt8(ascii: "."), count: 4096)
            while write(writer, page, page.count) > 0 {}
            return (path, [reader, writer])
        }

        @Test(arguments: Output.allCases) func outputThatTakesNothing(_ output: Output) throws {
            let (path, held) = try blocked(output)
            defer { for descriptor in held { close(descriptor) } }
            let file = try directory.write(configuration.yaml, "run.yaml")
            let records = RunRecords("\(directory.path)/run")
            let arguments = [
                "train", "--config", file, "--run-dir", records.directory.path,
            ]
            let close = output == .closedDescriptor ? "exec \"$@\" >&- 2>&-" : "exec \"$@\""
            let child = try ChildProcess(
                name: "train", executable: "/bin/sh",
                arguments: ["-c", close, "sh", ConvoyExecutable.path] + arguments, output: path)
            try eventually("steps") { (records.checkpoints.last ?? 0) >= 200 }
            // The output is not read any more; when it is closed, it never will be.
            if output == .closedPipe { Glibc.close(held[0]) }
            if output == .fullPipe {
                try eventually("notice of the output") {
                    records.log("coordinator-1").contains {
                        $0["message"] == "standard output is not read"
                    }
                }
            }
            let last = records.checkpoints.last ?? 0
            try eventually("more steps") { (records.checkpoints.last ?? 0) >= last + 400 }
            child.send(signal: SIGTERM)
            #expect(child.wait(within: .seconds(30)) == .exited(130))
            records.expectNothingRunning()
            try expectSerial(records)
        }

        private func expectSerial(_ records: RunRecords) throws {
            let summary = try records.summary()
            let expected = try SerialTrainer(configuration).weights(afterSteps: summary.steps)
            #expect(summary.weights_sha256 == expected)
            #expect(try records.ledgerSteps() == Array(0..<summary.steps))
            _ = try Command.succeed(["verify", records.directory.path])
        }

        // MARK: Disks

        /// The disk with metrics, ledger, journal, logs and checkpoints does not answer.
        @Test func diskThatDoesNotAnswer() throws {
            var configuration = configuration
            configuration.cluster.heartbeatIntervalMilliseconds = 1000
            let path = "\(directory.path)/run"
            let disk = try FaultyDisk(path, in: directory)
            let file = try directory.write(configuration.yaml, "run.yaml")
            let records = RunRecords(path)
            let command = try Command(
                ["train", "--config", file, "--run-dir", path], environment: disk.environment)
            try eventually("steps") { (records.checkpoints.last ?? 0) >= 200 }
            try disk.hang()
            defer { disk.recover() }
            try eventually("notice of the disk") {
                command.output.contains("disk has not answered")
            }
            // The coordinator answers and reports the disk.
            let status = try Command.run(["status", path])
            #expect(status.exitCode == 75, "\(status)")
            #expect(status.output.contains("disk has not answered"), "\(status)")
            // No process was taken for dead.
            #expect(!command.output.contains("lost at step"), "\(command.output)")
            #expect(!command.output.contains("takes its place"), "\(command.output)")
            disk.recover()
            let last = records.checkpoints.last ?? 0
            try eventually("more steps") { (records.checkpoints.last ?? 0) >= last + 400 }
            try eventually("notice of its end") {
                command.output.contains("disk answers again")
            }
            command.child.send(signal: SIGINT)
            let result = command.finish()
            #expect(result.exitCode == 130, "\(result)")
            records.expectNothingRunning()
            try expectSerial(records)
        }

        // MARK: Processes

        /// The process is stopped for good, or woken as soon as another has its place.
        @Test(arguments: ["coordinator", "server", "worker"], [false, true])
        func processThatHangs(role: String, isWoken: Bool) throws {
            let run = try TrainRun(configuration, in: directory, "run")
            try run.awaitCheckpoint(200)
            let process = try #require(
                ProcessTable.identifiers(
                    role, mentioning: "\(run.records.directory.path)/logs/"
                ).sorted().first)
            let stopped = SteadyClock.now
            kill(process, SIGSTOP)
            try eventually("replacement") { run.command.output.contains("takes its place") }
            #expect(
                run.command.output.contains("(pid \(process)) has given no sign of life"),
                "\(run.command.output)")
            if isWoken { kill(process, SIGCONT) }
            try run.awaitSteps(400)
            // A generous limit for a busy machine; the real time is measured elsewhere.
            #expect(SteadyClock.now - stopped < .seconds(60))
            try run.endAsSerial(configuration)
        }

        /// A launcher that was stopped does not take its processes for dead when it goes on.
        @Test func launcherThatWasStopped() throws {
            // On a busy machine a process's signs of life may be late.
            var configuration = configuration
            configuration.cluster.heartbeatIntervalMilliseconds = 1000
            let run = try TrainRun(configuration, in: directory, "run")
            try run.awaitCheckpoint(200)
            let launcher = try #require(
                ProcessTable.identifiers("train", mentioning: run.records.directory.path).first)
            kill(launcher, SIGSTOP)
            let last = run.records.checkpoints.last ?? 0
            let begin = SteadyClock.now
            // Longer than a process may be silent.
            try eventually("steps meanwhile") {
                SteadyClock.now - begin > .seconds(5)
                    && (run.records.checkpoints.last ?? 0) >= last + 400
            }
            kill(launcher, SIGCONT)
            try run.awaitSteps(400)
            #expect(!run.command.output.contains("no sign of life"), "\(run.command.output)")
            try run.endAsSerial(configuration)
        }

        /// A coordinator hangs without a launcher: another process that takes the run up ends it.
        @Test func aCoordinatorThatHangsIsTakenOver() throws {
            let run = try TrainRun(configuration, in: directory, "run")
            try run.awaitCheckpoint(200)
            let path = run.records.directory.path
            // The launcher hangs as well, and can do nothing.
            let launcher = try #require(
                ProcessTable.identifiers("train", mentioning: path).first)
            let coordinator = try #require(
                ProcessTable.identifiers("coordinator", mentioning: path).first)
            let refused = try Command.run(
                ["coordinator", "--listen", "tcp://127.0.0.1:*", "--run-dir", path, "--resume"])
            #expect(refused.exitCode == 65, "\(refused)")
            #expect(
                refused.errors.contains("at work on it (pid \(coordinator)"), "\(refused)")
            kill(launcher, SIGSTOP)
            defer { kill(launcher, SIGCONT) }
            kill(coordinator, SIGSTOP)
            let next = try Command(
                ["coordinator", "--listen", "tcp://127.0.0.1:*", "--run-dir", path, "--resume"])
            try eventually("end of the one that hangs") {
                next.output.contains("does not answer; it is ended")
            }
            try run.awaitSteps(400)
            next.child.send(signal: SIGINT)
            let result = next.finish()
            #expect(result.exitCode == 130, "\(result)")
            kill(launcher, SIGKILL)
            _ = run.command.finish(within: .seconds(10))
            run.records.expectNothingRunning()
            try expectSerial(run.records)
        }
    }
}
