import ClusterRuntime
import FoundationEssentials
import Partitions
import Pictures
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Runs on a folder of pictures: the import, workers without the folder, and predictions.
    @Suite struct PictureRunTests {
        private let directory: TemporaryDirectory
        private var environment: [String: String] { ["XDG_CACHE_HOME": "\(directory.path)/cache"] }
        private var folder: String { "\(directory.path)/pictures" }

        init() throws { directory = try TemporaryDirectory() }

        /// Writes colour pictures of three classes, which differ in how bright they are.
        private func write(count: Int = 40) throws {
            for (label, name) in ["dark", "grey", "light"].enumerated() {
                try FileManager.default.createDirectory(
                    atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
                for index in 0..<count {
                    let (height, width) = (20 + index % 5, 24 - index % 3)
                    let pixels = (0..<height * width * 3).map { place in
                        UInt8(label * 80 + (place * 7 + index * 13) % 60)
                    }
                    let bytes = PNGEncoder.encode(
                        width: width, height: height, channels: 3, pixels: pixels)
                    try directory.write(bytes, "pictures/\(name)/\(index).png")
                }
            }
        }

        private func configuration(steps: Int) throws -> RunConfiguration {
            let text = """
                data:
                  source: "images:\(folder)"
                  partitions: 5
                  image: {size: 12, channels: 1, filter: bicubic, fit: crop}
                  split: {test: 0.25, by: hash}
                  transformations: [{random-crop: {padding: 2}}, alternating-flip]
                training: {steps: \(steps), epochs: 100, batch-size: 16}
                """
            var configuration = try RunConfiguration.parse(text, fileName: "pictures.yaml")
            configuration.model = try RunConfiguration.sample(folder, steps: 1).model
            return configuration
        }

        /// The weights of the same records from a partitioned directory, without a cluster.
        private func expected(_ configuration: RunConfiguration, steps: Int) throws -> String {
            let own = DataImport(cache: DataCache(directory: "\(directory.path)/own"), threadCount: 1)
            var plain = configuration
            plain.data.source = "partitions:" + (try own.directory(
                configuration.data.specification(), partitionCount: configuration.data.partitions))
            plain.data.options = SourceOptions()
            return try SerialTrainer(plain).weights(afterSteps: steps)
        }

        /// The cluster imports the folder once, and workers that lack it or its import have the
        /// partitions streamed. The bits are those of the partitions.
        @Test func someHostsHaveTheFolder() throws {
            try write()
            let configuration = try configuration(steps: 25).with(workers: 3, servers: 1)
            let run = try StreamedRun(configuration, in: directory, "run", environment: environment)
            // On the coordinator's host.
            try run.startWorker([], environment: environment)
            // A host with the folder that has imported nothing.
            let other = ["XDG_CACHE_HOME": "\(directory.path)/other"]
            try run.startWorker([], environment: other)
            // A host without the folder.
            try run.startWorker(
                [], shell: "mount -t tmpfs none \(folder) &&",
                environment: ["XDG_CACHE_HOME": "\(directory.path)/third"])
            #expect(try run.weights() == expected(configuration, steps: 25))
            #expect(!run.log("worker", 0).contains("streamed"))
            #expect(run.log("worker", 1).contains("decoded records"))
            #expect(run.log("worker", 2).contains("streamed"))
            #expect(!FileSystem.exists("\(directory.path)/other/convoy/data"))
        }

        /// A run is resumed on the same pictures alone.
        @Test func aChangedFolderIsNoticed() throws {
            try write(count: 12)
            let configuration = try configuration(steps: 8).with(workers: 2, servers: 0)
            let run = try TrainRun(
                configuration, in: directory, "run", environment: environment)
            let first = try run.weights()
            #expect(try first == expected(configuration, steps: 8))
            let path = run.records.directory.path
            let longer = try Command(
                ["train", "--resume", path, "--steps", "12"], environment: environment
            ).finish()
            #expect(longer.exitCode == 0, "\(longer)")
            #expect(
                try run.records.summary().weights_sha256 == expected(configuration, steps: 12))
            try directory.write(
                PNGEncoder.encode(
                    width: 20, height: 20, channels: 1, pixels: [UInt8](repeating: 9, count: 400)),
                "pictures/dark/3.png")
            let changed = try Command(
                ["train", "--resume", path, "--steps", "16"], environment: environment
            ).finish()
            #expect(changed.exitCode == 65, "\(changed)")
            #expect(changed.errors.contains("data"), "\(changed)")
        }

        @Test func filesArePredicted() throws {
            try write()
            let configuration = try configuration(steps: 60).with(workers: 2, servers: 0)
            let run = try TrainRun(
                configuration, in: directory, "run", environment: environment)
            _ = try run.weights()
            let path = run.records.directory.path
            let csv = try Command.succeed([
                "predict", "--checkpoint", path, folder, "--format", "csv", "--top", "2",
            ]).output.split(separator: "\n")
            #expect(csv[0] == "file,class,probability,class_2,probability_2")
            #expect(csv.count == 121)
            let right = csv.dropFirst().count { line in
                let fields = line.split(separator: ",")
                return fields[0].contains("/\(fields[1])/")
            }
            #expect(right > 90, "the classes are easy")

            try directory.write(Array("GIF89a....".utf8), "odd.png")
            let mixed = try Command(
                ["predict", "--checkpoint", path, "\(directory.path)/odd.png", "\(folder)/dark/1.png"]
                    + ["--format", "json"]
            ).finish()
            #expect(mixed.exitCode == 65 && mixed.errorLines.count == 1, "\(mixed)")
            #expect(mixed.errors.contains("odd.png") && mixed.errors.contains("GIF"), "\(mixed)")
            #expect(mixed.output.contains("\"logits\":["), "\(mixed)")

            let table = try Command.succeed(["predict", "--checkpoint", path, "\(folder)/light/0.png"])
            #expect(table.output.contains("light") && table.output.contains(" %"), "\(table)")
            for flags in [[], ["x.png", "--data", "fashion-mnist"], ["--record", "1", "x.png"]] {
                let bad = try Command.run(["predict", "--checkpoint", path] + flags)
                #expect(bad.exitCode == 64, "\(bad)")
            }
            let missing = try Command.run(["predict", "--checkpoint", path, "/no such file.jpg"])
            #expect(missing.exitCode == 65 && missing.errorLines.count == 1, "\(missing)")
        }

        /// A model keeps what it was trained on, also in a file of its own.
        @Test func theModelKeepsItsInput() throws {
            try write(count: 10)
            var plain = try configuration(steps: 3)
            let own = DataImport(cache: DataCache(directory: "\(directory.path)/own"))
            plain.data.source = "partitions:" + (try own.directory(
                plain.data.specification(), partitionCount: 5))
            plain.data.options = SourceOptions()
            let trainer = try Trainer(plain)
            let model = try trainer.model()
            #expect(model.input.classNames == ["dark", "grey", "light"])
            #expect(model.input.image?.picture.size == PictureOptions.Size(height: 12, width: 12))
            let file = "\(directory.path)/model.safetensors"
            try model.save(to: file)
            #expect(try Model(contentsOf: file).input == model.input)
        }
    }
}
