import Checksums
import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Workers on hosts without the data get it streamed, and the bits stay.
    @Suite struct StreamingTests {
        private let directory: TemporaryDirectory
        private var cache: String { "\(directory.path)/cache" }

        init() throws { directory = try TemporaryDirectory() }

        private func cachedFiles() -> [String] {
            FileSystem.names(in: cache).filter { $0.hasSuffix(".safetensors") }
        }

        private func count(_ text: String, in log: String) -> Int {
            log.components(separatedBy: text).count - 1
        }

        /// One worker's data is hidden, another's lies outside the root that it may open, and a
        /// third has the data.
        @Test func hiddenData() throws {
            let data = try SampleData().write(to: directory)
            let configuration = try RunConfiguration.sample(data, steps: 25)
                .with(workers: 3, servers: 1)
            let run = try StreamedRun(configuration, in: directory, "run")
            let hide = "mount -t tmpfs none \(directory.path)/data &&"
            try run.startWorker(["--cache", cache], shell: hide)
            try run.startWorker(["--cache", cache, "--data-root", "\(directory.path)/run"])
            try run.startWorker(["--cache", "\(directory.path)/unused"])
            let expected = try SerialTrainer(configuration).weights(afterSteps: 25)
            #expect(try run.weights() == expected)
            #expect(run.log("worker", 0).contains("missing IDX file"))
            #expect(run.log("worker", 1).contains("place of the data"))
            #expect(!run.log("worker", 2).contains("streamed"))
            #expect(!FileSystem.exists("\(directory.path)/unused"))
            let files = cachedFiles()
            #expect(!files.isEmpty)
            for file in files {
                let digest = SHA256.hash(data: try FileSystem.read("\(cache)/\(file)"))
                let name = digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
                #expect(file == "\(name).safetensors")
            }
        }

        /// `convoy train` passes the flags for workers on to them.
        @Test func flagsOfTrain() throws {
            let data = try SampleData().write(to: directory)
            let configuration = try RunConfiguration.sample(data, steps: 13)
                .with(workers: 2, servers: 1)
            let run = try TrainRun(
                configuration, in: directory, "run",
                flags: ["--stream-data", "--cache", cache, "--cache-bytes", "2000000"])
            #expect(try run.weights() == SerialTrainer(configuration).weights(afterSteps: 13))
            #expect(!cachedFiles().isEmpty)
            let few = try Command.run(["train", "--cache-bytes", "1"])
            #expect(few.exitCode == 64 && few.errors.contains("--cache-bytes"), "\(few)")
        }

        /// A worker that keeps no partition in memory reads its own directory, or what was streamed,
        /// and ends with the bits of one that keeps all.
        @Test func dataLargerThanMemory() throws {
            let data = try SampleData().write(to: directory)
            let partitioned = "\(directory.path)/partitioned"
            let made = try Command.run([
                "partition", "--data", data, "--partitions", "5", "--output", partitioned,
            ])
            try #require(made.exitCode == 0, "\(made)")
            let configuration = try RunConfiguration.sample("partitions:\(partitioned)", steps: 13)
                .with(workers: 2, servers: 1)
            let expected = try SerialTrainer(configuration).weights(afterSteps: 13)
            for (name, flags) in [("own", []), ("streamed", ["--stream-data", "--cache", cache])] {
                let run = try TrainRun(
                    configuration, in: directory, name, flags: flags + ["--data-memory", "0"])
                #expect(try run.weights() == expected, "\(name)")
            }
            let none = try Command.run(["train", "--data-memory", "-1"])
            #expect(none.exitCode == 64 && none.errors.contains("--data-memory"), "\(none)")
        }

        /// Another data set of equal path and shape is reported and not used.
        @Test func otherData() throws {
            let data = try SampleData().write(to: directory)
            _ = try SampleData().write(to: directory, folder: "other") { name, bytes in
                var bytes = bytes
                if name.hasPrefix("train-images") { bytes[1000] ^= 1 }
                return bytes
            }
            let configuration = try RunConfiguration.sample(data, steps: 13)
                .with(workers: 1, servers: 1)
            let run = try StreamedRun(configuration, in: directory, "run")
            let swap = "mount --bind \(directory.path)/other \(directory.path)/data &&"
            try run.startWorker(["--cache", cache], shell: swap)
            let expected = try SerialTrainer(configuration).weights(afterSteps: 13)
            #expect(try run.weights() == expected)
            let sentence = "fingerprint of the data set: expected the run's"
            #expect(run.log("worker", 0).contains(sentence))
        }

        /// Only the missing and damaged files of a partitioned directory are fetched.
        @Test func partOfADirectory() throws {
            let source = try SampleData().write(to: directory)
            let output = "\(directory.path)/partitioned"
            let copy = "\(directory.path)/copy"
            for place in [output, copy] {
                _ = try Command.succeed(
                    ["partition", "--data", source, "--partitions", "6", "--output", place])
            }
            let (missing, damaged) = ("training-00001.safetensors", "training-00004.safetensors")
            unlink("\(copy)/\(missing)")
            var bytes = try FileSystem.read("\(copy)/\(damaged)")
            bytes[bytes.count - 1] ^= 1
            try directory.write(bytes, "copy/\(damaged)")
            let configuration = try RunConfiguration.sample("partitions:\(output)", steps: 13)
                .with(workers: 1, servers: 1)
            let run = try StreamedRun(configuration, in: directory, "run")
            try run.startWorker(["--cache", cache], shell: "mount --bind \(copy) \(output) &&")
            let expected = try SerialTrainer(configuration).weights(afterSteps: 13)
            #expect(try run.weights() == expected)
            #expect(cachedFiles().count == 2)
            let log = run.log("worker", 0)
            #expect(count("fetched a partition\"", in: log) == 2, "\(log)")
            #expect(log.contains(damaged))
        }

        @Test func damagedCache() throws {
            let data = try SampleData().write(to: directory)
            let configuration = try RunConfiguration.sample(data, steps: 13)
                .with(workers: 1, servers: 1)
            let expected = try SerialTrainer(configuration).weights(afterSteps: 13)
            let flags = ["--stream-data", "--cache", cache]
            let first = try StreamedRun(configuration, in: directory, "first")
            try first.startWorker(flags)
            #expect(try first.weights() == expected)
            let files = cachedFiles()
            #expect(files.count == 7, "5 training and 2 test partitions")
            #expect(count("fetched a partition\"", in: first.log("worker", 0)) == 7)

            let victims = [files[0], files[4]]
            for (index, victim) in victims.enumerated() {
                var bytes = try FileSystem.read("\(cache)/\(victim)")
                if index == 0 { bytes[bytes.count / 2] ^= 8 } else { bytes.removeLast(3) }
                try directory.write(bytes, "cache/\(victim)")
            }
            let second = try StreamedRun(configuration, in: directory, "second")
            try second.startWorker(flags)
            #expect(try second.weights() == expected)
            let log = second.log("worker", 0)
            for victim in victims { #expect(log.contains(victim), "\(log)") }
            #expect(count("a cached partition is damaged", in: log) == 2)
            #expect(count("fetched a partition\"", in: log) == 2)
        }

        /// A cache fills its disk: what does not fit is kept in memory.
        @Test func fullDisk() throws {
            let data = try SampleData().write(to: directory)
            let configuration = try RunConfiguration.sample(data, steps: 25)
                .with(workers: 2, servers: 1)
            let run = try StreamedRun(configuration, in: directory, "run")
            try FileSystem.makeDirectories(cache)
            for _ in 0..<2 {
                try run.startWorker(
                    ["--stream-data", "--cache", cache],
                    shell: "mount -t tmpfs -o size=20k none \(cache) &&")
            }
            let expected = try SerialTrainer(configuration).weights(afterSteps: 25)
            #expect(try run.weights() == expected)
            for index in 0..<2 {
                let log = run.log("worker", index)
                #expect(count("the cache cannot be written", in: log) == 1, "\(log)")
                #expect(log.contains("No space left"), "\(log)")
            }
        }

        /// A file that is damaged on the coordinator's own disk is named, with its checksum.
        @Test func damagedSource() throws {
            let source = try SampleData().write(to: directory)
            let output = "\(directory.path)/partitioned"
            _ = try Command.succeed(
                ["partition", "--data", source, "--partitions", "3", "--output", output])
            let configuration = try RunConfiguration.sample("partitions:\(output)", steps: 13)
                .with(workers: 1, servers: 1)
            let run = try StreamedRun(configuration, in: directory, "run")
            let file = "training-00002.safetensors"
            var bytes = try FileSystem.read("\(output)/\(file)")
            bytes[bytes.count - 1] ^= 1
            try directory.write(bytes, "partitioned/\(file)")
            try run.startWorker(["--stream-data", "--cache", cache])
            let result = run.workers[0].finish()
            #expect(result.exitCode == 65 && result.errorLines.count == 1, "\(result)")
            let digest = SHA256.hash(data: bytes)
            let found = digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            for text in [result.errors, run.log("coordinator", 1)] {
                #expect(text.contains(file) && text.contains(found), "\(text)")
            }
        }

        /// The coordinator is killed during streaming, and its successor has another data port.
        @Test func coordinatorIsKilled() throws {
            let data = try SampleData(trainingCount: 400_003, testCount: 61).write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: 9)
                .with(workers: 1, servers: 1)
            configuration.data.partitions = 24
            let run = try StreamedRun(configuration, in: directory, "run")
            try run.startWorker(["--stream-data", "--cache", cache])
            let deadline = 20_000
            var rounds = 0
            while cachedFiles().isEmpty, rounds < deadline {
                usleep(500)
                rounds += 1
            }
            run.coordinator.child.send(signal: SIGKILL)
            _ = run.coordinator.finish()
            let before = cachedFiles().count
            #expect((1..<24).contains(before), "\(before) of 24 partitions had come")
            let lines = String(
                decoding: try FileSystem.read(run.records.directory.endpoint), as: UTF8.self
            ).split(separator: "\n")
            try #require(lines.count == 5)
            try directory.write(lines.dropLast().joined(separator: "\n") + "\n", "run/endpoint")
            try run.replaceCoordinator()
            let expected = try SerialTrainer(configuration).weights(afterSteps: 9)
            #expect(try run.weights() == expected)
            #expect(cachedFiles().count >= 24)
            #expect(run.log("coordinator", 2).contains("partitions are streamed"))
        }
    }
}
