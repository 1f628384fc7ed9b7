import ClusterRuntime
import CounterRandom
import Glibc
import RunFiles
import Testing
import Threads

extension Integration {
    /// Whoever dies at whatever moment: the bits, the ledger, and nobody left. The short form of
    /// `Scripts/chaos.sh`.
    @Suite struct ChaosTests {
        /// Of runs that end by themselves.
        private static let steps = 4000
        private static let seed: UInt64 = 20_260
        /// Kills in each of three runs.
        private static let killCount = 8
        /// All kills of a run take a few seconds.
        private static let killingTime = Duration.seconds(120)

        /// `weights_sha256` of the undisturbed run, computed once.
        private static let expected = Result {
            let directory = try TemporaryDirectory()
            return try SerialTrainer(configuration(in: directory)).weights(afterSteps: steps)
        }

        private let directory: TemporaryDirectory
        private let configuration: RunConfiguration

        init() throws {
            directory = try TemporaryDirectory()
            configuration = try Self.configuration(in: directory)
        }

        private static func configuration(
            in directory: TemporaryDirectory
        ) throws -> RunConfiguration {
            let data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: steps)
            configuration.training.checkpointEvery = 200
            return configuration
        }

        /// Of a run that goes on until its test has seen enough.
        private var endless: RunConfiguration {
            var configuration = configuration
            configuration.training.steps = RunConfiguration.endless
            return configuration
        }

        /// Requires the end of an undisturbed run.
        private func expectSameRun(_ run: TrainRun) throws {
            #expect(try run.weights() == Self.expected.get())
            let verified = try Command.succeed(["verify", run.records.directory.path])
            #expect(verified.output.contains("\(Self.steps) steps"), "\(verified)")
        }

        /// Random roles at random moments, a replacement that has just started as likely as any.
        @Test(arguments: [(servers: 0, workers: 3), (1, 2), (2, 3)])
        func kills(servers: Int, workers: Int) throws {
            var random = SeededNumbers(seed: Self.seed + UInt64(servers))
            let run = try TrainRun(
                endless.with(workers: workers, servers: servers), in: directory, "run")
            try run.awaitCheckpoint(200)
            let roles = ["worker", "coordinator"] + (servers == 0 ? [] : ["server"])
            var killed: [String] = []
            let deadline = SteadyClock.now + Self.killingTime
            while killed.count < Self.killCount, !run.command.hasEnded,
                SteadyClock.now < deadline
            {
                usleep(UInt32(random.below(400_000)))
                let role = roles[random.below(roles.count)]
                let processes = run.processes(role)
                guard !processes.isEmpty else { continue }
                kill(processes[random.below(processes.count)], SIGKILL)
                killed.append(role)
            }
            try #require(killed.count == Self.killCount, "over after \(killed)")
            try run.awaitSteps(400)
            try run.endAsSerial(endless)
        }

        /// A worker that is stopped looks dead, and goes on later with what it was at.
        @Test func stoppedWorker() throws {
            var configuration = endless
            configuration.cluster.heartbeatIntervalMilliseconds = 200
            let run = try TrainRun(configuration.with(workers: 2, servers: 1), in: directory, "run")
            try run.awaitCheckpoint(200)
            let worker = try #require(run.records.joined()["worker 1"])
            kill(worker, SIGSTOP)
            defer { kill(worker, SIGCONT) }
            try eventually("notice of the silence") {
                run.records.log("coordinator-1").contains {
                    $0["message"] == "lost" && $0["peer.name"] == "worker 1"
                }
            }
            try run.awaitSteps(200)
            kill(worker, SIGCONT)
            try run.awaitSteps(400)
            try run.endAsSerial(configuration)
        }

        /// Everything is killed twice, and each time the run goes on in another size.
        @Test func everythingAtOnce() throws {
            let run = try TrainRun(endless.with(workers: 2, servers: 1), in: directory, "run")
            try run.awaitCheckpoint(1000)
            run.killEverything()
            let path = run.records.directory.path
            let second = try TrainRun(
                resuming: run.records, flags: ["--workers", "3", "--servers", "2"])
            try second.awaitCheckpoint(2600)
            second.killEverything()
            _ = try Command.succeed(["verify", path])
            let third = try TrainRun(
                resuming: run.records, flags: ["--workers", "1", "--servers", "0"])
            try third.awaitSteps(200)
            try third.endAsSerial(endless)
        }

        /// The disk fills up in the middle of a run and stays full: that is said, steps go on, the
        /// last whole checkpoint stays, and with room again the run can be resumed from it.
        @Test(.enabled(if: MountNamespace.isAvailable, "needs the right to mount"))
        func diskThatStaysFull() throws {
            let (result, records) = try trainOnSmallDisk(afterwards: "")
            #expect(result.exitCode == 65, "\(result)")
            #expect(result.output.contains("the run goes on"), "\(result)")
            #expect(result.output.contains("step 4,000"), "\(result)")
            #expect(result.errors.contains("No space left on device"), "\(result)")
            let last = try #require(records.checkpoints.last)
            #expect(last >= 400 && last < Self.steps)
            let path = "\(records.directory.checkpoints)/\(CheckpointStore.name(step: last))"
            let verified = try Command.succeed(["verify", path])
            let atLast = try SerialTrainer(configuration).weights(afterSteps: last)
            #expect(verified.output.contains(atLast), "\(verified)")
            try expectSameRun(TrainRun(resuming: records, flags: []))
        }

        /// Room again before the end: nothing of the records is missing.
        @Test(.enabled(if: MountNamespace.isAvailable, "needs the right to mount"))
        func diskThatIsFullForAWhile() throws {
            let (result, records) = try trainOnSmallDisk(
                afterwards: """
                    until grep -q 'not written' "$output"; do sleep 0.01; done
                    rm "$disk/filler"
                    """)
            #expect(result.exitCode == 0, "\(result)")
            #expect(result.output.contains("the run goes on"), "\(result)")
            #expect(try records.summary().weights_sha256 == Self.expected.get())
            let verified = try Command.succeed(["verify", records.directory.path])
            #expect(verified.output.contains("\(Self.steps) steps"), "\(verified)")
            let steps = try records.metrics().filter { $0.kind == "step" }.map(\.step)
            #expect(steps == Array(1...Self.steps))
        }

        /// Trains on a disk of its own that is filled once there is a checkpoint of step 400.
        ///
        /// - Parameter afterwards: shell commands beside the run, once the disk is full.
        /// - Returns: a copy of what is in the run directory at the end.
        private func trainOnSmallDisk(
            afterwards: String
        ) throws -> (result: Command.Result, records: RunRecords) {
            let disk = "\(directory.path)/disk"
            let copy = "\(directory.path)/copy"
            mkdir(disk, 0o755)
            // The command alone sees the mount, so it copies what is there at the end.
            let shell = """
                disk='\(disk)' output=$(readlink /proc/$$/fd/1)
                mount -t tmpfs -o size=4m none "$disk" || exit 99
                (
                    until [ -e "$disk/run/checkpoints/step-00000400" ]; do sleep 0.01; done
                    cat /dev/zero >"$disk/filler"
                    \(afterwards)
                ) 2>/dev/null &
                "$@"
                code=$?
                cp -r "$disk/run" '\(copy)'
                exit $code

                """
            let file = try directory.write(
                configuration.with(workers: 2, servers: 1).yaml, "small-disk.yaml")
            let result = try Command.run(
                ["train", "--config", file, "--run-dir", "\(disk)/run"], shell: shell)
            #expect(result.output.contains("not written: "), "\(result)")
            RunRecords("\(disk)/run").expectNothingRunning()
            return (result, RunRecords(copy))
        }
    }
}

/// A stream of numbers that a seed decides.
private struct SeededNumbers {
    private let seed: UInt64
    private var count: UInt64 = 0

    init(seed: UInt64) { self.seed = seed }

    mutating func below(_ bound: Int) -> Int {
        count += 1
        return Int(mix64(seed << 32 | count) % UInt64(bound))
    }
}

extension TrainRun {
    /// Takes up a run again.
    fileprivate init(resuming records: RunRecords, flags: [String]) throws {
        self.records = records
        command = try Command(["train", "--resume", records.directory.path] + flags)
    }

    /// Its running processes of one role.
    fileprivate func processes(_ role: String) -> [Int32] {
        ProcessTable.identifiers(role, mentioning: "\(records.directory.path)/logs/").sorted()
    }

    /// kill -9 of the launcher and of all it started, and waits until they are gone.
    fileprivate func killEverything() {
        let family = ProcessTable.identifiers(mentioning: "\(records.directory.path)/logs/")
        command.child.send(signal: SIGKILL)
        for process in family { kill(process, SIGKILL) }
        _ = command.finish(within: .seconds(5))
        records.expectNothingRunning()
    }
}
