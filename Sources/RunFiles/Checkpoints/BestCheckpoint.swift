import ClusterProtocol
import FoundationEssentials

/// What `checkpoints/best.json` says: the step whose weights did best on the test records.
package struct BestCheckpoint: Codable {
    package var step: Int
    package var accuracy: Double

    private enum CodingKeys: String, CodingKey {
        case step
        case accuracy = "test_accuracy"
    }

    package init(_ summary: CoordinatorMachine.EvaluationSummary) {
        step = summary.step.value
        accuracy = Double(summary.correctCount) / Double(max(1, summary.recordCount))
    }

    package var json: String { "{\"step\": \(step), \"test_accuracy\": \(accuracy)}\n" }

    /// What a resumed run begins with: what the file says, or the journal, where it has got further
    /// and the checkpoint is there.
    package static func newest(
        _ directory: RunDirectory, _ recovery: CoordinatorMachine.Recovery?,
        _ store: CheckpointStore
    ) -> BestCheckpoint? {
        let noted = read(directory)
        guard let journaled = recovery?.best.map(BestCheckpoint.init),
            FileSystem.exists(store.path(step: journaled.step)),
            noted.map({ $0.accuracy < journaled.accuracy }) ?? true
        else { return noted }
        return journaled
    }

    package static func read(_ directory: RunDirectory) -> BestCheckpoint? {
        guard let bytes = try? FileSystem.read(directory.bestCheckpoint) else { return nil }
        return try? JSONDecoder().decode(BestCheckpoint.self, from: Data(bytes))
    }
}
