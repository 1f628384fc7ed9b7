import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// How the launcher places processes, and how it ends when replacing them is in vain.
    @Suite struct LauncherTests {
        /// Each worker has its own part of the cores, and a replacement has its predecessor's. A
        /// second run at the same time leaves the cores to the system.
        @Test(.enabled(if: CoreSet.allowed.cores.count >= 2))
        func workersAreBoundToCores() throws {
            let directory = try TemporaryDirectory()
            let data = try SampleData(trainingCount: 2003, testCount: 203).write(to: directory)
            let configuration = try RunConfiguration.sample(data, steps: 1_000_000)
                .with(workers: 2, servers: 1)
            let parts = CoreSet.allowed.parts(2).map(\.description)
            let run = try TrainRun(configuration, in: directory, "bound")
            let first = try awaitTraining(run)
            #expect(run.records.log("worker-1").contains { $0["host.cores"] == parts[0] })
            #expect(run.records.log("worker-2").contains { $0["host.cores"] == parts[1] })
            for (name, cores) in zip(["worker 1", "worker 2"], parts) {
                #expect(Self.cores(of: try #require(first[name])) == [cores], "\(name)")
            }
            #expect(Self.cores(of: try #require(first["server 1"])) == ["\(CoreSet.allowed)"])

            let other = try TrainRun(configuration, in: directory, "other")
            for (name, process) in try awaitTraining(other) {
                #expect(Self.cores(of: process) == ["\(CoreSet.allowed)"], "\(name)")
            }

            kill(try #require(first["worker 2"]), SIGKILL)
            let third: Int32 = try eventually("worker 3") { run.records.joined()["worker 3"] }
            #expect(Self.cores(of: third) == [parts[1]])
            let free = try TrainRun(
                configuration, in: directory, "free", flags: ["--no-bind-cores"])
            for (name, process) in try awaitTraining(free) {
                #expect(Self.cores(of: process) == ["\(CoreSet.allowed)"], "\(name)")
            }
            for run in [run, other, free] {
                run.command.child.send(signal: SIGINT)
                #expect(run.command.finish(within: .seconds(30)).exitCode == 130)
            }
        }

        private func awaitTraining(_ run: TrainRun) throws -> [String: Int32] {
            try eventually("training") {
                run.records.log("coordinator-1").contains { $0["message"] == "training" }
            }
            return run.records.joined()
        }

        /// The cores on which the threads of a process may run.
        private static func cores(of process: Int32) -> Set<String> {
            Set(
                FileSystem.names(in: "/proc/\(process)/task").compactMap { task in
                    let path = "/proc/\(process)/task/\(task)/status"
                    guard let bytes = try? FileSystem.read(path) else { return nil }
                    let prefix = "Cpus_allowed_list:\t"
                    return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
                        .first { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
                })
        }

        /// The coordinator is killed once it trains, and at each later start.
        @Test func aCoordinatorThatAlwaysDiesEndsTheRun() throws {
            let directory = try TemporaryDirectory()
            let data = try SampleData().write(to: directory)
            let configuration = try RunConfiguration.sample(data, steps: 1_000_000)
                .with(workers: 1, servers: 0)
            let run = "\(directory.path)/run"
            let script = try directory.write(
                """
                #!/bin/sh
                if [ "$1" = coordinator ]; then
                    case " $* " in *" --resume "*) kill -9 $$ ;; esac
                    ( until [ -s '\(run)/metrics.jsonl' ]; do sleep 0.05; done; kill -9 $$ ) \
                        </dev/null &
                fi
                exec '\(ConvoyExecutable.path)' "$@"

                """, "convoy.sh")
            chmod(script, 0o755)
            var notes: [String] = []
            let launcher = LocalLauncher(
                LocalLauncher.Settings(
                    executable: script, configuration: configuration,
                    directory: RunDirectory(run), isResuming: false),
                interruptions: try Interruptions(), note: { notes.append($0) })
            #expect(try launcher.run() == ExitCode.lost)
            #expect(notes.count { $0.contains("another takes its place") } >= 60)
            #expect(notes.last?.contains("go on with --resume") == true, "\(notes.suffix(3))")
            RunRecords(run).expectNothingRunning()
        }
    }
}
