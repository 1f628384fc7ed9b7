import Backends
import ClusterHosts
import ClusterRuntime
import Glibc
import NeuralNetwork
import RunFiles
import Testing

extension Integration {
    /// Bad input gives one clear line and the exit code, and leaves no process running.
    @Suite struct BadInputTests {
        private let files: BadInputFiles

        init() throws { files = try BadInputFiles() }

        private func check(_ inputs: [BadInput], within limit: Duration = .seconds(20)) throws {
            for input in inputs {
                let result = try Command.run(
                    try input.arguments(files), shell: input.shell(files), within: limit)
                let what = "\(input.name): \(result)"
                #expect(result.exitCode == input.exitCode, "\(what)")
                if input.isOneLine {
                    #expect(result.errorLines.count == 1, "\(what)")
                    #expect(result.errors.hasPrefix("convoy: error: "), "\(what)")
                }
                for mention in input.mentions {
                    #expect(result.errors.contains(mention), "\(what)")
                }
                RunRecords(files.directory.path).expectNothingRunning()
                #expect(FileSystem.names(in: files.run).isEmpty, "\(what)")
            }
        }

        @Test func flags() throws { try check(BadInput.flags) }
        @Test func runFiles() throws { try check(BadInput.runFiles) }
        @Test func models() throws { try check(BadInput.models) }
        @Test func initialWeights() throws { try check(BadInput.initialWeights) }
        @Test func data() throws { try check(BadInput.data) }
        @Test func state() throws { try check(BadInput.state) }

        /// The start is refused at once, instead of by workers that leave one after another.
        @Test(arguments: [nil, "avx2"])
        func precisionWithoutItsInstructions(_ instructionSet: String?) throws {
            guard Backends.available.contains(.oneDNN),
                instructionSet != nil || !Backends.hasBF16Instructions
            else { return }
            try check([
                BadInput(
                    name: "bf16 without the instructions", exitCode: 65,
                    mentions: ["training.precision", "avx512_core_bf16", "--backend native", "or fp32"]
                ) {
                    let file = try $0.directory.write(
                        "training: {precision: bf16, backend: onednn, instruction-set: "
                            + "\(instructionSet ?? "auto")}\n", "bf16.yaml")
                    return ["train", "--config", file, "--run-dir", $0.run]
                }
            ])
        }

        @Test(arguments: ["worker", "server"]) func noCoordinator(_ role: String) throws {
            let endpoint = "tcp://127.0.0.1:\(try TCP.freePort())"
            let result = try Command.run(
                [role, "--coordinator", endpoint, "--connect-timeout", "1", "--log-file"]
                    + ["\(files.directory.path)/log"], within: .seconds(10))
            #expect(result.exitCode == 69, "\(result)")
            #expect(result.errorLines.count == 1, "\(result)")
            #expect(result.errors.hasPrefix("convoy: error: "), "\(result)")
            #expect(result.errors.contains("1"), "\(result)")
            #expect(result.seconds >= 1, "\(result)")
        }

        /// The port is taken; the command works with another port.
        @Test func portInUse() throws {
            let (descriptor, port) = try TCP.listen()
            defer { close(descriptor) }
            let endpoint = "tcp://127.0.0.1:\(port)"
            try check([
                BadInput(
                    name: "port in use", exitCode: 64, mentions: ["--listen", endpoint, "in use"]
                ) {
                    [
                        "coordinator", "--config", try $0.config(), "--run-dir", $0.run,
                        "--listen", endpoint, "--log-file", "\($0.directory.path)/log",
                    ]
                }
            ])
        }

        @Test func directoryThatCannotBeMade() throws {
            try check([
                BadInput(name: "below /proc", exitCode: 65, mentions: ["/proc/convoy-run"]) {
                    ["train", "--config", try $0.config(), "--run-dir", "/proc/convoy-run"]
                }
            ])
        }

        @Test(.enabled(if: MountNamespace.isAvailable, "needs the right to mount"))
        func disks() throws {
            let mountPoint = "\(files.directory.path)/disk"
            mkdir(mountPoint, 0o755)
            func onDisk(_ name: String, _ options: String, _ mentions: [String]) -> BadInput {
                BadInput(
                    name: name, exitCode: 65, mentions: mentions,
                    shell: { _ in "mount -t tmpfs -o \(options) none '\(mountPoint)' &&" },
                    arguments: {
                        ["train", "--config", try $0.config(), "--run-dir", "\(mountPoint)/run"]
                    })
            }
            try check([
                onDisk("read-only disk", "ro", ["Read-only", mountPoint]),
                onDisk("full disk", "size=16k", ["No space", mountPoint]),
                onDisk("disk full after the start", "size=80k", ["No space", mountPoint]),
            ])
        }

        @Test(.enabled(if: MountNamespace.isAvailable && FashionMNIST.isInstalled))
        func dataSetNotInstalled() throws {
            try check([
                BadInput(
                    name: "not installed", exitCode: 65,
                    mentions: ["apt-get install dataset-fashion-mnist"],
                    shell: { _ in "mount -t tmpfs none /usr/share/datasets &&" }
                ) { $0.train }
            ])
        }
    }
}

/// Whether a command can have its own mounts.
enum MountNamespace {
    static let isAvailable: Bool = {
        guard
            let child = try? ChildProcess(
                name: "unshare", executable: "/bin/sh",
                arguments: [
                    "-c", "unshare -m mount -t tmpfs none /mnt",
                ], output: "/dev/null")
        else { return false }
        return child.wait(within: .seconds(10)) == .exited(0)
    }()
}
