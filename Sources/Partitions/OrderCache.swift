import Synchronization

/// Keeps the orders of a plan that are in use: those of the epoch asked for last and its
/// neighbours.
///
/// Threading: any thread. Two threads that miss at once compute the same order twice, which is
/// harmless.
public final class OrderCache: Sendable {
    private struct Item {
        let epoch: Int
        let virtualWorker: Int
        let order: [UInt64]
    }

    /// The plan whose orders are kept.
    public let plan: BatchPlan
    private let items = Mutex<[Item]>([])

    /// Creates an empty cache.
    public init(plan: BatchPlan) { self.plan = plan }

    /// Returns `plan.order(epoch:virtualWorker:)` and keeps it. A miss drops the orders of epochs
    /// that are not neighbours of `epoch`.
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

    /// Returns the global numbers of the records of one microbatch, in order.
    public func records(step: Int, virtualWorker: Int) -> ArraySlice<UInt64> {
        let order = order(epoch: plan.epoch(ofStep: step), virtualWorker: virtualWorker)
        return order[plan.microbatchRange(step: step, virtualWorker: virtualWorker)]
    }
}
