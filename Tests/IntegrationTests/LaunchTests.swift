import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// `convoy launch`, `monitor` and `stop` on this machine. Hosts by ssh: Scripts/engines/hosts.sh.
    @Suite struct LaunchTests {
        private let directory: TemporaryDirectory
        private let data: String
        private let run: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData().write(to: directory)
            run = "\(directory.path)/runs/launched"
        }

        private func configuration(steps: Int) throws -> RunConfiguration {
            var configuration = try RunConfiguration.sample(data, steps: steps).with(workers: 2, servers: 1)
            configuration.cluster.heartbeatIntervalMilliseconds = 200
            configuration.training.checkpointEvery = 50
            return configuration
        }

        private func launch(_ arguments: [String] = []) throws -> Command.Result {
            try Command.run(["launch", "--run-dir", run] + arguments)
        }

        /// PIDs by name, from the list of the launch; the last one of a name that occurs twice.
        private func listed() -> [String: Int32] {
            let text = String(decoding: (try? FileSystem.read("\(run).pids")) ?? [], as: UTF8.self)
            var pids: [String: Int32] = [:]
            for line in text.split(separator: "\n") {
                let words = line.split(separator: " ")
                if words.count == 3, let pid = Int32(words[1]) { pids[String(words[0])] = pid }
            }
            return pids
        }

        /// Ends the processes that a failing test leaves.
        private func cleanUp() {
            for pid in listed().values where kill(pid, 0) == 0 { kill(pid, SIGKILL) }
        }

        private func step() -> Int {
            (try? RunRecords(run).metrics().last?.step) ?? 0
        }

        @Test func aRunThatOutlivesItsLauncher() throws {
            defer { cleanUp() }
            let settings = try configuration(steps: 120)
            try directory.write(settings.yaml, "run.yaml")
            let launched = try launch(["--config", "\(directory.path)/run.yaml"])
            #expect(launched.exitCode == 0, "\(launched)")
            #expect(launched.output.contains("1 server, 2 workers"), "\(launched)")
            let followed = try Command.run(["monitor", "--every", "50", run])
            #expect(followed.exitCode == 0, "\(followed)")
            #expect(followed.output.contains("ended at step 120: finished"), "\(followed)")
            let expected = try SerialTrainer(settings).weights(afterSteps: 120)
            #expect(try RunRecords(run).summary().weights_sha256 == expected)
            let stopped = try Command.run(["stop", run])
            #expect(stopped.exitCode == 0, "\(stopped)")
            #expect(!FileSystem.exists("\(run).pids") && !FileSystem.exists("\(run).pids.lock"))
            #expect(try Command.run(["stop", run]).exitCode == 65)
        }

        /// A second launch with the same command starts what died, and the bits stay.
        @Test func whatIsGoneIsStartedAgain() throws {
            defer { cleanUp() }
            let settings = try configuration(steps: 100_000)
            try directory.write(settings.yaml, "run.yaml")
            #expect(try launch(["--config", "\(directory.path)/run.yaml"]).exitCode == 0)
            _ = try eventually("a checkpoint") { step() > 60 ? true : nil }
            let twice = try launch()
            #expect(twice.exitCode == 65 && twice.errors.contains("runs already"), "\(twice)")

            let first = try #require(listed()["coordinator"])
            kill(first, SIGKILL)
            _ = try eventually("its end") { kill(first, 0) == 0 ? nil : true }
            let second = try launch()
            #expect(second.exitCode == 0 && second.output.contains("another coordinator"), "\(second)")

            // A coordinator that hangs is replaced too.
            let hung = try #require(listed()["coordinator"])
            kill(hung, SIGSTOP)
            let third = try launch()
            #expect(third.exitCode == 0 && third.output.contains("another coordinator"), "\(third)")
            #expect(listed()["coordinator"] != hung)

            let worker = try #require(listed()["worker-2"])
            kill(worker, SIGKILL)
            _ = try eventually("its end") { kill(worker, 0) == 0 ? nil : true }
            let fourth = try launch()
            #expect(fourth.exitCode == 0 && fourth.output.contains("1 process for"), "\(fourth)")
            #expect(try launch(["--change-settings"]).exitCode == 65)

            let now = step()
            _ = try eventually("more steps") { step() > now + 20 ? true : nil }
            let stopped = try Command.run(["stop", run])
            #expect(stopped.exitCode == 0, "\(stopped)")
            let records = RunRecords(run)
            let steps = try records.summary().steps
            let expected = try SerialTrainer(settings).weights(afterSteps: steps)
            #expect(try records.summary().weights_sha256 == expected)
            #expect(try Command.run(["verify", run]).exitCode == 0)
            // A stopped run can be launched again.
            let resumed = try launch(["--steps", "\(steps + 10)"])
            #expect(resumed.output.contains("going on from its newest checkpoint"), "\(resumed)")
            #expect(try Command.run(["monitor", run]).exitCode == 0)
            #expect(try RunRecords(run).summary().steps == steps + 10)
            #expect(try Command.run(["stop", run]).exitCode == 0)
        }

        /// A failed launch leaves no files, and has the exit code of the process that failed.
        @Test func aLaunchThatFails() throws {
            defer { cleanUp() }
            let failed = try launch(["--data", "idx:\(directory.path)/nothing"])
            #expect(failed.exitCode == 65 && failed.errors.contains("nothing"), "\(failed)")
            #expect(FileSystem.names(in: "\(directory.path)/runs").isEmpty)
            #expect(try launch(["--epochs", "0"]).exitCode == 64)
            #expect(try launch(["--cluster", "\(directory.path)/none"]).exitCode == 65)
            try directory.write("one coordinator,worker\n", "hosts")
            let said = try launch(["--cluster", "\(directory.path)/hosts", "--workers", "2"])
            #expect(said.exitCode == 64 && said.errors.contains("the cluster file says that"))
        }

        /// A launcher's request is checked like any input from outside.
        @Test func requestsThatAreNone() throws {
            for request in ["", "{}", "[1]", "{\"runDirectory\":\"\",\"action\":{\"look\":{}}}"] {
                try directory.write(request + "\n", "request")
                let line = "exec '\(ConvoyExecutable.path)' host <'\(directory.path)/request'"
                let result = try Command(["-c", line], executable: "/bin/sh").finish()
                #expect(result.exitCode == 64, "\(request): \(result)")
            }
        }
    }
}
