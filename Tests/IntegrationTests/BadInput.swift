import ClusterRuntime
import RunFiles
import TestSupport
import Testing

/// One wrong use of the executable, and what it must say.
struct BadInput: Sendable {
    var name: String
    var exitCode: Int
    /// Parts of the line on standard error.
    var mentions: [String]
    /// False for ArgumentParser's own messages, which come with a usage text.
    var isOneLine = true
    var shell: @Sendable (BadInputFiles) -> String? = { _ in nil }
    var arguments: @Sendable (BadInputFiles) throws -> [String]

    /// Runs `convoy train` with flags.
    static func train(
        _ name: String, _ exitCode: Int, _ mentions: [String], _ flags: [String]
    ) -> BadInput {
        BadInput(name: name, exitCode: exitCode, mentions: mentions) { files in
            files.train + ["--config", try files.config()] + flags
        }
    }

    /// Runs `convoy train` with a run file.
    static func file(_ name: String, _ mentions: [String], _ text: String) -> BadInput {
        BadInput(name: name, exitCode: 65, mentions: mentions) { files in
            files.train + ["--config", try files.directory.write(text, "bad.yaml")]
        }
    }

    /// Runs `convoy train` with a given model on the sample data.
    static func model(_ name: String, _ mentions: [String], _ text: String) -> BadInput {
        BadInput(name: name, exitCode: 65, mentions: mentions) { files in
            files.train + ["--config", try files.config()]
                + ["--model", try files.directory.write(text, "bad-model.yaml")]
        }
    }

    /// Runs `convoy train` with a damaged file in the data set.
    static func data(
        _ name: String, _ mentions: [String], _ file: Int,
        _ damage: @escaping @Sendable ([UInt8]) -> [UInt8]
    ) -> BadInput {
        BadInput(name: name, exitCode: 65, mentions: mentions) { files in
            let data = try SampleData().write(to: files.directory, folder: "bad-data") {
                $0 == SampleData.files[file] ? damage($1) : $1
            }
            return files.train + ["--config", try files.config(), "--data", data]
        }
    }

    static func cifar(
        _ name: String, _ mentions: [String], _ damage: @escaping @Sendable ([UInt8]) -> [UInt8]
    ) -> BadInput {
        BadInput(name: name, exitCode: 65, mentions: mentions) { files in
            let data = try SampleData.writeCIFAR(to: files.directory, recordCount: 12) {
                $0 == "data_batch_3.bin" ? damage($1) : $1
            }
            return files.train + ["--data", data]
        }
    }
}

/// The good files that bad inputs are made from.
struct BadInputFiles: Sendable {
    let directory: TemporaryDirectory
    let data: String
    /// The directory of a run that has finished.
    let finishedRun: String

    init() throws {
        directory = try TemporaryDirectory()
        data = try SampleData().write(to: directory)
        let run = try TrainRun(.sample(data, steps: 3), in: directory, "finished")
        _ = try run.weights()
        finishedRun = run.records.directory.path
    }

    var run: String { "\(directory.path)/run" }
    var train: [String] { ["train", "--run-dir", run] }
    var checkpoint: String { "\(finishedRun)/checkpoints/step-00000003" }

    func config(model: String = SampleData.model) throws -> String {
        try directory.write(
            RunConfiguration.sample(data, model: model, steps: 3).yaml, "good.yaml")
    }

    /// Returns the path of a copy of the finished run with one file changed.
    func damagedRun(
        _ name: String, _ file: String, _ change: ([UInt8]) -> [UInt8]
    ) throws -> String {
        let copy = "\(name)-copy"
        let checkpoint = "checkpoints/step-00000003"
        let names =
            ["format.json", "config.yaml", "metrics.jsonl", "ledger.jsonl"]
            + FileSystem.names(in: "\(finishedRun)/\(checkpoint)").map { "\(checkpoint)/\($0)" }
        for name in names {
            let bytes = try FileSystem.read("\(finishedRun)/\(name)")
            try directory.write(name == file ? change(bytes) : bytes, "\(copy)/\(name)")
        }
        return "\(directory.path)/\(copy)"
    }
}
