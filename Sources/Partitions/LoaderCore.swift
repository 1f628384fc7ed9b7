import Threads

/// What the loader's thread and its callers share.
final class LoaderCore: Sendable {
    private struct Key: Equatable {
        let step: Int
        let virtualWorker: Int
    }

    private enum Slot {
        case free
        /// Wanted, not begun.
        case queued(Key)
        /// Being read by the loader's thread.
        case loading(Key)
        case ready(Key)
        /// With a caller, who may still be reading it.
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
        /// Last step that was taken.
        var currentStep = 0
    }

    /// What a taker has to do.
    private enum Claim {
        case ready(Int)
        /// Read it into this buffer; a new one when nil.
        case read(Int?)
    }

    private let dataSet: DataSet
    private let orders: OrderCache
    private let buffers: [Microbatch]
    private let monitor: Monitor<State>

    init(dataSet: DataSet, plan: BatchPlan, bufferCount: Int) {
        self.dataSet = dataSet
        orders = OrderCache(plan: plan)
        buffers = (0..<bufferCount).map {
            Microbatch(
                capacity: plan.microbatchCapacity, shape: dataSet.description.shape, ringIndex: $0)
        }
        monitor = Monitor(State(slots: Array(repeating: .free, count: bufferCount)))
    }

    func hint(step: Int, virtualWorker: Int) {
        let key = Key(step: step, virtualWorker: virtualWorker)
        // Known already, as most hints are: nobody is woken for that.
        guard !monitor.look({ $0.slots.contains { $0.key == key } }) else { return }
        monitor.change { state in
            guard !state.isStopped, !state.slots.contains(where: { $0.key == key }),
                let index = Self.room(for: step, in: state)
            else { return }
            state.slots[index] = .queued(key)
        }
    }

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
                ?? Microbatch(capacity: plan.microbatchCapacity, shape: dataSet.description.shape)
            do throws(DataError) { try load(key, into: batch) } catch {
                recycle(batch)
                throw error
            }
            return batch
        }
    }

    func recycle(_ batch: Microbatch) {
        guard buffers.indices.contains(batch.ringIndex), buffers[batch.ringIndex] === batch else {
            return
        }
        // Nobody waits for room.
        monitor.look { state in
            if case .taken = state.slots[batch.ringIndex] { state.slots[batch.ringIndex] = .free }
        }
    }

    func stop() { monitor.change { $0.isStopped = true } }

    /// The loader's thread.
    func run() {
        while let (index, key) = nextQueued() {
            var isGood = true
            do throws(DataError) { try load(key, into: buffers[index]) } catch {
                // The taker reads it again and gets the error.
                isGood = false
            }
            monitor.change { $0.slots[index] = isGood ? .ready(key) : .free }
        }
    }

    /// Waits for a hint, earliest step first; nil when stopped.
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

    private func load(_ key: Key, into batch: Microbatch) throws(DataError) {
        let plan = orders.plan
        try batch.load(
            from: dataSet, .training,
            records: orders.records(step: key.step, virtualWorker: key.virtualWorker),
            augmentation: AugmentationKey(seed: plan.seed, epoch: plan.epoch(ofStep: key.step)))
    }

    /// A free slot, or one that nobody will want before `step`: left over from a step that has
    /// passed, or hinted at for a later one.
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
