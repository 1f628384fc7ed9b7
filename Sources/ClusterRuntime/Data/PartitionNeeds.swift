import ClusterProtocol
import Partitions
import RunFiles
import Synchronization

/// The partitions that a worker needs, and when it needs them: those of its virtual workers'
/// stretches.
///
/// The records of a stretch are taken in a random order, so the first step of an epoch needs all
/// partitions of the stretch. In each epoch a virtual worker has another stretch.
///
/// Threading: any thread.
final class PartitionNeeds: Sendable {
    /// A virtual worker's stretch in an epoch.
    private struct Key: Hashable {
        let epoch: Int
        let virtualWorker: VirtualWorkerIndex
    }

    private struct State {
        /// The partitions of stretches in the present epoch and its neighbours.
        var references: [Key: [PartitionReference]] = [:]
        /// The stretches whose partitions have been brought here.
        var settled: Set<Key> = []
        /// The epoch and the virtual workers of the last call of `expect`.
        var expected: (epoch: Int, virtualWorkers: [VirtualWorkerIndex])?
        /// The partitions that training needs, in the order in which it needs them.
        var wanted: [PartitionReference] = []
    }

    private let supply: any PartitionSupply
    private let plan: BatchPlan
    private let epochCount: Int
    private let testRanges: [Range<Int>]
    private let state = Mutex(State())

    /// Creates the needs of a worker. Returns nil for a data set that is on this host as a whole.
    init?(_ dataSet: DataSet, material: RunMaterial) {
        guard let supply = dataSet.supply else { return nil }
        self.supply = supply
        plan = material.batchPlan
        epochCount = plan.epoch(ofStep: max(0, material.totalSteps - 1)) + 1
        testRanges = dataSet.testPartitions.map(\.recordRange)
    }

    /// Waits until all partitions that a virtual worker needs in this step are on this host.
    ///
    /// - Throws: the reason when a partition cannot be fetched.
    func bring(step: Step, virtualWorker: VirtualWorkerIndex) throws(DataError) {
        let key = Key(epoch: plan.epoch(ofStep: step.value), virtualWorker: virtualWorker)
        if state.withLock({ $0.settled.contains(key) }) { return }
        try supply.bring(references(key))
        state.withLock { state in
            state.settled = state.settled.filter { abs($0.epoch - key.epoch) <= 1 }
            state.settled.insert(key)
        }
    }

    /// Whether all partitions that a virtual worker needs in this step are on this host already.
    func has(step: Step, virtualWorker: VirtualWorkerIndex) -> Bool {
        let key = Key(epoch: plan.epoch(ofStep: step.value), virtualWorker: virtualWorker)
        return state.withLock { $0.settled.contains(key) } || supply.has(references(key))
    }

    /// Fetches ahead the partitions that these virtual workers need in the epoch of a step, and
    /// then those that they need in the next epoch.
    func expect(step: Step, virtualWorkers: [VirtualWorkerIndex]) {
        let epoch = plan.epoch(ofStep: step.value)
        let isNew = state.withLock { state in
            defer { state.expected = (epoch, virtualWorkers) }
            return state.expected.map { $0 != (epoch, virtualWorkers) } ?? true
        }
        guard isNew, epoch < epochCount else { return }
        var wanted: [PartitionReference] = []
        for epoch in epoch..<min(epoch + 2, epochCount) {
            for virtualWorker in virtualWorkers {
                wanted += references(Key(epoch: epoch, virtualWorker: virtualWorker))
            }
        }
        wanted = unique(wanted)
        state.withLock { $0.wanted = wanted }
        supply.expect(wanted)
    }

    /// Waits until the partitions of the test split that hold these records are on this host.
    ///
    /// - Throws: the reason when a partition cannot be fetched.
    func bringTest(_ records: Range<Int>) throws(DataError) {
        try supply.bring(testReferences(records))
    }

    /// Fetches ahead the partitions that an evaluation needs, and then those that training needs.
    func expectTest(_ records: [Range<Int>]) {
        let wanted = state.withLock { $0.wanted }
        supply.expect(unique(records.flatMap(testReferences) + wanted))
    }

    private func testReferences(_ records: Range<Int>) -> [PartitionReference] {
        testRanges.indices.filter { testRanges[$0].overlaps(records) }
            .map { PartitionReference(.test, $0) }
    }

    private func references(_ key: Key) -> [PartitionReference] {
        // The number of a virtual worker may come from a message.
        guard key.virtualWorker.value < plan.virtualWorkerCount else { return [] }
        if let known = state.withLock({ $0.references[key] }) { return known }
        let made = plan.pieces(epoch: key.epoch, virtualWorker: key.virtualWorker.value).map {
            PartitionReference(.training, $0.partition)
        }
        state.withLock { state in
            state.references = state.references.filter { abs($0.key.epoch - key.epoch) <= 1 }
            state.references[key] = made
        }
        return made
    }

    private func unique(_ references: [PartitionReference]) -> [PartitionReference] {
        var seen: Set<PartitionReference> = []
        return references.filter { seen.insert($0).inserted }
    }
}
