import ClusterRuntime
import FoundationEssentials
import Partitions
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// `convoy data`, and the options of data that other commands take from a run file.
    @Suite struct DataCommandTests {
        private let directory: TemporaryDirectory

        init() throws { directory = try TemporaryDirectory() }

        /// Runs `convoy` with a cache of its own.
        private func run(_ arguments: [String]) throws -> Command.Result {
            try Command(
                arguments, environment: ["XDG_CACHE_HOME": "\(directory.path)/cache"]
            ).finish()
        }

        private func succeed(
            _ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation
        ) throws -> Command.Result {
            let result = try run(arguments)
            try #require(result.exitCode == 0, "\(result)", sourceLocation: sourceLocation)
            return result
        }

        /// Writes grey pictures of two classes: dark ones and bright ones.
        private func pictures(count: Int = 20) throws -> String {
            for (label, name) in ["bright", "dark"].enumerated() {
                for number in 0..<count {
                    let pixels = (0..<80).map {
                        UInt8(($0 * 7 + number * 13) % 100 + (label == 0 ? 150 : 0))
                    }
                    let one = try DataSet.inMemory(
                        name: "one", shape: [1, 8, 10], images: pixels, labels: [0])
                    try directory.write(
                        one.samples(.training, count: 1)[0].file, "photos/\(name)/\(number).png")
                }
            }
            return "images:\(directory.path)/photos"
        }

        private func runFile(_ data: String) throws -> String {
            try directory.write(
                """
                data:
                  source: "\(data)"
                  partitions: 3
                  image: {size: [6, 6], channels: 1}
                  split: 0.3
                  transformations:
                    - random-horizontal-flip
                    - normalize: {mean: [0.5], std: [0.25]}
                training: {virtual-workers: 2, batch-size: 8, seed: 7}

                """, "photos.yaml")
        }

        @Test func listHasTheNumbersOfOtherCommands() throws {
            let file = try runFile(pictures())
            let listed = try succeed(["data", "list", "--config", file])
            let rows = listed.output.split(separator: "\n").map {
                $0.split(separator: "\t").map(String.init)
            }
            #expect(rows.count == 40 && rows.allSatisfy { $0.count == 4 }, "\(listed)")
            let training = rows.filter { $0[0] == "training" }
            let test = rows.filter { $0[0] == "test" }
            #expect(test.count > 3 && training.count + test.count == 40)
            #expect(test.map { $0[1] } == test.indices.map { "\($0)" })
            for row in rows {
                #expect(row[3].hasPrefix(row[2] == "0" ? "bright/" : "dark/"), "\(row)")
            }

            // The stored numbers are those of take.
            let objects = try succeed(["data", "list", "--config", file, "--json"]).output
                .split(separator: "\n")
            #expect(objects.count == 40)
            let taken = try succeed(["data", "take", "--config", file, "-n", "5"])
            for line in taken.output.split(separator: "\n").dropFirst() {
                let cells = line.split(separator: " ").map(String.init)
                let (stored, name) = (cells[0], cells[cells.count - 1])
                let isSame = objects.contains {
                    $0.contains("\"split\":\"training\"") && $0.contains("\"stored\":\(stored),")
                        && $0.contains("\"name\":\"\(name)\"")
                }
                #expect(isSame, "\(line)\n\(objects.joined(separator: "\n"))")
            }
        }

        @Test func inspectShowsCountsAndDrawsASheet() throws {
            let file = try runFile(pictures())
            let sheet = "\(directory.path)/sheet.png"
            let found = try succeed(["data", "inspect", "--config", file, "--sheet", sheet])
            for text in ["bright", "dark", "- normalize: {mean: [", "row 1: 0 bright", "8 x 10"] {
                #expect(found.output.contains(text), "\(found)")
            }
            let first = try directory.read("sheet.png")
            #expect(first.prefix(4) == [0x89, 0x50, 0x4E, 0x47])
            // The line is one of a run file.
            let line = try #require(
                found.output.split(separator: "\n").first { $0.contains("- normalize") })
            let start = try #require(line.firstIndex(of: "-"))
            let other = try RunConfiguration.parse(
                "data: {transformations: [\(line[start...].dropFirst(2))]}", fileName: "line")
            #expect(other.data.transformations.map(\.name) == ["normalize"])

            let json = try succeed([
                "data", "inspect", "--config", file, "--json", "--sheet", sheet,
            ])
            let report = try JSONDecoder().decode(InspectedData.self, from: Data(json.output.utf8))
            #expect(report.training.records + report.test.records == 40)
            #expect(report.shape == [1, 6, 6])
            #expect(try directory.read("sheet.png") == first)
        }

        @Test func explainShowsTheStepsAndAPartition() throws {
            let file = try runFile(pictures())
            let text = try succeed(["data", "explain", "--config", file, "--partition", "2"]).output
            for part in [
                "(3) ", " |  transformation  random-horizontal-flip, of training records",
                " +- spread",
                "    |  split  test 0.3 hash", "40 files", "partition 2  ", "bright",
            ] {
                #expect(text.contains(part), "\(part)\n\(text)")
            }
            let json = try succeed(["data", "explain", "--config", file, "--json"]).output
            #expect(json.contains("\"step\" : \"split\""), "\(json)")
            let bad = try run(["data", "explain", "--config", file, "--partition", "3"])
            #expect(bad.exitCode == 65 && bad.errorLines.count == 1, "\(bad)")
        }

        @Test func takeWritesPictures() throws {
            let file = try runFile(pictures())
            let output = "\(directory.path)/taken"
            let taken = try succeed([
                "data", "take", "--config", file, "-n", "3", "--split", "test", "--output", output,
            ])
            #expect(taken.output.split(separator: "\n").count == 4, "\(taken)")
            #expect(
                FileSystem.names(in: output)
                    == (0..<3).map { "test-0000\($0).png" })
            let again = try run([
                "data", "take", "--config", file, "-n", "3", "--output", output,
            ])
            #expect(again.exitCode == 65 && again.errors.contains("empty"), "\(again)")
            let augmented = "\(directory.path)/augmented"
            for epoch in 1...2 {
                _ = try succeed([
                    "data", "take", "--config", file, "-n", "12", "--augmented", "\(epoch)",
                    "--output", "\(augmented)-\(epoch)",
                ])
            }
            let names = FileSystem.names(in: "\(augmented)-1")
            #expect(names.count == 12 && names == FileSystem.names(in: "\(augmented)-2"))
            let isSame = try names.allSatisfy {
                try FileSystem.read("\(augmented)-1/\($0)")
                    == FileSystem.read("\(augmented)-2/\($0)")
            }
            #expect(!isSame, "epochs flip different records")
            let usage = try run(["data", "take", "images:x", "--augmented", "1"])
            #expect(usage.exitCode == 64 && usage.errors.contains("--config"), "\(usage)")
        }

        @Test func otherCommandsTakeTheOptions() throws {
            let file = try runFile(pictures())
            let output = "\(directory.path)/parts"
            let written = try succeed(["partition", "--config", file, "--output", output])
            #expect(written.output.contains("in 3 partitions"), "\(written)")
            let manifest = try PartitionManifest.read(path: "\(output)/manifest.json")
            #expect(manifest.shape == [1, 6, 6] && manifest.classNames == ["bright", "dark"])
            let sized = "\(directory.path)/sized"
            _ = try succeed([
                "partition", "--data", "images:\(directory.path)/photos", "--image-size", "4x5",
                "--partitions", "2", "--output", sized,
            ])
            #expect(try PartitionManifest.read(path: "\(sized)/manifest.json").shape == [3, 4, 5])
            for arguments in [
                ["partition", "--partitions", "2", "--output", "\(directory.path)/x"],
                ["data", "list"], ["data", "list", "paper"],
                ["data", "list", "images:x", "--image-size", "0x4"],
            ] {
                let bad = try run(arguments)
                #expect(bad.exitCode == 64 && bad.errorLines.count == 1, "\(bad)")
            }
        }
    }
}

/// A part of what `convoy data inspect --json` writes.
private struct InspectedData: Decodable {
    struct Split: Decodable { var records: Int }
    var training: Split
    var test: Split
    var shape: [Int]
}
