import ClusterProtocol
import Partitions
import Threads

/// Composes the lines of a run's records and keeps running sums. A `RecordWriter` writes the lines.
///
/// Threading: used by the coordinator's socket thread, which never waits for a disk here.
package final class RunRecorder {
    /// The sums over the steps of one epoch.
    package struct Sums {
        /// The number of records.
        package var recordCount = 0
        /// The sum of the records' weighted losses.
        package var lossSum = 0.0
        /// The number of records that were right.
        package var correctCount = 0
        /// The sum of the records' weights: their number where each record weighs 1.
        package var weightSum = 0.0

        /// The weighted mean of the losses; 0 without records.
        package var meanLoss: Double { lossSum / (weightSum > 0 ? weightSum : 1) }
        /// The share of correct records, 0 to 1; 0 without records.
        package var accuracy: Double { Double(correctCount) / Double(max(1, recordCount)) }

        /// Adds the sums of a step.
        package mutating func add(_ report: StepReport) {
            recordCount += report.sampleCount
            lossSum += report.lossSum
            correctCount += report.correctCount
            weightSum += report.weightSum
        }
    }

    private let plan: BatchPlan
    /// Whether a record can be right or wrong. Otherwise accuracies are null.
    private let hasAccuracy: Bool
    private let writer: RecordWriter
    /// The lines that were not handed to the writer yet.
    private var metrics = ""
    private var ledger = ""
    /// The number of steps that have a line.
    private var stepCount: Int
    private var durableRequestCount = 0
    /// The sums of the present epoch.
    package private(set) var epochSums = Sums()
    /// The sums of the last whole epoch; nil before the first one ends.
    package private(set) var lastEpochSums: Sums?
    /// The number of records trained since the step `countingFrom`.
    package private(set) var recordCount = 0
    /// The number of records of all steps that are recorded.
    package private(set) var recordCountOfAll = 0
    /// The last step that was recorded by this process.
    package private(set) var lastReport: StepReport?

    /// Opens the records of a run, and removes lines of steps that the run will do again.
    ///
    /// - Parameters:
    ///   - directory: the run directory.
    ///   - plan: which records a step uses.
    ///   - hasAccuracy: whether a record can be right or wrong.
    ///   - firstStep: the step that the run goes on with. Lines of it and of later steps are
    ///     removed.
    ///   - countingFrom: records of steps from this one on are counted in ``recordCount``.
    ///   - lock: the lock of the run directory.
    ///   - onProgress: called on the writer's thread when the files have got further.
    package init(
        _ directory: RunDirectory, plan: BatchPlan, hasAccuracy: Bool = true, firstStep: Int,
        countingFrom: Int, lock: RunLock, onProgress: @escaping @Sendable () -> Void
    ) throws(RunError) {
        self.plan = plan
        self.hasAccuracy = hasAccuracy
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
            sums.lossSum += line.loss * line.weight
            sums.weightSum += line.weight
            sums.correctCount += Int((line.accuracy * Double(line.records)).rounded())
        }
        return sums
    }

    /// The mean loss of the last whole epoch, or of the present one before the first ends. It is
    /// nil when no step is known.
    package var trainLoss: Double? {
        let sums = lastEpochSums ?? epochSums
        return sums.recordCount > 0 ? sums.meanLoss : nil
    }

    /// Records a finished step in the metrics and in the ledger. Steps must come in order.
    package func record(_ report: StepReport) {
        let step = report.step.value
        if plan.stepInEpoch(step) == 0 { epochSums = Sums() }
        epochSums.add(report)
        recordCount += report.sampleCount
        recordCountOfAll += report.sampleCount
        lastReport = report
        let epoch = plan.epoch(ofStep: step)
        let count = Double(max(1, report.sampleCount))
        // The weight is what tells how much the step counts in the mean of its epoch.
        let isWeighted = report.weightSum != Double(report.sampleCount)
        stepCount = step + 1
        metrics.append(
            "{\"kind\":\"step\",\"step\":\(step + 1),\"epoch\":\(epoch + 1),"
                + "\"records\":\(report.sampleCount),"
                + (isWeighted ? "\"weight\":\(JSONText.number(report.weightSum))," : "")
                + "\"loss\":\(JSONText.number(report.meanLoss)),"
                + "\"accuracy\":\(accuracy(Double(report.correctCount) / count)),"
                + "\"time\":\(SteadyClock.wallSeconds)}\n")
        ledger.append(
            LedgerEntry(
                step: step, epoch: epoch, records: report.sampleCount, digest: report.recordDigest
            ).line + "\n")
        if plan.stepInEpoch(step + 1) == 0 { lastEpochSums = epochSums }
    }

    /// Records an evaluation in the metrics, as the line of its epoch.
    ///
    /// - Parameters:
    ///   - evaluation: the results over the test records.
    ///   - imagesPerSecond: the records trained so far per second of training.
    package func record(_ evaluation: CoordinatorMachine.EvaluationSummary, imagesPerSecond: Double) {
        let sums = lastEpochSums ?? epochSums
        // Without test records the mean is NaN, which JSON shows as null.
        let count = Double(evaluation.recordCount)
        let epoch = plan.epoch(ofStep: max(0, evaluation.step.value - 1)) + 1
        metrics.append(
            "{\"kind\":\"epoch\",\"epoch\":\(epoch),\"step\":\(evaluation.step),"
                + "\"train_loss\":\(JSONText.number(sums.meanLoss)),"
                + "\"train_accuracy\":\(accuracy(sums.accuracy)),"
                + "\"test_loss\":\(JSONText.number(evaluation.lossSum / count)),"
                + "\"test_accuracy\":\(accuracy(Double(evaluation.correctCount) / count)),"
                + "\"images_per_second\":\(JSONText.number(imagesPerSecond)),"
                + "\"seconds\":\(evaluation.trainingSeconds),\"time\":\(SteadyClock.wallSeconds)}\n")
        flush()
    }

    /// Returns an accuracy as JSON: null where a record cannot be right or wrong.
    private func accuracy(_ value: Double) -> String {
        JSONText.number(hasAccuracy ? value : .nan)
    }

    /// Hands over a line of the journal. `RecordWriter.Progress.journalCount` counts it once it is
    /// on disk.
    package func journal(_ line: String) { writer.write(journal: line) }

    /// Hands the waiting lines of steps to the writer.
    package func flush() {
        guard !metrics.isEmpty || !ledger.isEmpty else { return }
        writer.write(metrics: metrics, ledger: ledger, recordedCount: stepCount)
        metrics = ""
        ledger = ""
    }

    /// Hands the waiting lines of steps to the writer and asks for them to be synced.
    ///
    /// - Returns: the value that `RecordWriter.Progress.durableCount` has once that is done.
    @discardableResult
    package func makeDurable() -> Int {
        flush()
        writer.makeDurable()
        durableRequestCount += 1
        return durableRequestCount
    }

    /// Replaces a small file of the run, after all that was handed over before.
    package func replace(_ path: String, with text: String) { writer.replace(path, with: text) }

    /// Waits until everything that was handed over is written, but not longer than `limit`.
    ///
    /// - Returns: whether everything is written.
    package func settle(within limit: Duration) -> Bool {
        flush()
        return writer.waitUntilIdle(within: limit)
    }

    /// Writes the lines that are left and ends the writer, within `limit`.
    ///
    /// - Returns: whether everything is written.
    package func close(within limit: Duration) -> Bool {
        flush()
        return writer.close(within: limit)
    }

    /// How far the files are.
    package var progress: RecordWriter.Progress { writer.progress }

    /// The time that the writer's present job has taken so far, zero when there is none. A long
    /// time means that the disk does not answer.
    package var stalledFor: Duration { writer.stalledFor }

    /// Returns the number of steps, counted from the first, that have a whole line in both the
    /// metrics and the ledger.
    package static func stepCount(_ directory: RunDirectory) throws(RunError) -> Int {
        let ledger = try lines(directory.ledger, before: .max, isOneBased: false).last
        let metrics = try lines(directory.metrics, before: .max, isOneBased: true).last
        return min(ledger + 1, metrics)
    }

    // MARK: Resuming an interrupted run

    private struct StepLine {
        var step: Int
        var records: Int
        var weight: Double
        var loss: Double
        var accuracy: Double
    }

    private static func wholeLines(_ path: String) throws(RunError) -> WholeLines {
        try WholeLines(FileSystem.exists(path) ? FileSystem.read(path) : [])
    }

    /// Returns the lines of steps before `step`, their length in bytes in the file, and the number
    /// of the last step among them.
    ///
    /// - Parameter isOneBased: whether the file counts steps from 1, as the metrics do. The ledger
    ///   counts from 0.
    private static func lines(
        _ path: String, before step: Int, isOneBased: Bool
    ) throws(RunError) -> (byteCount: Int, steps: [StepLine], last: Int) {
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
            let records = field("records", in: text).flatMap(Int.init) ?? 0
            steps.append(
                StepLine(
                    step: number, records: records,
                    weight: field("weight", in: text).flatMap(Double.init) ?? Double(records),
                    loss: field("loss", in: text).flatMap(Double.init) ?? 0,
                    accuracy: field("accuracy", in: text).flatMap(Double.init) ?? 0))
        }
        return (byteCount, steps, last)
    }

    /// Returns the text of a number in a line that this class wrote.
    private static func field(_ name: String, in line: String) -> String? {
        guard let key = line.range(of: "\"\(name)\":") else { return nil }
        return String(line[key.upperBound...].prefix { $0 != "," && $0 != "}" })
    }
}

extension String {
    /// Returns the first range of `other` in this text, or nil when it does not occur.
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
