import ClusterProtocol
import FoundationEssentials

/// The content of `checkpoints/best.json`: the checkpoint with the highest test accuracy, or that
/// which early stopping found to be the best.
package struct BestCheckpoint: Codable {
    /// The step of the checkpoint.
    package var step: Int
    /// The accuracy on the test records, 0 to 1; nil where the loss has none.
    package var accuracy: Double?

    private enum CodingKeys: String, CodingKey {
        case step
        case accuracy = "test_accuracy"
    }

    /// Creates the entry for the weights of one evaluation.
    package init(_ summary: CoordinatorMachine.EvaluationSummary, hasAccuracy: Bool) {
        step = summary.step.value
        accuracy =
            hasAccuracy ? Double(summary.correctCount) / Double(max(1, summary.recordCount)) : nil
    }

    /// The text of the file.
    package var json: String {
        "{\"step\": \(step), \"test_accuracy\": \(accuracy.map { "\($0)" } ?? "null")}\n"
    }

    /// Returns the best checkpoint that a resumed run begins with, or nil when none is known.
    ///
    /// It is the one in the file, or the one in the journal if that is better. Its checkpoint may be
    /// still to be written. What early stopping found later is better.
    package static func newest(
        _ noted: BestCheckpoint?, _ recovery: CoordinatorMachine.Recovery?, hasAccuracy: Bool
    ) -> BestCheckpoint? {
        let isJudged = recovery?.best?.judgement?.stopping != nil
        guard let journaled = recovery?.best.map({ BestCheckpoint($0, hasAccuracy: hasAccuracy) }),
            noted.map({ isJudged || $0.accuracy ?? 0 < journaled.accuracy ?? 0 }) ?? true
        else { return noted }
        return journaled
    }

    /// Reads the file of a run, or returns nil when it cannot be read.
    package static func read(_ directory: RunDirectory) -> BestCheckpoint? {
        guard let bytes = try? FileSystem.read(directory.bestCheckpoint) else { return nil }
        return try? JSONDecoder().decode(BestCheckpoint.self, from: Data(bytes))
    }
}
