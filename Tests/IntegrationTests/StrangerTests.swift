import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// A run on loopback, and the other users of its host.
    @Suite(.enabled(if: OtherUser.isAvailable, "needs root, to become another user"))
    struct StrangerTests {
        private let directory: TemporaryDirectory
        private let data: String

        init() throws {
            directory = try TemporaryDirectory()
            data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
        }

        /// Another user of the host has a copy of the program while a run goes on.
        @Test func anotherUserIsKeptOut() throws {
            var configuration = try RunConfiguration.sample(data, steps: RunConfiguration.endless)
                .with(workers: 2, servers: 1)
            configuration.training.checkpointEvery = 1000
            let run = try TrainRun(configuration, in: directory, "run")
            let path = run.records.directory.path
            try eventually("training") {
                run.records.log("coordinator-1").contains { $0["message"] == "training" }
            }
            let endpoint = try #require(run.records.endpoint)
            let user = try OtherUser()
            let own = "\(user.directory.path)/keys"
            try #require(
                try Command.run(["keygen", "--output", own], as: user).exitCode == 0)

            let join = ["--coordinator", endpoint, "--connect-timeout", "2"]
            let insecure = ["--insecure", "--log-file", "/dev/null"]
            let attempts: [([String], Int, String)] = [
                (["worker"] + join, 69, "no coordinator of user \(user.identifier)"),
                (["server"] + join, 69, "no coordinator of user \(user.identifier)"),
                (["worker"] + insecure + join, 69, "mechanism"),
                (["server"] + insecure + join, 69, "mechanism"),
                (["worker", "--keys", own] + join, 69, "coordinator.public"),
                (["worker", "--keys", "\(path)/keys"] + join, 65, "Permission denied"),
                (["status", path], 65, "only the user who runs it"),
                (["status", "--coordinator", endpoint], 69, "mechanism"),
                (["status", "--coordinator", endpoint, "--keys", own], 69, "coordinator.public"),
                (
                    ["coordinator", "--resume", "--run-dir", path, "--listen", endpoint], 65,
                    "Permission denied"
                ),
            ]
            let commands = try attempts.map { try Command($0.0, as: user) }
            for (command, (_, code, mention)) in zip(commands, attempts) {
                let result = command.finish(within: .seconds(30))
                #expect(result.exitCode == code, "\(result)")
                #expect(result.errors.contains(mention), "\(result)")
                #expect(result.errorLines.count == 1, "\(result)")
            }
            try cannotReach(run, user)

            let log = run.records.log("coordinator-1")
            #expect(log.count { $0["message"] == "joined" } == 3)
            #expect(!log.contains { $0["message"] == "lost" }, "a member was lost")
            try run.endAsSerial(configuration)
            let turnedAway = run.records.log("coordinator-1")
                .filter { $0["message"] == "turned a connection away" }
            let reasons = turnedAway.map { "\($0["peer.address"] ?? "") \($0["reason"] ?? "")" }
            #expect(Set(reasons).count == reasons.count, "more than a line each: \(reasons)")
            #expect(reasons.contains { $0.contains("mechanism") }, "\(reasons)")
            #expect(reasons.count < 8, "\(reasons)")
        }

        /// Requires that `user` cannot reach files, memory, pipes and processes that the run's own
        /// user can.
        private func cannotReach(_ run: TrainRun, _ user: OtherUser) throws {
            let keys = run.records.directory.keys
            let registry = "/tmp/convoy-\(geteuid())"
            var secrets = [
                "\(keys)/node.secret", "\(keys)/allowed/node.public",
                "\(run.records.directory.path)/lock",
            ]
            secrets += FileSystem.names(in: registry).map { "\(registry)/\($0)" }
            #expect(secrets.count >= 5, "lock and entry of the registry: \(secrets)")
            var memoryCount = 0
            var pipeCount = 0
            for process in run.records.joined().values {
                for name in FileSystem.names(in: "/proc/\(process)/fd") {
                    let file = "/proc/\(process)/fd/\(name)"
                    var target = [CChar](repeating: 0, count: 64)
                    guard readlink(file, &target, 63) > 0 else { continue }
                    let isMemory = strncmp(target, "/memfd:convoy", 13) == 0
                    guard isMemory || strncmp(target, "pipe:", 5) == 0 else { continue }
                    // The file's own mode keeps other users out, without /proc's help.
                    var status = stat()
                    #expect(stat(file, &status) == 0 && status.st_mode & 0o077 == 0, "\(file)")
                    if isMemory { memoryCount += 1 } else { pipeCount += 1 }
                    secrets.append(file)
                }
            }
            #expect(memoryCount >= 6 && pipeCount >= 6, "\(memoryCount), \(pipeCount)")
            for file in secrets {
                let descriptor = open(file, O_RDONLY | O_NONBLOCK)
                #expect(descriptor >= 0, "the run's own user reads \(file)")
                close(descriptor)
                #expect(try !user.can("exec 3<\"$1\"", file), "\(file)")
                #expect(try !user.can("exec 3>>\"$1\"", file), "\(file)")
            }
            #expect(try !user.can("ls \"$1\"", keys))
            #expect(try !user.can("ls \"$1\"", registry))
            for process in ProcessTable.identifiers(mentioning: run.records.directory.path) {
                #expect(try !user.can("kill -INT \"$1\"", "\(process)"))
                #expect(try !user.can("kill -0 \"$1\"", "\(process)"))
            }
            // This user can open other files.
            #expect(try user.can("exec 3<\"$1\"", "\(run.records.directory.path)/config.yaml"))
        }

        /// Another user made the directory in which runs are found, before the run.
        @Test(arguments: ["a link", "a directory of user 0", "one with mode 755"])
        func aRegistryOfSomebodyElse(what: String) throws {
            let user = try OtherUser()
            let own = user.directory.path
            let configuration = try RunConfiguration.sample(data, steps: 20)
                .with(workers: 1, servers: 1)
            let file = try directory.write(configuration.yaml, "run.yaml")
            mkdir("\(own)/elsewhere", 0o700)
            chown("\(own)/elsewhere", uid_t(user.identifier), gid_t(user.identifier))
            switch what {
            case "a link": symlink("\(own)/elsewhere", user.registry)
            case "a directory of user 0": mkdir(user.registry, 0o777)
            default:
                mkdir(user.registry, 0o755)
                chmod(user.registry, 0o755)
                chown(user.registry, uid_t(user.identifier), gid_t(user.identifier))
            }
            let records = RunRecords("\(own)/run")
            let coordinator = try Command(
                [
                    "coordinator", "--config", file, "--run-dir", records.directory.path,
                    "--listen", "tcp://127.0.0.1:*",
                ], as: user)
            let endpoint = try eventually("endpoint") { records.endpoint }
            let lost = try Command.run(
                ["worker", "--coordinator", endpoint], as: user, within: .seconds(20))
            #expect(lost.exitCode == 65, "\(lost)")
            #expect(lost.errorLines.count == 1, "\(lost)")
            #expect(lost.errors.contains(user.registry) && lost.errors.contains(what), "\(lost)")
            let members = try ["server", "worker"].map {
                try Command(
                    [$0, "--coordinator", endpoint, "--keys", records.directory.keys], as: user)
            }
            for command in members + [coordinator] {
                let result = command.finish()
                #expect(result.exitCode == 0, "\(result)")
                if command === coordinator {
                    #expect(result.errorLines.count == 1, "\(result)")
                    for mention in ["warning", user.registry, what, records.directory.keys] {
                        #expect(result.errors.contains(mention), "\(result)")
                    }
                }
            }
            let expected = try SerialTrainer(configuration).weights(afterSteps: 20)
            #expect(try records.summary().weights_sha256 == expected)
            #expect(FileSystem.names(in: "\(own)/elsewhere").isEmpty)
        }

        /// A user without any rights starts everything by hand, and names the coordinator's host
        /// differently.
        @Test func anyUserByHand() throws {
            let user = try OtherUser()
            let configuration = try RunConfiguration.sample(data, steps: 20)
                .with(workers: 1, servers: 1)
            let file = try directory.write(configuration.yaml, "run.yaml")
            let records = RunRecords("\(user.directory.path)/run")
            let port = try TCP.freePort()
            let worker = try Command(
                ["worker", "--coordinator", "tcp://localhost:\(port)"], as: user)
            let coordinator = try Command(
                [
                    "coordinator", "--config", file, "--run-dir", records.directory.path,
                    "--listen", "tcp://127.0.0.1:\(port)",
                ], as: user)
            try eventually("endpoint") { records.endpoint != nil }
            for target in [[records.directory.path], ["--coordinator", "tcp://127.0.0.1:\(port)"]] {
                let status = try Command.run(["status"] + target, as: user)
                #expect(status.exitCode == 75, "\(status)")
            }
            let server = try Command(
                ["server", "--coordinator", "tcp://127.0.0.1:\(port)"], as: user)
            for command in [worker, server, coordinator] {
                let result = command.finish()
                #expect(result.exitCode == 0, "\(result)")
            }
            let expected = try SerialTrainer(configuration).weights(afterSteps: 20)
            #expect(try records.summary().weights_sha256 == expected)
            #expect(FileSystem.names(in: user.registry) == [".lock"])
        }
    }
}
