import Synchronization
import Threads

/// The state that the loader's thread and its callers share.
final class LoaderCore: Sendable {
    private struct Key: Equatable {
        let step: Int
        let virtualWorker: Int
    }

    private enum Slot {
        case free
        /// A hint asked for this microbatch; no thread has begun to read it.
        case queued(Key)
        /// The loader's thread is reading this microbatch.
        case loading(Key)
        case ready(Key)
        /// The caller of `take` owns the buffer and may still be filling it.
        case taken(Key)

        var key: Key? {
            switch self {
            case .free: nil
            case .queued(let key), .loading(let key), .ready(let key), .taken(let key): key
            }
        }
    }

    private struct State {
        var slots: [Slot]
        var isStopped = false
        /// The step of the latest call of `take`.
        var currentStep = 0
    }

    /// The result of the search in `take`.
    private enum Claim {
        /// The buffer with this index holds the microbatch.
        case ready(Int)
        /// The caller must read the microbatch into the buffer with this index; nil means a new
        /// buffer.
        case read(Int?)
    }

    private let dataSet: DataSet
    private let orders: OrderCache
    private let buffers: [Microbatch]
    private let monitor: Monitor<State>
    /// The number of steps that records are announced ahead of the microbatch read last.
    private let stepsAhead: Int
    /// The last step that was announced for each virtual worker; only the loader's thread uses it.
    private let announced: Mutex<[Int]>
    /// The number of steps of the run.
    private let stepCount: Int
    /// The partitions of stretches, which are opened before their first records are read.
    private let stretches: Mutex<[Stretch]>

    /// A virtual worker's stretch in an epoch.
    private struct Stretch {
        var epoch = -1
        /// The partitions of the next epoch that are not opened yet; nil before they are known.
        var next: [Int]?
    }

    /// The bytes of records that are announced and not yet read, about.
    private static let announcedByteCount = 8 << 20

    init(dataSet: DataSet, plan: BatchPlan, bufferCount: Int, stepCount: Int) {
        self.dataSet = dataSet
        self.stepCount = stepCount
        stretches = Mutex(Array(repeating: Stretch(), count: plan.virtualWorkerCount))
        // The ring holds about two microbatches for each virtual worker of this process.
        let share = (bufferCount + 1) / 2 * plan.microbatchCapacity * dataSet.storedImageByteCount
        stepsAhead = min(64, max(2, Self.announcedByteCount / max(1, share)))
        announced = Mutex(Array(repeating: -1, count: plan.virtualWorkerCount))
        orders = OrderCache(plan: plan)
        buffers = (0..<bufferCount).map {
            Microbatch(
                capacity: plan.microbatchCapacity, shape: dataSet.description.shape,
                targetCount: dataSet.description.targetCount, ringIndex: $0)
        }
        monitor = Monitor(State(slots: Array(repeating: .free, count: bufferCount)))
    }

    /// Queues a microbatch for the loader's thread. Does nothing when the microbatch is known
    /// already or no slot can be freed for it.
    func hint(step: Int, virtualWorker: Int) {
        let key = Key(step: step, virtualWorker: virtualWorker)
        // Most hints are known already, and `look` wakes no thread.
        guard !monitor.look({ $0.slots.contains { $0.key == key } }) else { return }
        monitor.change { state in
            guard !state.isStopped, !state.slots.contains(where: { $0.key == key }),
                let index = Self.room(for: step, in: state)
            else { return }
            state.slots[index] = .queued(key)
        }
    }

    /// Returns the microbatch. Waits when the loader's thread is reading it, and otherwise reads it
    /// on the calling thread unless it is ready.
    func take(step: Int, virtualWorker: Int) throws(DataError) -> Microbatch {
        let key = Key(step: step, virtualWorker: virtualWorker)
        let claim = monitor.wait { state -> Claim? in
            state.currentStep = step
            for (index, slot) in state.slots.enumerated() {
                switch slot {
                case .ready(key):
                    state.slots[index] = .taken(key)
                    return .ready(index)
                case .queued(key):
                    state.slots[index] = .taken(key)
                    return .read(index)
                case .loading(key): return nil
                default: continue
                }
            }
            guard let index = Self.room(for: step, in: state) else { return .read(nil) }
            state.slots[index] = .taken(key)
            return .read(index)
        }
        switch claim {
        case .ready(let index): return buffers[index]
        case .read(let index):
            let plan = orders.plan
            let batch =
                index.map { buffers[$0] }
                ?? Microbatch(
                    capacity: plan.microbatchCapacity, shape: dataSet.description.shape,
                    targetCount: dataSet.description.targetCount)
            do throws(DataError) { try load(key, into: batch) } catch {
                recycle(batch)
                throw error
            }
            return batch
        }
    }

    /// Frees the slot of a microbatch. Does nothing for a microbatch outside the ring of buffers.
    func recycle(_ batch: Microbatch) {
        guard buffers.indices.contains(batch.ringIndex), buffers[batch.ringIndex] === batch else {
            return
        }
        // No thread waits for a free slot, so none is woken.
        monitor.look { state in
            if case .taken = state.slots[batch.ringIndex] { state.slots[batch.ringIndex] = .free }
        }
    }

    func stop() { monitor.change { $0.isStopped = true } }

    /// Reads hinted microbatches until `stop()` is called. This is the body of the loader's thread.
    func run() {
        while let (index, key) = nextQueued() {
            var isGood = true
            do throws(DataError) { try load(key, into: buffers[index]) } catch {
                // The slot becomes free. The caller of `take` reads the microbatch again and gets
                // the error.
                isGood = false
            }
            monitor.change { $0.slots[index] = isGood ? .ready(key) : .free }
            if isGood && dataSet.isReadFromFiles {
                announce(after: key)
                openAhead(after: key)
            }
        }
    }

    /// Opens the partitions of a virtual worker's stretch, at its first step in an epoch: those that
    /// fit go into memory, and the files of the others are checked.
    func open(step: Int, virtualWorker: Int) throws(DataError) {
        let epoch = orders.plan.epoch(ofStep: step)
        guard stretches.withLock({ $0[virtualWorker].epoch != epoch }) else { return }
        for piece in orders.plan.pieces(epoch: epoch, virtualWorker: virtualWorker) {
            try dataSet.open(.training, partition: piece.partition, isAhead: false)
        }
        stretches.withLock { $0[virtualWorker] = Stretch(epoch: epoch) }
    }

    /// Opens a partition of the stretch that the virtual worker has in the next epoch, in the second
    /// half of the epoch. One at a time, because that takes as long as reading its file.
    private func openAhead(after key: Key) {
        let plan = orders.plan
        let epoch = plan.epoch(ofStep: key.step) + 1
        guard 2 * plan.stepInEpoch(key.step) >= plan.stepsPerEpoch,
            epoch <= plan.epoch(ofStep: max(0, stepCount - 1))
        else { return }
        let known = stretches.withLock { $0[key.virtualWorker].next }
        var next =
            known
            ?? plan.pieces(epoch: epoch, virtualWorker: key.virtualWorker).map(\.partition)
        guard let partition = next.popLast() else { return }
        try? dataSet.open(.training, partition: partition, isAhead: true)
        let rest = next
        stretches.withLock { stretches in
            // The epoch may have begun meanwhile.
            if stretches[key.virtualWorker].epoch < epoch {
                stretches[key.virtualWorker].next = rest
            }
        }
    }

    /// Announces the records of the steps after a microbatch, as far as that has not been done.
    private func announce(after key: Key) {
        let last = min(key.step + stepsAhead, stepCount - 1)
        let known = announced.withLock { announced in
            defer { announced[key.virtualWorker] = last }
            return announced[key.virtualWorker]
        }
        // After a loss, steps are computed again.
        let first = known > last ? key.step + 1 : max(key.step + 1, known + 1)
        for step in first..<max(first, last + 1) {
            orders.records(step: step, virtualWorker: key.virtualWorker).withUnsafeBufferPointer {
                dataSet.announce(.training, records: $0)
            }
        }
    }

    /// Waits for a hint and returns the queued microbatch of the earliest step; nil after `stop()`.
    private func nextQueued() -> (Int, Key)? {
        monitor.wait { state -> (Int, Key)?? in
            if state.isStopped { return .some(nil) }
            var best: (index: Int, key: Key)?
            for (index, slot) in state.slots.enumerated() {
                guard case .queued(let key) = slot else { continue }
                if best == nil
                    || (key.step, key.virtualWorker) < (best!.key.step, best!.key.virtualWorker)
                {
                    best = (index, key)
                }
            }
            guard let best else { return nil }
            state.slots[best.index] = .loading(best.key)
            return .some((best.index, best.key))
        }
    }

    /// Reads a microbatch's records, with the random transformations of its epoch.
    private func load(_ key: Key, into batch: Microbatch) throws(DataError) {
        let plan = orders.plan
        try batch.load(
            from: dataSet, .training,
            records: orders.records(step: key.step, virtualWorker: key.virtualWorker),
            augmentation: AugmentationKey(seed: plan.seed, epoch: plan.epoch(ofStep: key.step)))
    }

    /// Returns the index of a slot that can be used for `step`; nil when there is none. A free slot
    /// is used first, then one left over from a step before the current one, then the one that was
    /// hinted at for the latest step after `step`.
    private static func room(for step: Int, in state: State) -> Int? {
        var best: (index: Int, distance: Int)?
        for (index, slot) in state.slots.enumerated() {
            switch slot {
            case .free: return index
            case .queued(let key), .ready(let key):
                let distance =
                    key.step < state.currentStep ? Int.max : key.step > step ? key.step - step : 0
                if distance > 0, distance > best?.distance ?? 0 { best = (index, distance) }
            case .loading, .taken: continue
            }
        }
        return best?.index
    }
}
