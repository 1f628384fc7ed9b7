import ClusterProtocol
import CounterRandom
import TestSupport
import Testing

/// Nodes that arrive in any order, and in part twice, give the root the same bits.
@Suite struct NodeSetTests {
    /// A node set and its payloads, which are kept, forgotten and added exactly as the set says.
    private struct Store {
        var set: NodeSet
        var floats: [TreeNode: Float] = [:]

        mutating func insert(_ node: TreeNode, _ value: Float, _ totals: ContributionTotals) -> Bool {
            guard case .accepted(let replaced, let merges) = set.insert(node, totals: totals) else {
                return false
            }
            for old in replaced { #expect(floats.removeValue(forKey: old) != nil) }
            #expect(floats.updateValue(value, forKey: node) == nil)
            for merge in merges {
                #expect(merge.left.isLeft && merge.right == merge.left.sibling)
                guard let left = floats.removeValue(forKey: merge.left),
                    let right = floats.removeValue(forKey: merge.right)
                else {
                    Issue.record("a merge of nodes that are not here: \(merge)")
                    return true
                }
                floats[merge.parent] = left + right
            }
            return true
        }
    }

    /// One run's leaves, with numbers so unlike that another order of additions gives other bits.
    private struct Leaves {
        var floats: [Float] = []
        var totals: [ContributionTotals] = []

        init(_ count: Int, _ random: inout RandomStream) {
            for leaf in 0..<count {
                let magnitude = Float(sign: .plus, exponent: random.next(below: 40) - 20, significand: 1)
                floats.append((random.nextUniform() - 0.5) * magnitude)
                totals.append(
                    ContributionTotals(
                        sampleCount: 1 + random.next(below: 9),
                        lossSum: Double(random.nextUniform()) * Double(magnitude),
                        // Each leaf has a bit of its own, so a leaf counted twice shows.
                        correctCount: 1 << leaf, recordDigest: random.next(),
                        weightSum: Double(random.nextUniform()) * Double(magnitude)))
            }
        }
    }

    @Test func anySequenceGivesTheSerialSum() {
        var twins: [Int: (TreeTwin, [TreeNode])] = [:]
        for seed in TestSeed.seeds(50_000) {
            var random = RandomStream(seed: seed, purpose: .simulation)
            let leafCount = 1 + random.next(below: random.next(below: 10) == 0 ? 40 : 12)
            if twins[leafCount] == nil {
                let twin = TreeTwin(leafCount: leafCount)
                twins[leafCount] = (twin, twin.canonicalNodes)
            }
            guard let (twin, canonical) = twins[leafCount] else { continue }
            guard play(twin, canonical, &random) else {
                Issue.record("seed \(seed): V \(leafCount); set CONVOY_TEST_SEED=\(seed) to see it")
                return
            }
        }
    }

    private func play(
        _ twin: TreeTwin, _ canonical: [TreeNode], _ random: inout RandomStream
    ) -> Bool {
        let leaves = Leaves(twin.leafCount, &random)
        let tree = ReductionTree(leafCount: twin.leafCount)
        var store = Store(set: NodeSet(tree: tree))
        var covered: Set<VirtualWorkerIndex> = []
        var isGood = store.set.isEmpty
        func value(_ node: TreeNode) -> Float { twin.sum(node, leaves.floats, +) }
        func totals(_ node: TreeNode) -> ContributionTotals { twin.sum(node, leaves.totals, +) }
        func insert(_ node: TreeNode) {
            let below = Set(tree.virtualWorkers(below: node))
            let isNew = !below.isSubset(of: covered)
            let isIn = store.insert(node, value(node), totals(node))
            // When all leaves below are already here in pieces, both answers are right and neither
            // may change anything. Only a node that brings a new leaf must be taken.
            if isNew { isGood = isGood && isIn }
            covered.formUnion(below)
            isGood =
                isGood
                && store.set.missingVirtualWorkers
                    == tree.virtualWorkers.filter { !covered.contains($0) }
            for (node, float) in store.floats {
                isGood =
                    isGood && float.bitPattern == value(node).bitPattern
                    && store.set.totals(of: node) == totals(node)
            }
        }
        for _ in 0..<random.next(below: 2 * canonical.count + 1) {
            insert(canonical[random.next(below: canonical.count)])
        }
        var rest = Array(tree.virtualWorkers)
        random.shuffle(&rest)
        for virtualWorker in rest { insert(tree.canonical(.leaf(virtualWorker))) }
        let root = twin.sum(tree.root, leaves.floats, +)
        isGood =
            isGood && store.floats.count == 1
            && store.floats[tree.root]?.bitPattern == root.bitPattern
            && store.set.rootTotals == totals(tree.root)
            && store.set.rootTotals?.correctCount == (1 << twin.leafCount) - 1
        // All later nodes are covered.
        for node in canonical {
            isGood = isGood && !store.insert(node, .nan, ContributionTotals())
        }
        return isGood
    }

    @Test func whatANodeLeadsTo() {
        var set = NodeSet(tree: ReductionTree(leafCount: 5))
        let (pair, four) = (TreeNode(level: 1, index: 0), TreeNode(level: 2, index: 1))
        let quad = TreeNode(level: 2, index: 0)
        let one = ContributionTotals(sampleCount: 1)
        #expect(set.insert(four, totals: one) == .accepted(replaced: [], merges: []))
        #expect(set.insert(.leaf(1), totals: one) == .accepted(replaced: [], merges: []))
        #expect(set.insert(.leaf(1), totals: one) == .covered)
        #expect(
            set.insert(pair, totals: ContributionTotals(sampleCount: 2))
                == .accepted(replaced: [.leaf(1)], merges: []))
        #expect(set.insert(.leaf(0), totals: one) == .covered)
        #expect(set.insert(.leaf(3), totals: one) == .accepted(replaced: [], merges: []))
        #expect(set.missingVirtualWorkers.map(\.value) == [2])
        #expect(set.rootTotals == nil)
        guard case .accepted(let replaced, let merges) = set.insert(.leaf(2), totals: one) else {
            Issue.record("the last leaf was refused")
            return
        }
        #expect(replaced == [])
        #expect(merges.map(\.left) == [.leaf(2), pair, quad])
        #expect(merges.map(\.right) == [.leaf(3), TreeNode(level: 1, index: 1), four])
        #expect(
            merges.map(\.parent)
                == [TreeNode(level: 1, index: 1), quad, TreeNode(level: 3, index: 0)])
        #expect(set.rootTotals?.sampleCount == 5)
        #expect(set.missingVirtualWorkers == [])
    }

    @Test func totalsAddUp() {
        let a = ContributionTotals(
            sampleCount: 2, lossSum: 0.5, correctCount: 1, recordDigest: .max, weightSum: 1.5)
        let b = ContributionTotals(sampleCount: 3, lossSum: 0.25, correctCount: 2, recordDigest: 3)
        #expect(b.weightSum == 3)
        #expect(
            a + b
                == ContributionTotals(
                    sampleCount: 5, lossSum: 0.75, correctCount: 3, recordDigest: 2,
                    weightSum: 4.5))
    }
}
