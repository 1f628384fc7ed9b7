import ClusterProtocol
import CounterRandom
import TestSupport
import Testing

/// Compares every tree of up to 70 leaves with a plain twin.
@Suite struct ReductionTreeTests {
    @Test func shapeEqualsTheTwins() {
        for leafCount in 1...70 {
            let tree = ReductionTree(leafCount: leafCount)
            let twin = TreeTwin(leafCount: leafCount)
            #expect(tree.height == twin.height)
            #expect(tree.root == TreeNode(level: twin.height, index: 0))
            for level in -1...(twin.height + 2) {
                for index in -1...(leafCount + 1) {
                    let node = TreeNode(level: level, index: index)
                    #expect(tree.contains(node) == (twin.nodes[node] != nil), "V \(leafCount) \(node)")
                    guard let leaves = twin.nodes[node] else { continue }
                    #expect(
                        tree.virtualWorkers(below: node).map(\.value) == leaves,
                        "V \(leafCount) \(node)")
                    let canonical = twin.canonical(node)
                    #expect(tree.canonical(node) == canonical, "V \(leafCount) \(node)")
                }
            }
        }
    }

    /// Every contiguous range, and random sets, are covered exactly, by maximal nodes, in order.
    @Test func maximalNodesCoverExactly() {
        for leafCount in 1...70 {
            let tree = ReductionTree(leafCount: leafCount)
            let canonical = TreeTwin(leafCount: leafCount).canonicalNodes.map {
                ($0, Set(tree.virtualWorkers(below: $0)))
            }
            for lower in 0..<leafCount {
                for upper in lower...leafCount {
                    let range = VirtualWorkerIndex(lower)..<VirtualWorkerIndex(upper)
                    check(tree, canonical, Array(range), "range")
                }
            }
            for seed in TestSeed.seeds(100) {
                var random = RandomStream(seed: seed, purpose: .simulation, UInt64(leafCount))
                let share = random.nextUniform()
                var some = tree.virtualWorkers.filter { _ in random.nextUniform() < share }
                random.shuffle(&some)
                check(tree, canonical, some, "seed \(seed)")
            }
        }
    }

    private func check(
        _ tree: ReductionTree, _ canonical: [(TreeNode, Set<VirtualWorkerIndex>)],
        _ virtualWorkers: [VirtualWorkerIndex], _ label: String
    ) {
        let wanted = Set(virtualWorkers)
        // The nodes within the set that no other node within the set contains: the one smallest
        // exact cover.
        let within = canonical.filter { $0.1.isSubset(of: wanted) }
        let maximal = within.filter { node in
            !within.contains { $0.1.isStrictSuperset(of: node.1) }
        }
        let expected = maximal.sorted { $0.1.min()! < $1.1.min()! }.map(\.0)
        let found = tree.maximalNodes(covering: virtualWorkers)
        #expect(
            found == expected, "\(label): V \(tree.leafCount), wanted \(virtualWorkers.sorted())")
        let covered = found.flatMap { Array(tree.virtualWorkers(below: $0)) }
        #expect(covered == virtualWorkers.sorted(), "\(label): V \(tree.leafCount)")
    }

    private func nodes(_ virtualWorkers: [Int], of tree: ReductionTree) -> [TreeNode] {
        tree.maximalNodes(covering: virtualWorkers.map(VirtualWorkerIndex.init))
    }

    @Test func virtualWorkersThatDoNotExistAreNobodys() {
        let tree = ReductionTree(leafCount: 5)
        #expect(nodes([], of: tree) == [])
        #expect(nodes([5, 6, 7], of: tree) == [])
        #expect(nodes([4, 5, 6, 7], of: tree) == [TreeNode(level: 2, index: 1)])
    }

    /// The tree of five leaves, written out: leaf 4 has no sibling, so its canonical node is 2.1.
    @Test func fiveLeaves() {
        let tree = ReductionTree(leafCount: 5)
        let four = TreeNode(level: 2, index: 1)
        #expect(tree.height == 3)
        #expect(tree.canonical(.leaf(4)) == four)
        #expect(tree.canonical(TreeNode(level: 1, index: 2)) == four)
        #expect(tree.canonical(four) == four)
        #expect(tree.virtualWorkers(below: four).map(\.value) == [4])
        #expect(tree.canonical(.leaf(3)) == .leaf(3))
        #expect(nodes([0, 1, 2, 3, 4], of: tree) == [tree.root])
        #expect(nodes([0, 1, 2, 3], of: tree) == [TreeNode(level: 2, index: 0)])
        #expect(
            nodes([1, 2, 3, 4], of: tree)
                == [.leaf(1), TreeNode(level: 1, index: 1), four])
    }

    /// Every node of every tree is cut into parts of every size: the leaves and their order stay,
    /// no part is too large, and no part could be larger.
    @Test func partsAreTheLargestThatAreSmallEnough() {
        for leafCount in 1...40 {
            let tree = ReductionTree(leafCount: leafCount)
            let twin = TreeTwin(leafCount: leafCount)
            for node in twin.nodes.keys.sorted() {
                for limit in -1...(leafCount + 1) {
                    check(tree, twin, tree.parts(of: node, leafCountAtMost: limit), of: node, limit)
                }
            }
        }
    }

    private func check(
        _ tree: ReductionTree, _ twin: TreeTwin, _ parts: [TreeNode], of node: TreeNode,
        _ limit: Int
    ) {
        let label = "V \(tree.leafCount), \(node), at most \(limit): \(parts)"
        #expect(parts.flatMap { twin.nodes[$0] ?? [] } == twin.nodes[node], "\(label)")
        #expect(parts.allSatisfy { twin.canonical($0) == $0 }, "\(label)")
        for part in parts {
            let count = twin.nodes[part]?.count ?? 0
            #expect(count <= max(1, limit) || count == 1, "\(label)")
            // The parent of a part is too large or lies above `node`.
            guard part != twin.canonical(node) else { continue }
            #expect((twin.nodes[part.parent]?.count ?? 0) > max(1, limit), "\(label)")
        }
    }

    @Test func partsOfSevenLeaves() {
        let tree = ReductionTree(leafCount: 7)
        let six = TreeNode(level: 1, index: 3)
        let pairs = (0..<3).map { TreeNode(level: 1, index: $0) }
        #expect(tree.parts(of: tree.root, leafCountAtMost: 7) == [tree.root])
        #expect(
            tree.parts(of: tree.root, leafCountAtMost: 4)
                == [TreeNode(level: 2, index: 0), TreeNode(level: 2, index: 1)])
        #expect(
            tree.parts(of: tree.root, leafCountAtMost: 3)
                == [pairs[0], pairs[1], TreeNode(level: 2, index: 1)])
        #expect(tree.parts(of: tree.root, leafCountAtMost: 2) == pairs + [six])
        #expect(tree.parts(of: tree.root, leafCountAtMost: 1) == (0..<6).map { .leaf($0) } + [six])
        #expect(tree.parts(of: .leaf(6), leafCountAtMost: 0) == [six])
    }

    @Test func theLargestTreeIsWhole() {
        let tree = ReductionTree(leafCount: ReductionTree.maximumLeafCount)
        #expect(tree.height == 16)
        #expect(tree.virtualWorkers(below: tree.root).count == ReductionTree.maximumLeafCount)
        #expect(!tree.contains(TreeNode(level: 17, index: 0)))
        #expect(!tree.contains(TreeNode(level: Int.max, index: Int.max)))
        #expect(tree.maximalNodes(covering: Array(tree.virtualWorkers)) == [tree.root])
    }
}
