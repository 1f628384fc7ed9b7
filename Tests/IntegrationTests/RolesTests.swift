import ClusterRuntime
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// A coordinator, a server and workers started by hand find each other in any order.
    @Suite struct RolesTests {
        @Test(arguments: [
            ["coordinator", "server", "worker", "worker"],
            ["worker", "server", "worker", "coordinator"],
            ["server", "worker", "coordinator", "worker"],
        ])
        func anyOrder(_ order: [String]) throws {
            let directory = try TemporaryDirectory()
            let data = try SampleData().write(to: directory)
            let configuration = try RunConfiguration.sample(data, steps: 20)
                .with(workers: 2, servers: 1)
            let file = try directory.write(configuration.yaml, "run.yaml")
            let records = RunRecords("\(directory.path)/run")
            let endpoint = "tcp://127.0.0.1:\(try TCP.freePort())"
            var commands: [Command] = []
            for (index, role) in order.enumerated() {
                var arguments = [role]
                if role == "coordinator" {
                    arguments += [
                        "--config", file, "--run-dir", records.directory.path, "--listen", endpoint,
                    ]
                } else {
                    arguments += ["--coordinator", endpoint]
                }
                if role == "worker" { arguments += ["--threads", "\(1 + index % 2)"] }
                commands.append(
                    try Command(
                        arguments + ["--log-file", "\(directory.path)/\(role)-\(index).jsonl"]))
            }
            for command in commands {
                let result = command.finish(within: .seconds(60))
                #expect(result.exitCode == 0, "\(result)")
            }
            let expected = try SerialTrainer(configuration).weights(afterSteps: 20)
            #expect(try records.summary().weights_sha256 == expected)
            let log = try FileSystem.read(
                "\(directory.path)/coordinator-"
                    + "\(order.firstIndex(of: "coordinator") ?? 0).jsonl")
            #expect(String(decoding: log, as: UTF8.self).contains(#""net.keys":"yes""#))
        }
    }
}
