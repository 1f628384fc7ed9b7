import Backends
import ClusterHosts
import ClusterRuntime
import FoundationEssentials
import Glibc
import NeuralNetwork
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Paths as people write them, and directories that a failing start must leave as they were.
    @Suite struct PlacesTests {
        private let directory: TemporaryDirectory

        init() throws { directory = try TemporaryDirectory() }

        /// Runs the executable in a working directory.
        private func run(_ arguments: [String], in place: String) throws -> Int? {
            let child = try ChildProcess(
                name: "convoy", executable: "/bin/sh",
                arguments: ["-c", "cd \"$0\" && exec \"$@\"", place, ConvoyExecutable.path] + arguments,
                output: "\(directory.path)/output")
            guard case .exited(let code)? = child.wait(within: Command.usualLimit) else { return nil }
            return code
        }

        private var output: String {
            String(
                decoding: (try? FileSystem.read("\(directory.path)/output")) ?? [], as: UTF8.self)
        }

        /// The path of the data is relative, goes through a link or has spaces: the run goes on
        /// from another working directory.
        @Test(arguments: ["idx:data", "idx:./data", "idx:link to data", "idx:../work/data"])
        func aRunGoesOnFromAnotherDirectory(_ data: String) throws {
            let work = "\(directory.path)/work"
            _ = try SampleData().write(to: directory, folder: "work/data")
            symlink("data", "\(work)/link to data")
            mkdir("\(directory.path)/elsewhere", 0o755)
            try directory.write(SampleData.model, "work/model.yaml")
            let flags = ["train", "--workers", "1", "--servers", "0"]
            let first = try run(
                flags + ["--data", data, "--model", "model.yaml", "--steps", "3"]
                    + ["--run-dir", "runs/a b"], in: work)
            #expect(first == 0, "\(output)")
            let second = try run(
                flags + ["--resume", "../work/runs/a b", "--steps", "6"],
                in: "\(directory.path)/elsewhere")
            #expect(second == 0, "\(output)")
            #expect(try RunRecords("\(work)/runs/a b").summary().steps == 6)
            let verified = try run(
                ["verify", "../work/runs/a b"], in: "\(directory.path)/elsewhere")
            #expect(verified == 0, "\(output)")
        }

        /// Relative paths in a run file hold too.
        @Test func aRunFileWithRelativePaths() throws {
            let work = "\(directory.path)/work"
            _ = try SampleData().write(to: directory, folder: "work/data")
            var configuration = try RunConfiguration.sample("idx:data", steps: 3)
                .with(workers: 1, servers: 0)
            try directory.write(configuration.yaml, "work/run.yaml")
            #expect(
                try run(["train", "--config", "run.yaml", "--run-dir", "first"], in: work) == 0,
                "\(output)")
            configuration.initial.file =
                "first/checkpoints/step-00000003/model.safetensors"
            try directory.write(configuration.yaml, "work/run.yaml")
            #expect(
                try run(["train", "--config", "run.yaml", "--run-dir", "second"], in: work) == 0,
                "\(output)")
            let resumed = try run(["train", "--resume", "work/second", "--steps", "6"], in: directory.path)
            #expect(resumed == 0, "\(output)")
        }

        /// A script called through a link finds its neighbours.
        @Test func aScriptThroughALink() throws {
            let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
            for name in ["stop.sh", "monitor.sh"] {
                symlink("\(root)/Scripts/\(name)", "\(directory.path)/\(name)")
                let child = try ChildProcess(
                    name: name, executable: "/usr/bin/env",
                    arguments: [
                        "CONVOY=\(ConvoyExecutable.path)", "bash", "\(directory.path)/\(name)",
                        "--no-such-flag", "x",
                    ], output: "\(directory.path)/output")
                guard case .exited? = child.wait(within: .seconds(60)) else {
                    Issue.record("\(name) did not end")
                    continue
                }
                #expect(!output.contains("No such file"), "\(name): \(output)")
            }
        }

        /// A directory that was there before stays, empty and with its mode.
        @Test(arguments: ["train", "coordinator"]) func aStartThatFails(_ command: String) throws {
            let place = "\(directory.path)/mine"
            mkdir(place, 0o700)
            let listen = command == "coordinator" ? ["--listen", "tcp://127.0.0.1:*"] : []
            let result = try Command.run(
                [command, "--run-dir", place, "--data", "idx:\(directory.path)/nothing"] + listen)
            #expect(result.exitCode == 65, "\(result)")
            #expect(FileSystem.exists(place), "\(result)")
            #expect(FileSystem.names(in: place).isEmpty)
            var status = stat()
            #expect(stat(place, &status) == 0 && status.st_mode & 0o777 == 0o700)
        }

        /// Keys that cannot be replaced stay as they are.
        @Test func keysThatCannotBeReplaced() throws {
            let keys = "\(directory.path)/keys"
            _ = try Command.succeed(["keygen", "--output", keys, "--nodes", "b,c"])
            let before = FileSystem.names(in: "\(keys)/b/allowed")
            #expect(before.count == 2)
            // The first node's directory cannot be made, so the others must stay untouched.
            try directory.write("a file", "keys/a")
            let result = try Command.run(
                ["keygen", "--output", keys, "--nodes", "a,b,c", "--overwrite"])
            #expect(result.exitCode == 65, "\(result)")
            #expect(FileSystem.names(in: "\(keys)/b/allowed") == before)
        }

        /// Files may not be larger than 1 MiB: the run does without what does not fit, or ends with
        /// one line. No process dies of a signal again and again.
        @Test func aLimitOfFileSizes() throws {
            let data = try SampleData().write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: 9).with(workers: 2, servers: 1)
            let file = try directory.write(configuration.yaml, "run.yaml")
            let small = try run(
                ["train", "--config", file, "--run-dir", "\(directory.path)/small"], in: "/",
                limit: "-f 1024")
            #expect(small == 0, "\(output)")
            let model = "input: [1, 12, 12]\nlayers: [flatten: {}, dense: {units: 512}, dense: {units: 4}]\n"
            configuration = try RunConfiguration.sample(data, model: model, steps: 9)
            let large = try directory.write(configuration.yaml, "large.yaml")
            let code = try run(
                ["train", "--config", large, "--run-dir", "\(directory.path)/large"], in: "/",
                limit: "-f 64")
            #expect(code == 65, "\(output)")
            #expect(output.contains("ulimit -f"), "\(output)")
        }

        /// A model larger than the memory is refused before it is allocated.
        @Test func aModelThatDoesNotFit() throws {
            let data = try SampleData().write(to: directory)
            let model =
                "input: [1, 12, 12]\nlayers: [flatten: {}, dense: {units: 1048576}, dense: {units: 4}]\n"
            let configuration = try RunConfiguration.sample(data, model: model, steps: 9)
            let file = try directory.write(configuration.yaml, "large.yaml")
            let code = try run(
                ["train", "--config", file, "--run-dir", "\(directory.path)/run"], in: "/",
                limit: "-v 3000000")
            #expect(code == 65, "\(output)")
            #expect(output.split(separator: "\n").count == 1, "\(output)")
            #expect(output.contains("MiB of memory"), "\(output)")
            #expect(!FileSystem.exists("\(directory.path)/run"))
        }

        /// A graph with few parameters and large values is refused by what its plan would take.
        @Test func aGraphThatDoesNotFit() throws {
            let data = try SampleData().write(to: directory)
            let model = """
                input: [1, 12, 12]
                layers:
                  - conv2d: {filters: 4096, kernel: 1}
                  - repeat:
                      times: 60
                      layers:
                        - residual:
                            layers:
                              - conv2d: {filters: 4096, kernel: 3, padding: 1, groups: 4096}
                              - batch-norm
                  - global-average-pool
                  - dense: {units: 4}

                """
            let configuration = try RunConfiguration.sample(data, model: model, steps: 9)
            let file = try directory.write(configuration.yaml, "graph.yaml")
            let code = try run(
                ["train", "--config", file, "--run-dir", "\(directory.path)/run"], in: "/",
                limit: "-v 3000000")
            #expect(code == 65, "\(output)")
            #expect(output.contains("MiB of memory"), "\(output)")
        }

        /// The run's only worker cannot do what is asked for: the run ends instead of waiting for
        /// another worker.
        @Test func nobodyIsLeftWhoCould() throws {
            guard Backends.available.contains(.oneDNN), HostFacts.instructionSet != "generic" else {
                return
            }
            var configuration = try RunConfiguration.sample(
                SampleData().write(to: directory), steps: 9, backend: .oneDNN
            ).with(workers: 1, servers: 0)
            configuration.training.instructionSet = "generic"
            let result = try TrainRun(configuration, in: directory, "run").command.finish()
            #expect(result.exitCode == 65, "\(result)")
            #expect(result.output.contains("no worker is left"), "\(result)")
            #expect(result.seconds < 30, "\(result)")
        }

        private func run(_ arguments: [String], in place: String, limit: String) throws -> Int? {
            unlink("\(directory.path)/output")
            let child = try ChildProcess(
                name: "convoy", executable: "/bin/bash",
                arguments: ["-c", "ulimit \(limit) && cd \"$0\" && exec \"$@\"", place]
                    + [ConvoyExecutable.path] + arguments, output: "\(directory.path)/output")
            guard case .exited(let code)? = child.wait(within: .seconds(60)) else { return nil }
            return code
        }
    }
}
