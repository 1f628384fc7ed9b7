import ClusterProtocol
import Logging
import Partitions
import RunFiles

/// The records behind a loss that is not a finite number. They follow from the plan of batches.
struct FlawedRecords {
    /// The number of records that are named at most.
    private static let shownCount = 8

    /// The global numbers of the microbatch's records.
    private let records: [UInt64]

    /// Creates the records for a note. Returns nil for notes of other kinds, and where the virtual
    /// worker is not known.
    init?(_ note: CoordinatorMachine.Note, material: RunMaterial) {
        guard case .flawedLoss(let step, let virtualWorker?, _) = note,
            material.tree.contains(virtualWorker)
        else { return nil }
        let plan = material.batchPlan
        let order = plan.order(
            epoch: plan.epoch(ofStep: step.value), virtualWorker: virtualWorker.value)
        let range = plan.microbatchRange(step: step.value, virtualWorker: virtualWorker.value)
        records = Array(order[range])
    }

    /// The first records, as a list for people.
    private var shown: String {
        records.prefix(Self.shownCount).map { "\($0)" }.joined(separator: ", ")
            + (records.count > Self.shownCount ? ", ..." : "")
    }

    /// The records as the end of a sentence that is shown to people.
    var text: String { "; its \(records.count) records: \(shown)" }

    /// The records, as metadata of a log entry.
    var metadata: Logger.Metadata { [LogKey.records: "\(shown)"] }
}
