import ClusterRuntime
import CounterRandom
import Glibc
import RunFiles
import TestSupport
import Testing
import Threads

extension Integration {
    /// Processes are killed at any moment: the bits and the ledger stay, and no process is left.
    /// This is the short form of `Scripts/chaos.sh`.
    @Suite struct ChaosTests {
        /// The steps of runs that end by themselves.
        private static let steps = 4000
        private static let seed: UInt64 = 20_260
        /// Kills in each of three runs.
        private static let killCount = 8
        /// A limit; all kills of a run take a few seconds.
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

        /// The settings of a run that lasts until its test has seen enough.
        private var endless: RunConfiguration {
            var configuration = configuration
            configuration.training.steps = RunConfiguration.endless
            return configuration
        }

        /// Requires that a run ends like the undisturbed one.
        private func expectSameRun(_ run: TrainRun) throws {
            #expect(try run.weights() == Self.expected.get())
            let verified = try Command.succeed(["verify", run.records.directory.path])
            #expect(verified.output.contains("\(Self.steps) steps"), "\(verified)")
        }

        /// Kills random roles at random moments; a new replacement is as likely a victim as any
        /// process.
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

        /// A stopped worker looks dead, and later goes on where it was.
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

        /// All processes are killed twice, and each time the run goes on in another size.
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

        /// The disk fills up during a run and stays full: the run says so and goes on, and the last
        /// whole checkpoint stays. With room again the run can be resumed from it.
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

        /// The disk has room again before the end: no record is missing.
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

        /// Trains on a small disk, which is filled once the checkpoint of step 400 is there.
        ///
        /// - Parameter afterwards: shell commands to run beside the training once the disk is full.
        /// - Returns: the command's result, and a copy of the run directory at the end.
        private func trainOnSmallDisk(
            afterwards: String
        ) throws -> (result: Command.Result, records: RunRecords) {
            let disk = "\(directory.path)/disk"
            let copy = "\(directory.path)/copy"
            mkdir(disk, 0o755)
            // Only the command sees the mount, so it makes the copy.
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

/// A stream of random numbers from a seed.
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
    init(resuming records: RunRecords, flags: [String]) throws {
        self.records = records
        command = try Command(["train", "--resume", records.directory.path] + flags)
    }

    /// The run's processes of one role.
    func processes(_ role: String) -> [Int32] {
        ProcessTable.identifiers(role, mentioning: "\(records.directory.path)/logs/").sorted()
    }

    /// Kills a process of each role in turn, `steps` steps apart.
    func kill(_ roles: [String], every steps: Int) throws {
        for role in roles {
            try awaitSteps(steps)
            Glibc.kill(try #require(processes(role).first), SIGKILL)
        }
    }

    /// Sends SIGKILL to the launcher and all its processes, and waits until they are gone.
    func killEverything() {
        let family = ProcessTable.identifiers(mentioning: "\(records.directory.path)/logs/")
        command.child.send(signal: SIGKILL)
        for process in family { Glibc.kill(process, SIGKILL) }
        _ = command.finish(within: .seconds(5))
        records.expectNothingRunning()
    }
}
