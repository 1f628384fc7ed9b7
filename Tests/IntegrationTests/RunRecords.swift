import ClusterRuntime
import FoundationEssentials
import Glibc
import RunFiles
import TestSupport
import Testing

/// The files of a run directory.
struct RunRecords {
    struct Summary: Decodable {
        var steps: Int
        var records: Int
        var workers: Int
        var backend: String
        var isa: String
        var wire_precision: String
        var test_accuracy: Double?
        var test_loss: Double?
        var weights_sha256: String
        var reason: String
    }

    struct MetricsLine: Decodable {
        var kind: String
        var step: Int
        var records: Int?
    }

    let directory: RunDirectory

    init(_ path: String) { directory = RunDirectory(path) }

    func summary() throws -> Summary {
        try JSONDecoder().decode(
            Summary.self, from: Data(FileSystem.read(directory.summary)))
    }

    func metrics() throws -> [MetricsLine] { try lines(directory.metrics) }

    /// The steps of the ledger, counted from 0, in the order of the file.
    func ledgerSteps() throws -> [Int] {
        struct Line: Decodable { var step: Int }
        let entries: [Line] = try lines(directory.ledger)
        return entries.map(\.step)
    }

    /// The complete lines of one process's log.
    func log(_ name: String) -> [[String: String]] {
        (try? lines("\(directory.logs)/\(name).jsonl") as [LogLine])?.map(\.fields) ?? []
    }

    /// The processes that joined, by name (`worker 1`), as the coordinator logged them.
    func joined() -> [String: Int32] {
        var result: [String: Int32] = [:]
        for line in log("coordinator-1") where line["message"] == "joined" {
            if let name = line["peer.name"], let text = line["peer.pid"] {
                result[name] = Int32(text)
            }
        }
        return result
    }

    var endpoint: String? {
        let bytes = (try? FileSystem.read(directory.endpoint)) ?? []
        let text = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first
        return text.map(String.init)
    }

    var checkpoints: [Int] { CheckpointStore.steps(in: directory.checkpoints) }

    private struct LogLine: Decodable {
        var fields: [String: String]

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            fields = try container.decode([String: Field].self).mapValues(\.text)
        }

        private struct Field: Decodable {
            var text: String

            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let number = try? container.decode(Double.self) {
                    text = "\(number)"
                } else {
                    text = try container.decode(String.self)
                }
            }
        }
    }

    /// The lines that end with a newline.
    private func lines<Line: Decodable>(_ path: String) throws -> [Line] {
        let bytes = try FileSystem.read(path)
        guard let end = bytes.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        return try bytes[..<end].split(separator: UInt8(ascii: "\n")).map {
            try JSONDecoder().decode(Line.self, from: Data($0))
        }
    }
}

/// The numbers of workers, threads a worker and servers of a run.
typealias ClusterShape = (workers: Int, threads: Int, servers: Int)

/// A run of `convoy train` with a configuration.
struct TrainRun {
    let records: RunRecords
    let command: Command

    init(records: RunRecords, command: Command) {
        self.records = records
        self.command = command
    }

    /// Starts the run; its directory is `directory/name`.
    init(
        _ configuration: RunConfiguration, in directory: TemporaryDirectory, _ name: String,
        flags: [String] = [], environment: [String: String] = [:]
    ) throws {
        let file = try directory.write(configuration.yaml, "\(name).yaml")
        let path = "\(directory.path)/\(name)"
        records = RunRecords(path)
        command = try Command(
            ["train", "--config", file, "--run-dir", path] + flags, environment: environment)
    }

    /// Starts the run with as many processes and threads as `shape` says, under a name that tells
    /// them.
    init(
        _ configuration: RunConfiguration, in directory: TemporaryDirectory, _ shape: ClusterShape
    ) throws {
        try self.init(
            configuration, in: directory,
            "w\(shape.workers)-t\(shape.threads)-s\(shape.servers)",
            flags: [
                "--workers", "\(shape.workers)", "--threads", "\(shape.threads)",
                "--servers", "\(shape.servers)",
            ])
    }

    /// Requires that the run ends well and leaves no process; returns `weights_sha256`.
    func weights(
        within limit: Duration = Command.usualLimit,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let result = command.finish(within: limit)
        try #require(result.exitCode == 0, "\(result)", sourceLocation: sourceLocation)
        records.expectNothingRunning(sourceLocation)
        return try records.summary().weights_sha256
    }

    /// Ends a run, as Ctrl-C does, that was to last as long as its test needs
    /// (`RunConfiguration.endless`). Requires that the run had not ended by itself, leaves no
    /// process, and verifies; that its weights are those of one process after as many steps; and
    /// that its ledger holds just these steps.
    func endAsSerial(
        _ configuration: RunConfiguration, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try #require(!command.hasEnded, "over too soon", sourceLocation: sourceLocation)
        command.child.send(signal: SIGINT)
        let result = command.finish()
        try #require(result.exitCode == 130, "\(result)", sourceLocation: sourceLocation)
        records.expectNothingRunning(sourceLocation)
        let summary = try records.summary()
        let expected = try SerialTrainer(configuration).weights(afterSteps: summary.steps)
        #expect(summary.weights_sha256 == expected, sourceLocation: sourceLocation)
        #expect(
            try records.ledgerSteps() == Array(0..<summary.steps), sourceLocation: sourceLocation)
        let verified = try Command.succeed(["verify", records.directory.path])
        #expect(
            verified.output.contains("\(summary.steps) steps"), "\(verified)",
            sourceLocation: sourceLocation)
    }

    /// Waits until there are checkpoints of `count` more steps.
    func awaitSteps(_ count: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try awaitCheckpoint(
            (records.checkpoints.last ?? 0) + count, sourceLocation: sourceLocation)
    }

    /// Waits until there is a checkpoint of `step` or later.
    func awaitCheckpoint(_ step: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try eventually("checkpoint of step \(step)", sourceLocation: sourceLocation) {
            let hasEnded = command.hasEnded
            if (records.checkpoints.last ?? 0) >= step { return true }
            if hasEnded {
                Issue.record("ended early: \(command.finish())", sourceLocation: sourceLocation)
            }
            return false
        }
    }
}

extension RunRecords {
    /// Requires that no process of this run is left.
    func expectNothingRunning(_ sourceLocation: SourceLocation = #_sourceLocation) {
        var left: [Int32] = []
        _ = try? eventually("end of every process", within: .seconds(3)) { () -> Bool? in
            left = ProcessTable.identifiers(mentioning: directory.path)
            return left.isEmpty ? true : nil
        }
        #expect(left.isEmpty, "processes are left", sourceLocation: sourceLocation)
    }
}
