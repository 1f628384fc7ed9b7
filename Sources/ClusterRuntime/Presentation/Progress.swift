import ClusterProtocol
import FoundationEssentials
import Glibc
import RunFiles
import Threads

/// Where progress is shown: a line that renews itself on a terminal, plain lines elsewhere.
package enum ProgressOutput: Sendable {
    case terminal, lines, none

    /// The output that suits the process's standard output.
    package static var standard: ProgressOutput { isatty(1) == 1 ? .terminal : .lines }
}

/// What a run shows to a person.
///
/// Threading: belongs to the coordinator's socket thread.
final class Progress {
    private let output: ProgressOutput
    private let plan: CoordinatorProcess.Plan
    private var lastShown: Duration = .zero
    private var lastCount = 0
    private var rate = 0.0
    private var hasOpenLine = false
    private var hasBegun = false

    init(_ output: ProgressOutput, plan: CoordinatorProcess.Plan) {
        self.output = output
        self.plan = plan
    }

    /// Writes a line, in place of an open progress line.
    private func show(_ line: String) {
        guard output != .none else { return }
        let clear = hasOpenLine ? "\r\u{1B}[K" : ""
        hasOpenLine = false
        Screen.show(clear + line + "\n")
    }

    /// Shows a remark.
    func note(_ text: String) { show("  \(text)") }

    /// Shows the run directory and the coordinator's endpoint.
    func begin(_ endpoint: String) {
        let settings = plan.settings
        show("run directory \(settings.directory.path)")
        show("coordinator at \(endpoint)")
        if settings.mayHaveMembers {
            show("going on with the run; \(NumberText.grouped(plan.recordedCount)) steps are recorded")
        } else if plan.start.step > 0 {
            show("going on from step \(NumberText.grouped(plan.start.step))")
        }
    }

    /// Shows what the run is about to do.
    func began(_ began: CoordinatorMachine.Plan) {
        // After a loss the run goes on, and the plan is the same.
        guard !hasBegun, began.workers > 0 else { return }
        hasBegun = true
        let material = plan.material
        let training = material.configuration.training
        let parameters = material.network.parameters.elementCount
        let wire = material.wire.precision
        let perWorker = NumberText.grouped(wire.byteCount(elementCount: parameters))
        show(
            "\(material.network.specification.name) on \(material.data.name): "
                + "\(NumberText.grouped(plan.description.trainingCount)) records in "
                + "\(material.batchPlan.partitionRecordCounts.count) partitions, "
                + "\(training.virtualWorkers) virtual workers x \(material.batchPlan.microbatchSize)"
                + " records, \(NumberText.grouped(material.batchPlan.stepsPerEpoch)) steps an epoch, "
                + "\(NumberText.grouped(parameters)) parameters, \(perWorker) bytes a step each way, "
                + "\(material.backend.rawValue) \(began.instructionSet) "
                + "\(training.precision.rawValue), \(began.workers) workers x "
                + "\(began.threads / max(1, began.workers)) threads, \(began.shardCount) shards")
        if material.data.testCount == 0 {
            note("the data has no test records, so nothing is evaluated")
        }
    }

    /// Renews the progress line, ten times a second on a terminal and every two seconds elsewhere.
    func refresh(_ recorder: RunRecorder, machine: CoordinatorMachine, now: Duration) {
        let interval: Duration = output == .terminal ? .milliseconds(100) : .seconds(2)
        guard output != .none, now - lastShown >= interval, let last = recorder.lastReport,
            recorder.recordCount > lastCount
        else { return }
        let elapsed = (now - lastShown) / .seconds(1)
        let recent = Double(recorder.recordCount - lastCount) / elapsed
        rate = lastShown == .zero || rate == 0 ? recent : 0.8 * rate + 0.2 * recent
        let isFirst = lastShown == .zero
        lastShown = now
        lastCount = recorder.recordCount
        if isFirst { return }
        let material = plan.material
        let step = last.step.value + 1
        let epoch = material.batchPlan.epoch(ofStep: last.step.value) + 1
        let sums = recorder.epochSums
        let left = Double(material.totalSteps - step) * Double(material.batchPlan.batchSize)
        var fields = [
            "epoch \(epoch)/\(material.configuration.training.epochs)",
            "step \(NumberText.grouped(step))/\(NumberText.grouped(material.totalSteps))",
            "\(NumberText.grouped(Int(rate))) images/s", "loss \(NumberText.fixed(sums.meanLoss, 4))",
        ]
        if material.loss.hasAccuracy {
            fields.append("accuracy \(NumberText.fixed(sums.accuracy, 4))")
        }
        fields.append("\(Self.clock(left / max(1, rate))) left")
        let line = ProgressLine(fields: fields)
        if output == .terminal {
            let shown = line.fitted(to: TerminalSize.columnCount(of: 1))
            Screen.show("\r\u{1B}[K" + shown, isReplaceable: true)
            hasOpenLine = true
        } else {
            show(line.text)
        }
    }

    /// Shows the result of an evaluation.
    func evaluated(
        _ summary: CoordinatorMachine.EvaluationSummary, _ recorder: RunRecorder,
        imagesPerSecond: Double
    ) {
        let material = plan.material
        let epoch = material.batchPlan.epoch(ofStep: max(0, summary.step.value - 1)) + 1
        let sums = recorder.lastEpochSums ?? recorder.epochSums
        let count = Double(max(1, summary.recordCount))
        let isWhole = material.batchPlan.stepInEpoch(summary.step.value) == 0
        let place =
            isWhole
            ? "epoch \(epoch)/\(material.configuration.training.epochs) done"
            : "step \(NumberText.grouped(summary.step.value)) done"
        guard summary.recordCount > 0 else {
            show(
                "\(place)  train loss \(NumberText.fixed(sums.meanLoss, 4))  "
                    + "\(NumberText.grouped(Int(imagesPerSecond))) images/s")
            return
        }
        let accuracy =
            material.loss.hasAccuracy
            ? "test accuracy \(NumberText.fixed(Double(summary.correctCount) / count, 4))  " : ""
        show(
            "\(place)  "
                + "train loss \(NumberText.fixed(sums.meanLoss, 4))  "
                + "test loss \(NumberText.fixed(summary.lossSum / count, 4))  "
                + accuracy
                + "\(NumberText.grouped(Int(imagesPerSecond))) images/s")
    }

    /// Shows how the run ended and where its results are.
    func end(
        _ end: CoordinatorMachine.Outcome, _ summary: RunSummary, best: BestCheckpoint?
    ) {
        if end.exitCode != ExitCode.done {
            show("\(end.reason) (exit code \(end.exitCode), step \(end.step))")
            if end.exitCode == ExitCode.data { return }
        } else {
            let result = plan.material.loss.hasAccuracy ? "accuracy" : "loss"
            show(
                "done: \(summary["steps"] ?? "") steps, test \(result) "
                    + "\(summary["test_\(result)"] ?? ""), "
                    + "\(NumberText.grouped(Int(Double(summary["images_per_second"] ?? "") ?? 0))) images/s")
        }
        if plan.material.configuration.training.earlyStopping != nil {
            if end.exitCode == ExitCode.done { show(end.reason) }
            if let best {
                show(
                    "best weights \(plan.store.path(step: best.step))"
                        + (best.accuracy.map { ", test accuracy " + NumberText.fixed($0, 4) } ?? ""))
            }
        }
        show("weights_sha256 \((summary["weights_sha256"] ?? "").filter { $0 != "\"" })")
        let directory = plan.settings.directory
        show(
            "checkpoint \(plan.store.path(step: end.step.value)), metrics \(directory.metrics), "
                + "summary \(directory.summary)")
    }

    // MARK: Numbers for people

    /// Returns a time in minutes and seconds.
    static func clock(_ seconds: Double) -> String {
        let total = Int(min(max(0, seconds), 359_999))
        let (minutes, rest) = total.quotientAndRemainder(dividingBy: 60)
        return minutes > 0 ? "\(minutes) min \(rest) s" : "\(rest) s"
    }
}
