import ClusterProtocol
import CounterRandom

/// A run of a ``SimulatedProblem`` in one thread.
package struct SerialRun: Sendable {
    /// The weights of every version, from 0 to the one that the run ends with.
    package var versions: [[Float]]
    /// What was decided from the evaluation of each step.
    package var judgements: [Step: Judgement] = [:]
    /// The last of these.
    package var judgement: Judgement?

    /// The number of steps.
    package var stepCount: Int { versions.count - 1 }
    /// The number of times that the learning rate was reduced.
    package var reductionCount: Int { Set(judgements.values.map(\.rateFactor)).subtracting([1]).count }
}

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
    /// The largest norm of a gradient; nil for no clipping.
    package let clipNorm: Float?
    /// The number of parts of a chunk's state: weights and one momentum.
    package static let partCount = 2

    /// Creates the problem of a seed.
    package init(
        seed: UInt64, virtualWorkerCount: Int, plan: SlicePlan, clipNorm: Float? = nil
    ) {
        self.seed = seed
        self.clipNorm = clipNorm
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

    /// Returns the sums of squares of the blocks of a range, which begins with a block.
    package func squares(_ sum: [Float]) -> [Float] {
        stride(from: 0, to: sum.count, by: plan.granularity).map { start in
            sum[start..<min(sum.count, start + plan.granularity)].reduce(0) { $0 + $1 * $1 }
        }
    }

    /// Returns the factor of a gradient, from the sums of squares of all blocks. The order in which
    /// blocks are added is fixed, and unlike any cut of the vector.
    package func factor(_ squares: [Float], weightSum: Double) -> Float {
        guard let clipNorm else { return 1 }
        let even = stride(from: 0, to: squares.count, by: 2).reduce(0) { $0 + squares[$1] }
        let odd = stride(from: 1, to: squares.count, by: 2).reduce(0) { $0 + squares[$1] }
        let norm = (even + odd).squareRoot() / Float(weightSum)
        return min(1, clipNorm / (norm + 1e-6))
    }

    /// Computes one update of any range of the vector.
    ///
    /// - Parameters:
    ///   - factor: what the gradient is multiplied by, because it is clipped.
    ///   - rateFactor: what the rate is multiplied by.
    package static func update(
        weights: [Float], momentum: [Float], sum: [Float], weightSum: Double, factor: Float,
        rateFactor: Double = 1
    ) -> (weights: [Float], momentum: [Float]) {
        let moved = zip(momentum, sum).map { 0.9 * $0 + $1 * factor / Float(weightSum) }
        let rate = Float(0.05 * rateFactor)
        return (zip(weights, moved).map { $0 - rate * $1 }, moved)
    }

    /// Computes a run by one thread in a loop.
    package func serialRun(_ settings: SimulationSettings) -> SerialRun {
        var run = SerialRun(versions: [initialWeights])
        var momentum = [Float](repeating: 0, count: plan.parameterCount)
        for step in 0..<settings.totalSteps {
            var weights = run.versions[step]
            let (sum, totals) = node(tree.root, step: Step(step), weights: weights)
            (weights, momentum) = Self.update(
                weights: weights, momentum: momentum, sum: sum, weightSum: totals.weightSum,
                factor: factor(squares(sum), weightSum: totals.weightSum),
                rateFactor: run.judgement?.rateFactor ?? 1)
            run.versions.append(weights)
            let isEpochEnd = (step + 1).isMultiple(of: settings.stepsPerEpoch)
            guard isEpochEnd, settings.evaluationChunkCount > 0 else { continue }
            let evaluation = evaluation(step: Step(step + 1), weights, settings)
            run.judgement = settings.rules.judge(evaluation, after: run.judgement)
            if let judgement = run.judgement { run.judgements[Step(step + 1)] = judgement }
            if run.judgement?.endsRun == true { break }
        }
        return run
    }

    /// Returns the result of one chunk of test records. Where something is decided from the
    /// accuracy, it depends on the weights.
    func evaluationResult(
        _ chunk: EvaluationChunkIndex, weights: [Float], _ settings: SimulationSettings
    ) -> EvaluationResult {
        let loss = weights.reduce(Double(chunk.value)) { $0 * 0.5 + Double($1) }
        let isDeciding = settings.rules != EvaluationRules()
        let correct = isDeciding ? Int(loss.bitPattern >> 20 & 0xFF) * 10 / 0xFF : chunk.value
        return EvaluationResult(
            chunk: chunk, recordCount: 10, correctCount: correct, lossSum: loss)
    }

    /// Returns the evaluation of all chunks, added in chunk order.
    func evaluation(
        step: Step, _ weights: [Float], _ settings: SimulationSettings
    ) -> EvaluationSummary {
        let results = (0..<settings.evaluationChunkCount).map {
            evaluationResult(EvaluationChunkIndex($0), weights: weights, settings)
        }
        return EvaluationSummary(
            step: step, recordCount: results.reduce(0) { $0 + $1.recordCount },
            correctCount: results.reduce(0) { $0 + $1.correctCount },
            lossSum: results.reduce(0) { $0 + Double(bitPattern: $1.lossBits) }, trainingSeconds: 0)
    }

    /// Returns the totals of a step, computed serially with the given weights.
    package func serialTotals(step: Int, weights: [Float]) -> ContributionTotals {
        node(tree.root, step: Step(step), weights: weights).1
    }
}
