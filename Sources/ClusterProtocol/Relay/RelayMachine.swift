/// Decides what a worker does for its neighbours in the tree. It adds their sums as they come,
/// sends the result on to the shard once all sums are there, and hands on the shard's weights.
///
/// No run depends on a relay. A worker that misses something asks the shard, and sends straight to
/// the shard from then on. A relay that has waited for long passes on what it has. A shard takes
/// every sum that it lacks, whichever way the sum comes.
public struct RelayMachine: Sendable {
    /// The sums of one chunk in one group.
    public struct Slot: Hashable, Comparable, Sendable {
        /// The chunk's number in the slice plan.
        public var chunk: ChunkIndex
        /// The node of the group.
        public var group: TreeNode

        /// Creates a slot.
        public init(chunk: ChunkIndex, group: TreeNode) {
            self.chunk = chunk
            self.group = group
        }

        /// Returns whether the first slot has a lower chunk or, for the same chunk, a lower group.
        public static func < (left: Self, right: Self) -> Bool {
            (left.chunk, left.group) < (right.chunk, right.group)
        }
    }

    /// An event that a relay takes in.
    public enum Event: Hashable, Sendable {
        /// The groups are cut at this level of the tree; with nil there are no groups.
        case configured(level: Int?)
        /// A neighbour's sum has come; `placement` is the one that the sender knows.
        case contribution(
            placement: Placement, step: Step, chunk: ChunkIndex, node: TreeNode,
            totals: ContributionTotals)
        /// This worker has received weights that others may want.
        case weights(chunk: ChunkIndex, version: Step, placement: Placement)
        /// A neighbour subscribes to a chunk's weights, from this version on.
        case follow(peer: PeerIdentity, chunk: ChunkIndex, version: Step)
        /// A neighbour ends all of its subscriptions.
        case unsubscribe(peer: PeerIdentity)
        /// Time has passed; see `nextDeadline`.
        case tick
    }

    /// An action that the runtime carries out for a relay.
    public enum Action: Hashable, Sendable {
        /// Keep the payload just received as the sum of `node`, in place of the nodes `replaced`.
        case keep(Slot, node: TreeNode, replaced: [TreeNode])
        /// Add two kept sums, parent := left + right. Left and right are not needed any more.
        case add(Slot, NodeSet.Merge)
        /// Send a kept sum on to its shard. The sum is not needed here any more.
        case passOn(
            Slot, placement: Placement, step: Step, node: TreeNode, totals: ContributionTotals)
        /// Send the payload just received on to its shard.
        case forward
        /// Drop the payload just received.
        case drop
        /// Drop everything that is kept in the slot.
        case forget(Slot)
        /// Keep the weights just received, in place of the chunk's older weights.
        case keepWeights(chunk: ChunkIndex)
        /// Drop all weights that are kept.
        case forgetWeights
        /// Send the chunk's kept weights to these peers.
        case sendWeights(
            chunk: ChunkIndex, version: Step, placement: Placement, to: [PeerIdentity])
    }

    /// The age of sums or weights. A later placement is newer; within a placement, a later step is.
    private struct Age: Hashable, Comparable {
        var placement: Placement
        var step: Step

        static func < (left: Self, right: Self) -> Bool {
            (left.placement, left.step) < (right.placement, right.step)
        }
    }

    /// The sums that have come to one slot.
    private struct Collection {
        var age: Age
        var sums: NodeSet
        /// The virtual workers whose sums are expected and have not come.
        var missing: Set<VirtualWorkerIndex>
        /// The moment when the first sum came.
        var since: Moment
        /// Whether the sums that came so far have been passed on. Later sums are passed on as they
        /// come.
        var isOpen = false
    }

    private let tree: ReductionTree
    private let audit: AuditPlan?
    /// The level of the groups' nodes; nil without groups.
    private var level: Int?
    private var collections: [Slot: Collection] = [:]
    /// The peers that get each chunk's weights from this worker.
    private var followers = Subscriptions()
    /// The age of the weights that are kept for each chunk.
    private var weights: [ChunkIndex: Age] = [:]
    /// The time from the first sum of a group to its last, smoothed; nil before it is known.
    private var usualSpread: Duration?

    /// Creates a relay that has no groups yet.
    ///
    /// - Parameters:
    ///   - tree: the run's reduction tree.
    ///   - audit: the choice of audited virtual workers; nil without audits.
    public init(tree: ReductionTree, audit: AuditPlan? = nil) {
        self.tree = tree
        self.audit = audit
    }

    /// Takes in an event and returns the actions to carry out, in order.
    public mutating func step(_ event: Event, now: Moment) -> [Action] {
        switch event {
        case .configured(let level):
            guard level != self.level else { return [] }
            self.level = level
            let actions = collections.keys.sorted().flatMap { open($0) }
            collections = [:]
            guard level == nil else { return actions }
            followers = Subscriptions()
            weights = [:]
            return actions + [.forgetWeights]
        case .contribution(let placement, let step, let chunk, let node, let totals):
            return take(
                Age(placement: placement, step: step), chunk, node, totals, now: now)
        case .weights(let chunk, let version, let placement):
            let age = Age(placement: placement, step: version)
            guard weights[chunk].map({ $0 < age }) ?? true else { return [] }
            weights[chunk] = age
            return [.keepWeights(chunk: chunk)] + send(chunk, to: followers.peers(ofChunk: chunk))
        case .follow(let peer, let chunk, let version):
            followers.add(peer, chunk: chunk)
            guard let here = weights[chunk], here.step >= version else { return [] }
            return send(chunk, to: [peer])
        case .unsubscribe(let peer):
            followers.remove(peer)
            return []
        case .tick:
            return collections.keys.sorted().filter { isLate($0, now: now) }.flatMap { open($0) }
        }
    }

    /// The moment when `tick` is wanted next; nil when no slot waits.
    public var nextDeadline: Moment? {
        collections.values.lazy.filter { !$0.isOpen }.map { $0.since + self.patience }.min()
    }

    // MARK: Sums

    private mutating func take(
        _ age: Age, _ chunk: ChunkIndex, _ node: TreeNode, _ totals: ContributionTotals, now: Moment
    ) -> [Action] {
        guard tree.contains(node) else { return [.drop] }
        let node = tree.canonical(node)
        guard let level, node.level < level else { return [.forward] }
        let span = tree.virtualWorkers(below: node)
        // The shard must know which worker computed an audited gradient, and a relay would hide it.
        if let audit, span.contains(where: { audit.isAudited(step: age.step, virtualWorker: $0) }) {
            return [.drop]
        }
        let group = TreeNode(level: level, index: span.lowerBound.value >> level)
        let slot = Slot(chunk: chunk, group: group)
        var actions: [Action] = []
        if let present = collections[slot]?.age, present != age {
            // The shard knows whether a late sum is of any use.
            guard present < age else { return [.forward] }
            actions.append(.forget(slot))
            collections[slot] = nil
        }
        var collection =
            collections[slot]
            ?? Collection(
                age: age, sums: NodeSet(tree: tree), missing: expected(of: group, in: age.step),
                since: now)
        guard
            case .accepted(let replaced, let merges) = collection.sums.insert(
                node, totals: totals)
        else { return actions + [.drop] }
        collection.missing.subtract(span)
        collections[slot] = collection
        if collection.missing.isEmpty { learn(now - collection.since) }
        if collection.isOpen { return actions + [.forward] }
        actions.append(.keep(slot, node: node, replaced: replaced))
        actions += merges.map { .add(slot, $0) }
        return collection.missing.isEmpty ? actions + open(slot) : actions
    }

    /// Returns the virtual workers that the sums of a group cover in a step. Audited virtual
    /// workers are compared one by one and go straight to the shards.
    private func expected(of group: TreeNode, in step: Step) -> Set<VirtualWorkerIndex> {
        Set(
            tree.virtualWorkers(below: group).filter {
                audit?.isAudited(step: step, virtualWorker: $0) != true
            })
    }

    /// Passes on the sums that are in the slot. Later sums will be passed on as they come.
    private mutating func open(_ slot: Slot) -> [Action] {
        guard let collection = collections[slot], !collection.isOpen else { return [] }
        collections[slot]?.isOpen = true
        return collection.sums.nodes.map { node, totals in
            .passOn(
                slot, placement: collection.age.placement, step: collection.age.step, node: node,
                totals: totals)
        }
    }

    // MARK: Waiting

    private func isLate(_ slot: Slot, now: Moment) -> Bool {
        guard let collection = collections[slot], !collection.isOpen else { return false }
        return now - collection.since >= patience
    }

    /// How long a group's missing sums are waited for: twice as long as they usually take after the
    /// first sum, at least 5 ms.
    private var patience: Duration {
        max(.milliseconds(5), (usualSpread ?? .milliseconds(25)) * 2)
    }

    /// Takes in the time from the first sum of a group to its last; more than 10 s counts as 10 s.
    private mutating func learn(_ spread: Duration) {
        let usual = usualSpread ?? .zero
        let spread = min(spread, .seconds(10))
        usualSpread = usualSpread == nil ? spread : usual * 0.8 + spread * 0.2
    }

    // MARK: Weights

    private func send(_ chunk: ChunkIndex, to peers: [PeerIdentity]) -> [Action] {
        guard !peers.isEmpty, let age = weights[chunk] else { return [] }
        return [
            .sendWeights(chunk: chunk, version: age.step, placement: age.placement, to: peers)
        ]
    }
}
