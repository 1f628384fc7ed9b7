import ClusterProtocol
import FoundationEssentials
import Partitions
import RunFiles
import TestSupport
import Testing

@Suite struct RunRecorderTests {
    /// 20 records in batches of 8 make three steps an epoch, the last of 4 records.
    private static func plan() throws -> BatchPlan {
        try BatchPlan(
            partitionRecordCounts: [10, 10], batchSize: 8, virtualWorkerCount: 2, seed: 1)
    }

    private static func report(_ step: Int) -> StepReport {
        StepReport(
            step: Step(step),
            totals: ContributionTotals(
                sampleCount: step % 3 == 2 ? 4 : 8, lossSum: 10.5 / Double(step + 1),
                correctCount: step % 5, recordDigest: UInt64(step) &* 0x9E37_79B9_7F4A_7C15))
    }

    /// Decodes a summary from the journal's JSON: the type has no initializer for other modules.
    private static func evaluation(_ step: Int) throws -> CoordinatorMachine.EvaluationSummary {
        let json = """
            {"step": \(step), "recordCount": 10, "correctCount": 5, "lossSum": 2.5,
             "trainingSeconds": 1.25}
            """
        return try JSONDecoder().decode(
            CoordinatorMachine.EvaluationSummary.self, from: Data(json.utf8))
    }

    /// Writes the steps `first..<count`, with an evaluation at the end of each epoch.
    private func write(_ directory: TemporaryDirectory, from first: Int, to count: Int) throws {
        let recorder = try Self.recorder(directory, firstStep: first)
        for step in first..<count {
            recorder.record(Self.report(step))
            if step % 3 == 2 { recorder.record(try Self.evaluation(step + 1), imagesPerSecond: 100) }
        }
        #expect(recorder.close(within: .seconds(30)))
        #expect(recorder.progress.failure == nil)
    }

    private static func recorder(
        _ directory: TemporaryDirectory, firstStep: Int = 0
    ) throws -> RunRecorder {
        let run = RunDirectory(directory.path)
        return try RunRecorder(
            run, plan: plan(), firstStep: firstStep, countingFrom: firstStep,
            lock: RunLock(run)
        ) {}
    }

    private struct Line: Decodable, Hashable {
        var kind: String
        var step: Int
        var epoch: Int
        var records: Int?
        var loss: Double?
        var accuracy: Double?
        var test_accuracy: Double?
    }

    private func metrics(_ directory: TemporaryDirectory) throws -> [Line] {
        try directory.read("metrics.jsonl").split(separator: UInt8(ascii: "\n")).map {
            try JSONDecoder().decode(Line.self, from: Data($0))
        }
    }

    private func ledger(_ directory: TemporaryDirectory) throws -> [LedgerEntry] {
        try directory.text("ledger.jsonl").split(separator: "\n").map {
            try LedgerEntry(line: String($0))
        }
    }

    private static func entry(_ step: Int) -> LedgerEntry {
        let report = report(step)
        return LedgerEntry(
            step: step, epoch: step / 3, records: report.sampleCount, digest: report.recordDigest)
    }

    @Test func aLineAStepAndAnEpoch() throws {
        let directory = try TemporaryDirectory()
        try write(directory, from: 0, to: 4)
        let lines = try metrics(directory)
        #expect(lines.map(\.kind) == ["step", "step", "step", "epoch", "step"])
        #expect(lines.map(\.step) == [1, 2, 3, 3, 4])
        #expect(lines.map(\.epoch) == [1, 1, 1, 1, 2])
        #expect(lines[1].records == 8 && lines[1].loss == 10.5 / 2 / 8)
        #expect(lines[1].accuracy == 0.125 && lines[3].test_accuracy == 0.5)
        #expect(try ledger(directory) == (0..<4).map(Self.entry))
    }

    /// A run taken up at any step: later lines are removed, and the rest is as without the break.
    @Test(arguments: 0...7)
    func laterLinesAreRemoved(firstStep: Int) throws {
        let (directory, undisturbed) = (try TemporaryDirectory(), try TemporaryDirectory())
        try write(undisturbed, from: 0, to: 9)
        try write(directory, from: 0, to: 7)
        let resumed = try Self.recorder(directory, firstStep: firstStep)
        #expect(try ledger(directory) == (0..<firstStep).map(Self.entry))
        #expect(try metrics(directory).filter { $0.kind == "step" }.count == firstStep)
        // The sums of the unfinished epoch come back from the lines.
        let inEpoch = (firstStep - firstStep % 3)..<firstStep
        let records = inEpoch.reduce(0) { $0 + Self.report($1).sampleCount }
        let loss = inEpoch.reduce(0) { $0 + Self.report($1).lossSum }
        #expect(resumed.epochSums.recordCount == records)
        #expect(abs(resumed.epochSums.lossSum - loss) < 1e-9)
        #expect(
            resumed.epochSums.correctCount == inEpoch.reduce(0) { $0 + Self.report($1).correctCount })
        try write(directory, from: firstStep, to: 9)
        #expect(try metrics(directory) == metrics(undisturbed))
        #expect(try ledger(directory) == ledger(undisturbed))
    }

    /// Steps count in the mean of their epoch by their weight, also after a break. With a loss that
    /// knows no right and wrong there are no accuracies.
    @Test func weightedStepsWithoutAccuracy() throws {
        let directory = try TemporaryDirectory()
        let run = RunDirectory(directory.path)
        func recorder(from firstStep: Int) throws -> RunRecorder {
            try RunRecorder(
                run, plan: Self.plan(), hasAccuracy: false, firstStep: firstStep,
                countingFrom: firstStep, lock: RunLock(run)
            ) {}
        }
        let first = try recorder(from: 0)
        for (step, (sum, weight)) in [(6.0, 1.5), (4.0, 2.5), (3.0, 4.0)].enumerated() {
            first.record(
                StepReport(
                    step: Step(step),
                    totals: ContributionTotals(
                        sampleCount: step == 2 ? 4 : 8, lossSum: sum, weightSum: weight)))
        }
        first.record(try Self.evaluation(3), imagesPerSecond: 1)
        #expect(first.trainLoss == 13 / 8.0)
        #expect(first.close(within: .seconds(30)))
        let lines = try directory.text("metrics.jsonl").split(separator: "\n")
        #expect(lines[0].contains("\"records\":8,\"weight\":1.5,\"loss\":4.0,\"accuracy\":null"))
        // The weight of the third step is its number of records, and need not be told.
        #expect(lines[2].contains("\"records\":4,\"loss\":0.75,\"accuracy\":null"))
        #expect(lines[3].contains("\"train_accuracy\":null"))
        #expect(lines[3].contains("\"test_accuracy\":null"))
        let resumed = try recorder(from: 3)
        #expect(resumed.trainLoss == 13 / 8.0)
        #expect(try recorder(from: 2).trainLoss == 10 / 4.0)
    }

    /// The loss of the last whole epoch, or of the first one's steps so far, is as without the
    /// break; before the first step it is unknown.
    @Test(arguments: [(0, nil), (2, 0..<2), (3, 0..<3), (6, 3..<6), (7, 3..<6)] as [(Int, Range<Int>?)])
    func trainLossOfARunTakenUp(firstStep: Int, steps: Range<Int>?) throws {
        let directory = try TemporaryDirectory()
        try write(directory, from: 0, to: 7)
        let resumed = try Self.recorder(directory, firstStep: firstStep)
        let expected = steps.map { steps in
            steps.reduce(0) { $0 + Self.report($1).lossSum }
                / Double(steps.reduce(0) { $0 + Self.report($1).sampleCount })
        }
        #expect((resumed.trainLoss == nil) == (expected == nil))
        #expect(abs((resumed.trainLoss ?? 0) - (expected ?? 0)) < 1e-9)
    }

    /// The process was killed in the middle of a line.
    @Test func aTornLastLineGoes() throws {
        let directory = try TemporaryDirectory()
        try write(directory, from: 0, to: 5)
        let (metricsBytes, ledgerBytes) = (
            try directory.read("metrics.jsonl"), try directory.read("ledger.jsonl")
        )
        for cut in 1..<60 {
            try directory.write(metricsBytes.dropLast(cut), "metrics.jsonl")
            try directory.write(ledgerBytes.dropLast(cut), "ledger.jsonl")
            try write(directory, from: 4, to: 5)
            let steps = try metrics(directory).filter { $0.kind == "step" }.map(\.step)
            #expect(steps == [1, 2, 3, 4, 5], "cut by \(cut)")
            #expect(try ledger(directory) == (0..<5).map(Self.entry), "cut by \(cut)")
        }
    }

    @Test func aTornJournalLineDoesNotSpoilTheNext() throws {
        let directory = try TemporaryDirectory()
        try directory.write(Array("{\"a\":1}\n{\"b\":".utf8), "journal.jsonl")
        let recorder = try Self.recorder(directory)
        recorder.journal("{\"c\":3}")
        #expect(recorder.close(within: .seconds(30)))
        #expect(try directory.text("journal.jsonl") == "{\"a\":1}\n{\"c\":3}\n")
    }

    @Test func lossesThatAreNoNumbersAreNull() throws {
        let directory = try TemporaryDirectory()
        let recorder = try Self.recorder(directory)
        recorder.record(
            StepReport(
                step: Step(0), totals: ContributionTotals(sampleCount: 8, lossSum: .nan)))
        #expect(recorder.close(within: .seconds(30)))
        #expect(try metrics(directory).first?.loss == nil)
        #expect(try directory.text("metrics.jsonl").contains("\"loss\":null"))
    }
}
