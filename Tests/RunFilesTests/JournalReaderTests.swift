import ClusterProtocol
import FoundationEssentials
import Partitions
import RunFiles
import TestSupport
import Testing

/// What a coordinator reads from its predecessor's journal.
@Suite struct JournalReaderTests {
    private struct Line: Encodable {
        var time: Double
        var entry: JournalEntry
    }

    private static let worker = PeerIdentity(rawValue: "worker-a")

    private static let entries: [JournalEntry] = [
        .joined(peer: worker, role: .worker, host: "host", processIdentifier: 7),
        .started(run: "run", step: Step(0)), .settled(instructionSet: "avx2"),
        .placed(placement: Placement(3), step: Step(0), hosts: [worker]),
        .assigned(
            generation: Generation(12),
            virtualWorkers: ["worker 1": [0, 1].map(VirtualWorkerIndex.init)]),
        .checkpoint(Step(5)), .tookOver, .lost(peer: worker, reason: "left"),
        .finished(step: Step(5), exitCode: 0),
    ]

    private static func recovery(_ count: Int) -> CoordinatorMachine.Recovery {
        var recovery = CoordinatorMachine.Recovery()
        for entry in entries.prefix(count) { recovery.add(entry) }
        return recovery
    }

    private func openRecorder(_ directory: TemporaryDirectory) throws {
        let run = RunDirectory(directory.path)
        let recorder = try RunRecorder(
            run,
            plan: BatchPlan(
                partitionRecordCounts: [10], batchSize: 8, virtualWorkerCount: 2, seed: 1),
            firstStep: 0, countingFrom: 0, lock: RunLock(run)
        ) {}
        #expect(recorder.close(within: .seconds(30)))
    }

    /// Wherever a kill cut the last write, even before its newline, the reader of the journal and
    /// the recorder that appends to it agree on its content.
    @Test func readerAndWriterAgreeOnEveryCut() throws {
        let directory = try TemporaryDirectory()
        let lines = try Self.entries.map {
            try Array(JSONEncoder().encode(Line(time: 1, entry: $0))) + [UInt8(ascii: "\n")]
        }
        let bytes = lines.flatMap { $0 }
        var wholeCount = 0
        var end = 0
        for count in 0...bytes.count {
            if wholeCount < lines.count, count == end + lines[wholeCount].count {
                wholeCount += 1
                end = count
            }
            try directory.write(Array(bytes.prefix(count)), "journal.jsonl")
            let expected = Self.recovery(wholeCount)
            let run = RunDirectory(directory.path)
            #expect(try JournalReader.recovery(run) == expected, "\(count) bytes")
            try openRecorder(directory)
            #expect(try directory.read("journal.jsonl").count == end, "\(count) bytes")
            #expect(try JournalReader.recovery(run) == expected, "\(count) bytes")
        }
        #expect(wholeCount == Self.entries.count)
    }

    /// The time between the last limit and now counts as spent in steps, unless the run ended or
    /// was taken up since.
    @Test func timeSinceTheLastLimitCounts() throws {
        let directory = try TemporaryDirectory()
        func seconds(_ entries: [JournalEntry]) throws -> Double {
            let hourAgo = Date().timeIntervalSince1970 - 3600
            let lines = try entries.map {
                try Array(JSONEncoder().encode(Line(time: hourAgo, entry: $0)))
                    + [UInt8(ascii: "\n")]
            }
            try directory.write(lines.flatMap { $0 }, "journal.jsonl")
            return try JournalReader.recovery(RunDirectory(directory.path)).trainingSeconds
        }
        let limit = JournalEntry.limit(Step(5), trainingSeconds: 2)
        #expect(try seconds([limit]) >= 3602)
        #expect(try seconds([limit, .finished(step: Step(5), exitCode: 0)]) == 2)
        #expect(try seconds([limit, .resumed(Step(0))]) == 0)
    }
}
