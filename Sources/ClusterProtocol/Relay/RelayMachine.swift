/// Decides what a worker does for its neighbours in the tree: it adds their sums as they come, sends
/// the result on to the shard once all are there, and hands on the shard's weights.
///
/// A relay is a convenience and never a necessity. Whoever misses something asks the shard and sends
/// straight to it from then on, and a relay that waits for long passes on what it has. A shard takes
/// whatever it has not, by whatever way it comes.
public struct RelayMachine: Sendable {
    /// The sums of one chunk in one group.
    public struct Slot: Hashable, Comparable, Sendable {
        public var chunk: Int
        public var group: TreeNode

        public init(chunk: Int, group: TreeNode) {
            self.chunk = chunk
            self.group = group
        }

        public static func < (left: Self, right: Self) -> Bool {
            (left.chunk, left.group) < (right.chunk, right.group)
        }
    }

    public enum Event: Hashable, Sendable {
        /// The groups are cut at this level of the tree; nil: there are none.
        case configured(level: Int?)
        /// A neighbour's sum; `placement` is the sender's.
        case contribution(
            placement: Int, step: Step, chunk: Int, node: TreeNode, totals: ContributionTotals)
        /// Weights that this worker has got and others may want.
        case weights(chunk: Int, version: Step, placement: Int)
        /// A neighbour wants a chunk's weights from this version on.
        case follow(peer: PeerIdentity, chunk: Int, version: Step)
        case unsubscribe(peer: PeerIdentity)
        case tick
    }

    public enum Action: Hashable, Sendable {
        /// Keep the payload just received as `node`, in place of `replaced`.
        case keep(Slot, node: TreeNode, replaced: [TreeNode])
        /// parent := left + right; left and right are not needed any more.
        case add(Slot, NodeSet.Merge)
        /// Send a sum that is kept on to its shard; it is not needed here any more.
        case passOn(Slot, placement: Int, step: Step, node: TreeNode, totals: ContributionTotals)
        /// Send the payload just received on to its shard.
        case forward
        /// Drop the payload just received.
        case drop
        /// Nothing of the slot is needed any more.
        case forget(Slot)
        /// Keep the weights just received in place of older ones.
        case keepWeights(chunk: Int)
        /// No weights are needed any more.
        case forgetWeights
        /// Send the weights of the chunk that are kept.
        case sendWeights(chunk: Int, version: Step, placement: Int, to: [PeerIdentity])
    }

    /// How far the weights of a placement are; what comes later counts more.
    private struct Age: Hashable, Comparable {
        var placement: Int
        var step: Step

        static func < (left: Self, right: Self) -> Bool {
            (left.placement, left.step) < (right.placement, right.step)
        }
    }

    private struct Collection {
        var age: Age
        var sums: NodeSet
        var missing: Set<Int>
        var since: Moment
        /// What was there has been passed on, and what comes now is too, as it comes.
        var isOpen = false
    }

    private let tree: ReductionTree
    private let audit: AuditPlan?
    private var level: Int?
    private var collections: [Slot: Collection] = [:]
    private var followers = Subscriptions()
    private var weights: [Int: Age] = [:]
    /// From the first sum of a group to its last, smoothed.
    private var usualSpread: Duration?

    public init(tree: ReductionTree, audit: AuditPlan? = nil) {
        self.tree = tree
        self.audit = audit
    }

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

    /// When `tick` is wanted, if at all.
    public var nextDeadline: Moment? {
        collections.values.lazy.filter { !$0.isOpen }.map { $0.since + self.patience }.min()
    }

    // MARK: Sums

    private mutating func take(
        _ age: Age, _ chunk: Int, _ node: TreeNode, _ totals: ContributionTotals, now: Moment
    ) -> [Action] {
        guard tree.contains(node) else { return [.drop] }
        let node = tree.canonical(node)
        guard let level, node.level < level else { return [.forward] }
        let leaves = tree.leaves(of: node)
        // Whose opinion an audited leaf is would be hidden.
        if let audit, leaves.contains(where: { audit.isAudited(step: age.step, leaf: $0) }) {
            return [.drop]
        }
        let group = TreeNode(level: level, index: leaves.lowerBound >> level)
        let slot = Slot(chunk: chunk, group: group)
        var actions: [Action] = []
        if let present = collections[slot]?.age, present != age {
            // The shard knows whether what is late is of any use.
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
        collection.missing.subtract(leaves)
        collections[slot] = collection
        if collection.missing.isEmpty { learn(now - collection.since) }
        if collection.isOpen { return actions + [.forward] }
        actions.append(.keep(slot, node: node, replaced: replaced))
        actions += merges.map { .add(slot, $0) }
        return collection.missing.isEmpty ? actions + open(slot) : actions
    }

    /// What is compared leaf by leaf goes straight to the shards.
    private func expected(of group: TreeNode, in step: Step) -> Set<Int> {
        Set(tree.leaves(of: group).filter { audit?.isAudited(step: step, leaf: $0) != true })
    }

    /// Passes on what is there.
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

    /// A group whose last sum usually comes long after its first is waited for that long.
    private var patience: Duration {
        max(.milliseconds(5), (usualSpread ?? .milliseconds(25)) * 2)
    }

    private mutating func learn(_ spread: Duration) {
        let usual = usualSpread ?? .zero
        let spread = min(spread, .seconds(10))
        usualSpread = usualSpread == nil ? spread : usual * 0.8 + spread * 0.2
    }

    // MARK: Weights

    private func send(_ chunk: Int, to peers: [PeerIdentity]) -> [Action] {
        guard !peers.isEmpty, let age = weights[chunk] else { return [] }
        return [
            .sendWeights(chunk: chunk, version: age.step, placement: age.placement, to: peers)
        ]
    }
}
