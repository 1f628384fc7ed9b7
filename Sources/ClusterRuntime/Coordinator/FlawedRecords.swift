import ClusterProtocol
import Logging
import Partitions
import RunFiles

/// The records behind a loss that is not a finite number: which they are follows from the plan.
struct FlawedRecords {
    /// Records named at most.
    private static let shownCount = 8

    private let records: [UInt64]

    /// Nil for other notes, and where the virtual worker is not known.
    init?(_ note: CoordinatorMachine.Note, material: RunMaterial) {
        guard case .flawedLoss(let step, let virtualWorker?, _) = note,
            (0..<material.batchPlan.virtualWorkerCount).contains(virtualWorker)
        else { return nil }
        let plan = material.batchPlan
        let order = plan.order(
            epoch: plan.epoch(ofStep: step.value), virtualWorker: virtualWorker)
        let range = plan.microbatchRange(step: step.value, virtualWorker: virtualWorker)
        records = Array(order[range])
    }

    private var shown: String {
        records.prefix(Self.shownCount).map { "\($0)" }.joined(separator: ", ")
            + (records.count > Self.shownCount ? ", ..." : "")
    }

    /// The end of a sentence.
    var text: String { "; its \(records.count) records: \(shown)" }

    var metadata: Logger.Metadata { [LogKey.records: "\(shown)"] }
}
