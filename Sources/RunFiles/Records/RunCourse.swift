import ClusterProtocol
import Partitions

/// How a run's records were dealt from its first step on: by one plan, or by one after the other
/// where settings were changed on the way.
package struct RunCourse {
    private typealias Key = RunConfiguration.Key

    private(set) var stretches: [LedgerStretch] = []
    /// A line each change.
    private(set) var changes: [String] = []
    /// Training records of the last plan.
    private(set) var recordCount = 0

    /// - Parameters:
    ///   - configuration: as it is now.
    ///   - history: what was changed before.
    package init(_ configuration: RunConfiguration, _ history: SettingsHistory) throws(Failure) {
        var dealing = Dealing(configuration)
        do throws(DataError) {
            let plan = try dealing.plan()
            recordCount = plan.recordCount
            stretches = [LedgerStretch(firstStep: 0, plan: plan)]
        } catch {
            throw .data("\(error)")
        }
        // From the last change back to the first.
        for entry in history.entries.reversed() {
            let after = stretches[0].plan
            guard dealing.goBack(entry) else {
                changes.insert(contentsOf: Self.lines(entry), at: 0)
                continue
            }
            var lines = Self.lines(entry)
            let step = entry.step.value
            stretches[0].firstStep = step
            // What cannot be opened any more cannot be compared.
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
        /// What the source must be found to be; nil: as it is.
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

        mutating func plan() throws(DataError) -> BatchPlan {
            let (description, counts) = try DataSource.survey(
                DataSpecification(source), partitionCount: partitions)
            if let fingerprint, fingerprint != description.fingerprint {
                throw DataError(
                    .sizeMismatch, file: source, what: "fingerprint of the data",
                    expected: fingerprint, found: description.fingerprint)
            }
            // A partitioned directory has its own, whatever the run file says.
            partitions = counts.count
            return try BatchPlan(
                partitionRecordCounts: counts, batchSize: batchSize,
                virtualWorkerCount: virtualWorkers, seed: seed)
        }

        /// Takes a change back; false when it has nothing to do with the order of records.
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
