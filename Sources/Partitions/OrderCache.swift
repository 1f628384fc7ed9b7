import Synchronization

/// Keeps the orders of a plan that are in use: those of the present epoch and its neighbours.
///
/// Threading: any thread. Two that miss at once compute the same order twice, which changes
/// nothing.
public final class OrderCache: Sendable {
    private struct Item {
        let epoch: Int
        let virtualWorker: Int
        let order: [UInt64]
    }

    public let plan: BatchPlan
    private let items = Mutex<[Item]>([])

    public init(plan: BatchPlan) { self.plan = plan }

    public func order(epoch: Int, virtualWorker: Int) -> [UInt64] {
        let known = items.withLock { items in
            items.first { $0.epoch == epoch && $0.virtualWorker == virtualWorker }?.order
        }
        if let known { return known }
        let order = plan.order(epoch: epoch, virtualWorker: virtualWorker)
        items.withLock { items in
            items.removeAll {
                abs($0.epoch - epoch) > 1
                    || ($0.epoch == epoch && $0.virtualWorker == virtualWorker)
            }
            items.append(Item(epoch: epoch, virtualWorker: virtualWorker, order: order))
        }
        return order
    }

    /// The records of one microbatch.
    public func records(step: Int, virtualWorker: Int) -> ArraySlice<UInt64> {
        let order = order(epoch: plan.epoch(ofStep: step), virtualWorker: virtualWorker)
        return order[plan.microbatchRange(step: step, virtualWorker: virtualWorker)]
    }
}
