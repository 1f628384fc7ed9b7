import NeuralNetwork
import Partitions
import RunFiles
import Synchronization

/// An engine that flips one bit of one gradient, so that a test can see an audit detect it. Another
/// engine does everything else.
package final class BitFlippingEngine: GradientEngine {
    private let engine: any GradientEngine
    /// The records of the step in which the bit is flipped.
    private let records: Set<UInt64>
    private let epoch: Int
    private let flip: Flip

    /// Whether the bit was flipped, for all engines of a process together.
    private final class Flip: Sendable {
        private let isDone = Atomic(false)

        /// Returns true for the first call only.
        func takeTurn() -> Bool { !isDone.exchange(true, ordering: .relaxed) }
    }

    /// Returns a maker of engines that together flip one bit, once, in the first gradient that one
    /// of them computes in a step.
    package static func maker(flippingInStep step: Int) -> EngineMaker {
        let flip = Flip()
        return { (material, usual) throws(BackendError) in
            BitFlippingEngine(try usual(), step: step, plan: material.batchPlan, flip)
        }
    }

    private init(
        _ engine: any GradientEngine, step: Int, plan: BatchPlan, _ flip: Flip
    ) {
        self.engine = engine
        self.flip = flip
        epoch = plan.epoch(ofStep: step)
        // Each record is used once in an epoch, so the records of a step tell it from all other
        // steps of the epoch.
        let orders = OrderCache(plan: plan)
        records = Set(
            (0..<plan.virtualWorkerCount).flatMap {
                orders.records(step: step, virtualWorker: $0)
            })
    }

    /// The other engine's network.
    package var network: Network { engine.network }

    /// Gives the parameters of a layer to the other engine.
    package func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
        engine.setParameters(parameters, ofLayer: layer)
    }

    /// Computes a gradient, and flips the bit when it is this gradient's turn.
    package func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
        _ observer: GradientObserver
    ) -> BatchStatistics? {
        let statistics = engine.computeGradient(batch, epoch: epoch, into: gradient, observer)
        guard statistics != nil, epoch == self.epoch, batch.count > 0,
            records.contains(batch.records[0]), flip.takeTurn()
        else { return statistics }
        // The first element is final last, so it was not handed over yet. The rounding to bf16 does
        // not hide this bit.
        gradient[0] = Float(bitPattern: gradient[0].bitPattern ^ 1 << 20)
        return statistics
    }

    /// Evaluates a microbatch with the other engine.
    package func evaluate(
        _ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?
    ) -> BatchStatistics {
        engine.evaluate(batch, logits: logits)
    }

    /// Returns the outputs that the other engine computes.
    package func outputs(images: UnsafePointer<Float>, count: Int) -> [Float] {
        engine.outputs(images: images, count: count)
    }

    /// Returns the gradients that the other engine computes.
    package func gradients(
        images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
    ) -> (outputs: [Float], input: [Float], parameters: [Float]) {
        engine.gradients(images: images, count: count, outputGradient: outputGradient)
    }
}
