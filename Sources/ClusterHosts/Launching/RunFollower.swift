import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import RunFiles
import Threads

/// Follows a run by its files. It shows a line for each epoch, a line for every given number of
/// steps, the warnings and errors of every process, and how the run ended.
package struct RunFollower {
    /// The time that members wait for another coordinator.
    private static let patience = Duration.seconds(120)

    private let run: RunDirectory
    /// The number of steps from one shown step to the next; 0 shows none.
    private let stepInterval: Int
    private let showsLogsAlone: Bool
    private let query: StatusQuery
    private let show: (String) -> Void
    private var metrics: FileTail
    private var logs: [String: FileTail] = [:]

    /// Creates a follower of the run.
    ///
    /// - Parameters:
    ///   - stepInterval: Number of steps from one shown step to the next; 0 shows none.
    ///   - showsLogsAlone: Whether to show only warnings and errors.
    ///   - query: Asks the coordinator for its status.
    ///   - show: Shows a line to people.
    package init(
        _ run: RunDirectory, stepInterval: Int, showsLogsAlone: Bool, query: StatusQuery,
        show: @escaping (String) -> Void
    ) {
        self.run = run
        self.stepInterval = stepInterval
        self.showsLogsAlone = showsLogsAlone
        self.query = query
        self.show = show
        metrics = FileTail(run.metrics)
    }

    /// Shows what the files hold so far and, unless `isOnce`, what is added to them until the run
    /// ends.
    ///
    /// - Returns: The run's exit code; 0 when the run goes on, 130 when a signal asked to stop.
    /// - Throws: `.lost` when no coordinator has answered for two minutes.
    package mutating func follow(
        isOnce: Bool, _ interruptions: Interruptions
    ) throws(RunError) -> Int {
        if !showsLogsAlone {
            try run.requireExisting()
            showStatus()
        }
        var lastSign = SteadyClock.now
        var lastAsked = lastSign
        while true {
            // The end is checked before the files are read, so that they then hold everything up to
            // the end.
            let end = showsLogsAlone ? nil : finished()
            showNew()
            if let end {
                let accuracy =
                    end.testAccuracy.map { "test accuracy \(NumberText.fixed($0, 4))  " } ?? ""
                show(
                    "ended at step \(end.step): \(end.reason)  \(accuracy)"
                        + "weights_sha256 \(end.weightsSHA256)")
                return end.exitCode
            }
            if isOnce { return ExitCode.done }
            switch interruptions.wait(timeout: .seconds(1)) {
            case .stopRequested, .parentGone: return ExitCode.interrupted
            case .woken, .timeout: break
            }
            guard !showsLogsAlone, SteadyClock.now - lastAsked > .seconds(10) else { continue }
            lastAsked = SteadyClock.now
            if isAnswering() { lastSign = SteadyClock.now }
            guard SteadyClock.now - lastSign < Self.patience else {
                throw .lost(
                    "\(run.path): no coordinator has answered for 120 s; the run is gone")
            }
        }
    }

    /// Shows the run's status, healthy or not. A coordinator that does not answer is not yet an
    /// error.
    private func showStatus() {
        do throws(RunError) {
            let answer = try query.ask(within: .seconds(3))
            if case .finished = answer { return }
            for line in StatusTable.lines(answer) { show(line) }
        } catch { show(error.text) }
    }

    private func finished() -> StatusQuery.FinishedRun? {
        try? StatusQuery.finished(run)
    }

    private func isAnswering() -> Bool {
        do throws(RunError) {
            _ = try query.ask(within: .seconds(2))
            return true
        } catch { return error.kind != .lost }
    }

    private mutating func showNew() {
        if !showsLogsAlone {
            for line in metrics.added() {
                if let text = Self.metric(line, every: stepInterval) { show(text) }
            }
        }
        for name in FileSystem.names(in: run.logs) where name.hasSuffix(".jsonl") {
            for line in logs[name, default: FileTail("\(run.logs)/\(name)")].added() {
                if let text = Self.warning(line, of: String(name.dropLast(6))) { show(text) }
            }
        }
    }

    // MARK: - Lines

    private struct Metric: Decodable {
        var kind: String
        var step: Int
        var epoch: Int
        var loss: Double?
        var accuracy: Double?
        var train_loss: Double?
        var train_accuracy: Double?
        var test_loss: Double?
        var test_accuracy: Double?
        var images_per_second: Double?
    }

    /// Returns a line of `metrics.jsonl` as text for people; nil when it is not shown.
    static func metric(_ line: some StringProtocol, every interval: Int) -> String? {
        guard let metric = try? JSONDecoder().decode(Metric.self, from: Data(line.utf8)) else {
            return nil
        }
        func text(_ value: Double?) -> String { value.map { NumberText.fixed($0, 4) } ?? "none" }
        // There is no accuracy with a loss that knows no right and wrong.
        func accuracy(_ name: String, _ value: Double?) -> String {
            value.map { "  \(name) \(NumberText.fixed($0, 4))" } ?? ""
        }
        switch metric.kind {
        case "epoch":
            return "epoch \(metric.epoch)  step \(metric.step)  train loss \(text(metric.train_loss))"
                + accuracy("train accuracy", metric.train_accuracy)
                + "  test loss \(text(metric.test_loss))"
                + accuracy("test accuracy", metric.test_accuracy) + "  "
                + "\(Int(metric.images_per_second ?? 0)) images/s"
        case "step" where interval > 0 && metric.step.isMultiple(of: interval):
            return "epoch \(metric.epoch)  step \(metric.step)  loss \(text(metric.loss))"
                + accuracy("accuracy", metric.accuracy)
        default: return nil
        }
    }

    /// Returns a line of a log as text for people; nil unless it is a warning or an error.
    static func warning(_ line: some StringProtocol, of process: String) -> String? {
        guard let entry = try? JSONDecoder().decode([String: LogValue].self, from: Data(line.utf8)),
            let level = entry["level"]?.text, ["warning", "error", "critical"].contains(level)
        else { return nil }
        var text = "\(level): \(process): \(entry["message"]?.text ?? "")"
        for key in [LogKey.peerName, LogKey.reason, LogKey.errorDetail, LogKey.step, LogKey.shards] {
            if let value = entry[key]?.text { text += "  \(key)=\(value)" }
        }
        return LineText.printable(text)
    }

    private struct LogValue: Decodable {
        var text: String

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self.text = text
            } else {
                text = "\(try container.decode(Double.self))"
            }
        }
    }
}
