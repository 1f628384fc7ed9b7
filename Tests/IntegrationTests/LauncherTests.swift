import ClusterProtocol
import ClusterRuntime
import Testing

#if canImport(Glibc)
    import Glibc
#endif

extension Integration {
    /// What the launcher does when replacing processes is in vain.
    @Suite struct LauncherTests {
        /// A coordinator that is killed once it trains, and again at each start from then on.
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
