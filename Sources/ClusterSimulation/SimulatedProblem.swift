import ClusterProtocol
import CounterRandom

/// A training problem of a few floats in which every gradient depends on every bit of the weights.
///
/// Wrong weights in a worker, a sum in the wrong order or a contribution counted twice make the
/// weights differ from those of the serial computation, in the very step where the error happened.
package struct SimulatedProblem: Sendable {
    /// The reduction tree over the virtual workers.
    package let tree: ReductionTree
    /// The division of the weights into shards and chunks.
    package let plan: SlicePlan
    /// The seed of all random numbers of the problem.
    package let seed: UInt64
    /// The number of parts of a chunk's state: weights and one momentum.
    package static let partCount = 2

    /// Creates the problem of a seed.
    package init(seed: UInt64, virtualWorkerCount: Int, plan: SlicePlan) {
        self.seed = seed
        tree = ReductionTree(leafCount: virtualWorkerCount)
        self.plan = plan
    }

    /// The weights of version 0.
    package var initialWeights: [Float] {
        var stream = RandomStream(seed: seed, purpose: .initialWeights)
        return (0..<plan.parameterCount).map { _ in stream.nextUniform() - 0.5 }
    }

    /// Returns the gradient sum of one virtual worker.
    package func gradient(
        of virtualWorker: VirtualWorkerIndex, step: Step, weights: [Float]
    ) -> ([Float], ContributionTotals) {
        let number = virtualWorker.value
        var stream = RandomStream(
            seed: seed, purpose: .simulation, UInt64(step.value), UInt64(number))
        let neighbour = weights[1...] + weights[..<1]
        let gradient = zip(weights, neighbour).map { weight, other in
            (stream.nextUniform() - 0.5) * (1 + other) + weight * 0.1
        }
        let totals = ContributionTotals(
            sampleCount: 1 + number % 3, lossSum: Double(stream.nextUniform()),
            correctCount: number % 2,
            recordDigest: mix64(UInt64(step.value) << 20 | UInt64(number)),
            weightSum: 0.5 + Double(stream.nextUniform()))
        return (gradient, totals)
    }

    /// Returns the sum of a tree node: its leaves, added in the shape of the tree.
    package func node(
        _ node: TreeNode, step: Step, weights: [Float]
    ) -> ([Float], ContributionTotals) {
        if node.level == 0 {
            return gradient(of: VirtualWorkerIndex(node.index), step: step, weights: weights)
        }
        let left = TreeNode(level: node.level - 1, index: node.index << 1)
        let first = self.node(left, step: step, weights: weights)
        guard tree.contains(left.sibling) else { return first }
        let second = self.node(left.sibling, step: step, weights: weights)
        return (Self.sum(first.0, second.0), first.1 + second.1)
    }

    static func sum(_ left: [Float], _ right: [Float]) -> [Float] { zip(left, right).map { $0 + $1 } }

    /// Computes one update of any range of the vector.
    package static func update(
        weights: [Float], momentum: [Float], sum: [Float], weightSum: Double
    ) -> (weights: [Float], momentum: [Float]) {
        let moved = zip(momentum, sum).map { 0.9 * $0 + $1 / Float(weightSum) }
        return (zip(weights, moved).map { $0 - 0.05 * $1 }, moved)
    }

    /// Returns the weights of every version from 0 to `steps`, computed by one thread in a loop.
    package func serialVersions(steps: Int) -> [[Float]] {
        var weights = initialWeights
        var momentum = [Float](repeating: 0, count: weights.count)
        var versions = [weights]
        for step in 0..<steps {
            let (sum, totals) = node(tree.root, step: Step(step), weights: weights)
            (weights, momentum) = Self.update(
                weights: weights, momentum: momentum, sum: sum, weightSum: totals.weightSum)
            versions.append(weights)
        }
        return versions
    }

    /// Returns the totals of a step, computed serially with the given weights.
    package func serialTotals(step: Int, weights: [Float]) -> ContributionTotals {
        node(tree.root, step: Step(step), weights: weights).1
    }
}
