import ClusterProtocol
import Partitions
import Threads

/// Puts a run's lines into words and keeps the running sums; a `RecordWriter` writes them.
///
/// Threading: the coordinator's socket thread, which never waits for a disk here.
package final class RunRecorder {
    /// Sums over the steps of one epoch.
    package struct Sums {
        package var recordCount = 0
        package var lossSum = 0.0
        package var correctCount = 0

        package var meanLoss: Double { lossSum / Double(max(1, recordCount)) }
        package var accuracy: Double { Double(correctCount) / Double(max(1, recordCount)) }

        package mutating func add(_ report: StepReport) {
            recordCount += report.sampleCount
            lossSum += report.lossSum
            correctCount += report.correctCount
        }
    }

    private let plan: BatchPlan
    private let writer: RecordWriter
    /// Lines that were not handed to the writer yet.
    private var metrics = ""
    private var ledger = ""
    /// Steps that have a line.
    private var stepCount: Int
    private var durableRequestCount = 0
    package private(set) var epochSums = Sums()
    package private(set) var lastEpochSums: Sums?
    /// Records trained by this process's part of the run.
    package private(set) var recordCount = 0
    /// Records of all steps that are recorded.
    package private(set) var recordCountOfAll = 0
    package private(set) var lastReport: StepReport?

    /// - Parameters:
    ///   - firstStep: lines of later steps, from an interrupted run, are removed.
    ///   - countingFrom: records of steps from this one on count as trained here.
    ///   - lock: of the run directory.
    ///   - onProgress: called on the writer's thread when the files have got further.
    package init(
        _ directory: RunDirectory, plan: BatchPlan, firstStep: Int, countingFrom: Int,
        lock: RunLock, onProgress: @escaping @Sendable () -> Void
    ) throws(Failure) {
        self.plan = plan
        stepCount = firstStep
        recordCount = (countingFrom..<max(countingFrom, firstStep)).reduce(0) {
            $0 + plan.recordCount(step: $1)
        }
        let kept = try Self.lines(directory.metrics, before: firstStep, isOneBased: true)
        let ledgerLines = try Self.lines(directory.ledger, before: firstStep, isOneBased: false)
        let isNew = lock.isFromALivingHolder
        writer = RecordWriter(
            metrics: try AppendingFile(
                directory.metrics, keeping: kept.byteCount, isNew: isNew),
            ledger: try AppendingFile(
                directory.ledger, keeping: ledgerLines.byteCount, isNew: isNew),
            journal: try AppendingFile(
                directory.journal, keeping: Self.wholeLines(directory.journal).byteCount,
                isNew: isNew),
            recordedCount: firstStep, fence: lock.fence, onProgress: onProgress)
        recordCountOfAll = kept.steps.reduce(0) { $0 + $1.records }
        let epochStart = firstStep - plan.stepInEpoch(firstStep)
        epochSums = Self.sums(kept.steps.filter { $0.step > epochStart })
        if epochStart > 0 {
            let former = (epochStart - plan.stepsPerEpoch + 1)...epochStart
            lastEpochSums = Self.sums(kept.steps.filter { former.contains($0.step) })
        }
    }

    private static func sums(_ lines: [StepLine]) -> Sums {
        var sums = Sums()
        for line in lines {
            sums.recordCount += line.records
            sums.lossSum += line.loss * Double(line.records)
            sums.correctCount += Int((line.accuracy * Double(line.records)).rounded())
        }
        return sums
    }

    /// Mean loss of the last whole epoch, or of what there is of the first; nil when nothing is
    /// known.
    package var trainLoss: Double? {
        let sums = lastEpochSums ?? epochSums
        return sums.recordCount > 0 ? sums.meanLoss : nil
    }

    package func record(_ report: StepReport) {
        let step = report.step.value
        if plan.stepInEpoch(step) == 0 { epochSums = Sums() }
        epochSums.add(report)
        recordCount += report.sampleCount
        recordCountOfAll += report.sampleCount
        lastReport = report
        let epoch = plan.epoch(ofStep: step)
        let count = Double(max(1, report.sampleCount))
        stepCount = step + 1
        metrics.append(
            "{\"kind\":\"step\",\"step\":\(step + 1),\"epoch\":\(epoch + 1),"
                + "\"records\":\(report.sampleCount),"
                + "\"loss\":\(JSONText.number(report.lossSum / count)),"
                + "\"accuracy\":\(JSONText.number(Double(report.correctCount) / count)),"
                + "\"time\":\(SteadyClock.wallSeconds)}\n")
        ledger.append(
            LedgerEntry(
                step: step, epoch: epoch, records: report.sampleCount, digest: report.recordDigest
            ).line + "\n")
        if plan.stepInEpoch(step + 1) == 0 { lastEpochSums = epochSums }
    }

    package func record(_ evaluation: CoordinatorMachine.EvaluationSummary, imagesPerSecond: Double) {
        let sums = lastEpochSums ?? epochSums
        // Of no records there is no mean.
        let count = Double(evaluation.recordCount)
        let epoch = plan.epoch(ofStep: max(0, evaluation.step.value - 1)) + 1
        metrics.append(
            "{\"kind\":\"epoch\",\"epoch\":\(epoch),\"step\":\(evaluation.step),"
                + "\"train_loss\":\(JSONText.number(sums.meanLoss)),"
                + "\"train_accuracy\":\(sums.accuracy),"
                + "\"test_loss\":\(JSONText.number(evaluation.lossSum / count)),"
                + "\"test_accuracy\":\(JSONText.number(Double(evaluation.correctCount) / count)),"
                + "\"images_per_second\":\(JSONText.number(imagesPerSecond)),"
                + "\"seconds\":\(evaluation.trainingSeconds),\"time\":\(SteadyClock.wallSeconds)}\n")
        flush()
    }

    /// Hands a line of the journal over; `RecordWriter.Progress.journalCount` counts it once it is on
    /// disk.
    package func journal(_ line: String) { writer.write(journal: line) }

    /// Hands over what there is of steps.
    package func flush() {
        guard !metrics.isEmpty || !ledger.isEmpty else { return }
        writer.write(metrics: metrics, ledger: ledger, recordedCount: stepCount)
        metrics = ""
        ledger = ""
    }

    /// Hands over what there is of steps, to be synced.
    ///
    /// - Returns: what `RecordWriter.Progress.durableCount` is once that is done.
    @discardableResult
    package func makeDurable() -> Int {
        flush()
        writer.makeDurable()
        durableRequestCount += 1
        return durableRequestCount
    }

    /// Replaces a small file of the run, after all that was handed over before.
    package func replace(_ path: String, with text: String) { writer.replace(path, with: text) }

    /// Waits until all that was handed over is written, but not longer than `limit`.
    ///
    /// - Returns: whether it is.
    package func settle(within limit: Duration) -> Bool {
        flush()
        return writer.waitUntilIdle(within: limit)
    }

    /// Writes what is left and ends the writer, within `limit`.
    ///
    /// - Returns: whether all is written.
    package func close(within limit: Duration) -> Bool {
        flush()
        return writer.close(within: limit)
    }

    /// How far the files are.
    package var progress: RecordWriter.Progress { writer.progress }

    /// How long the disk has not answered.
    package var stalledFor: Duration { writer.stalledFor }

    /// Steps, from the first on, that both records hold whole lines of.
    package static func stepCount(_ directory: RunDirectory) throws(Failure) -> Int {
        let ledger = try lines(directory.ledger, before: .max, isOneBased: false).last
        let metrics = try lines(directory.metrics, before: .max, isOneBased: true).last
        return min(ledger + 1, metrics)
    }

    // MARK: Taking up an interrupted run

    private struct StepLine {
        var step: Int
        var records: Int
        var loss: Double
        var accuracy: Double
    }

    private static func wholeLines(_ path: String) throws(Failure) -> WholeLines {
        try WholeLines(FileSystem.exists(path) ? FileSystem.read(path) : [])
    }

    /// How much of a file holds lines of steps below `step`.
    private static func lines(
        _ path: String, before step: Int, isOneBased: Bool
    ) throws(Failure) -> (byteCount: Int, steps: [StepLine], last: Int) {
        var last = isOneBased ? 0 : -1
        var byteCount = 0
        var steps: [StepLine] = []
        for line in try wholeLines(path).lines {
            let text = String(decoding: line, as: UTF8.self)
            guard let number = field("step", in: text).flatMap(Int.init),
                isOneBased ? number <= step : number < step
            else { break }
            last = number
            byteCount += line.count + 1
            guard text.contains("\"kind\":\"step\"") else { continue }
            steps.append(
                StepLine(
                    step: number, records: field("records", in: text).flatMap(Int.init) ?? 0,
                    loss: field("loss", in: text).flatMap(Double.init) ?? 0,
                    accuracy: field("accuracy", in: text).flatMap(Double.init) ?? 0))
        }
        return (byteCount, steps, last)
    }

    /// The text of a number in a line that this class wrote.
    private static func field(_ name: String, in line: String) -> String? {
        guard let key = line.range(of: "\"\(name)\":") else { return nil }
        return String(line[key.upperBound...].prefix { $0 != "," && $0 != "}" })
    }
}

extension String {
    /// Where `other` stands in this text, if it does.
    fileprivate func range(of other: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(other) {
                return start..<index(start, offsetBy: other.count)
            }
            start = index(after: start)
        }
        return nil
    }
}
