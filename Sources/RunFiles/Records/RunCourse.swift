import ClusterProtocol
import Partitions

/// How the records of a run were dealt from its first step on.
///
/// One plan deals all steps, or several plans one after the other where settings were changed
/// during the run.
package struct RunCourse {
    private typealias Key = RunConfiguration.Key

    /// The plans and the steps at which they begin, in the order of their steps.
    private(set) var stretches: [LedgerStretch] = []
    /// The changes of settings, one line each.
    private(set) var changes: [String] = []
    /// The number of training records in the last plan.
    private(set) var recordCount = 0

    /// Reconstructs the plans of a run.
    ///
    /// - Parameters:
    ///   - configuration: the settings of the run as they are now.
    ///   - history: the changes of settings during the run.
    /// - Throws: `.data` when the present data set cannot be opened, `.configuration` when the
    ///   settings do not work with it.
    package init(_ configuration: RunConfiguration, _ history: SettingsHistory) throws(RunError) {
        var dealing = Dealing(configuration)
        do throws(DataError) {
            let plan = try dealing.plan()
            recordCount = plan.recordCount
            stretches = [LedgerStretch(firstStep: 0, plan: plan)]
        } catch {
            throw RunError(error)
        }
        // The loop goes from the last change back to the first.
        for entry in history.entries.reversed() {
            let after = stretches[0].plan
            guard dealing.goBack(entry) else {
                changes.insert(contentsOf: Self.lines(entry), at: 0)
                continue
            }
            var lines = Self.lines(entry)
            let step = entry.step.value
            stretches[0].firstStep = step
            // The records of these steps cannot be compared when their data cannot be opened any
            // more.
            var before: BatchPlan?
            do throws(DataError) { before = try dealing.plan() } catch {
                lines.append("steps before \(step) were not compared with their data: \(error)")
            }
            let plans = [before, after].compactMap { $0 }
            if let cut = plans.first(where: { $0.stepInEpoch(step) != 0 }) {
                lines.append(
                    "epoch \(cut.epoch(ofStep: step) + 1), in which the order of records changed, "
                        + "is not whole")
            }
            stretches.insert(LedgerStretch(firstStep: 0, plan: before), at: 0)
            changes.insert(contentsOf: lines, at: 0)
        }
    }

    private static func lines(_ entry: SettingsHistory.Entry) -> [String] {
        entry.changes.map { "settings changed at step \(entry.step): \($0)" }
    }

    /// The settings that decide which records a step uses.
    private struct Dealing {
        private var source: String
        /// The fingerprint that the data must have; nil accepts any.
        private var fingerprint: String?
        private var partitions: Int
        private var batchSize: Int
        private var virtualWorkers: Int
        private var seed: UInt64

        init(_ configuration: RunConfiguration) {
            source = configuration.data.source
            partitions = configuration.data.partitions
            batchSize = configuration.training.batchSize
            virtualWorkers = configuration.training.virtualWorkers
            seed = configuration.training.seed
        }

        /// Returns the plan of these settings.
        ///
        /// - Throws: when the data cannot be opened or is not the data of that time.
        mutating func plan() throws(DataError) -> BatchPlan {
            let (description, counts) = try DataSource.survey(
                DataSpecification(source), partitionCount: partitions)
            if let fingerprint, fingerprint != description.fingerprint {
                throw DataError(
                    .sizeMismatch, file: source, what: "fingerprint of the data",
                    expected: fingerprint, found: description.fingerprint)
            }
            // A partitioned directory has its own number of partitions, whatever the run file says.
            partitions = counts.count
            return try BatchPlan(
                partitionRecordCounts: counts, batchSize: batchSize,
                virtualWorkerCount: virtualWorkers, seed: seed)
        }

        /// Undoes a change of settings.
        ///
        /// - Returns: whether the change affects the order of records.
        mutating func goBack(_ entry: SettingsHistory.Entry) -> Bool {
            var isOrder = false
            for change in entry.changes {
                switch change.key {
                case Key.source:
                    source = entry.formerSource ?? source
                    fingerprint = change.from
                case Key.partitions: partitions = Int(change.from) ?? partitions
                case Key.batchSize: batchSize = Int(change.from) ?? batchSize
                case Key.virtualWorkers: virtualWorkers = Int(change.from) ?? virtualWorkers
                case Key.seed: seed = UInt64(change.from) ?? seed
                default: continue
                }
                isOrder = true
            }
            return isOrder
        }
    }
}
