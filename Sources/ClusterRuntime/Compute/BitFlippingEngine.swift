import NeuralNetwork
import Partitions
import RunFiles
import Synchronization

/// An engine that flips one bit of one gradient, so that a test can see an audit catch it.
///
/// Everything else is the other engine's work.
package final class BitFlippingEngine: GradientEngine {
    private let engine: any GradientEngine
    private let records: Set<UInt64>
    private let epoch: Int
    private let flip: Flip

    /// Whether the bit was flipped, for all engines of a process together.
    private final class Flip: Sendable {
        private let isDone = Atomic(false)

        /// Returns true once.
        func takeTurn() -> Bool { !isDone.exchange(true, ordering: .relaxed) }
    }

    /// Returns a maker of engines of which one flips a bit, once, in the first gradient that it
    /// computes in a step.
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
        // A record is used once an epoch, so the records of a step tell it from all others.
        let orders = OrderCache(plan: plan)
        records = Set(
            (0..<plan.virtualWorkerCount).flatMap {
                orders.records(step: step, virtualWorker: $0)
            })
    }

    package var network: Network { engine.network }

    package func setParameters(_ parameters: UnsafePointer<Float>, ofLayer layer: Int) {
        engine.setParameters(parameters, ofLayer: layer)
    }

    package func computeGradient(
        _ batch: MicrobatchView, epoch: Int, into gradient: UnsafeMutablePointer<Float>,
        _ observer: GradientObserver
    ) -> BatchStatistics? {
        let statistics = engine.computeGradient(batch, epoch: epoch, into: gradient, observer)
        guard statistics != nil, epoch == self.epoch, batch.count > 0,
            records.contains(batch.records[0]), flip.takeTurn()
        else { return statistics }
        // The first element is final last. The bit is one that rounding on the wire does not hide.
        gradient[0] = Float(bitPattern: gradient[0].bitPattern ^ 1 << 20)
        return statistics
    }

    package func evaluate(
        _ batch: MicrobatchView, logits: UnsafeMutablePointer<Float>?
    ) -> BatchStatistics {
        engine.evaluate(batch, logits: logits)
    }

    package func outputs(images: UnsafePointer<Float>, count: Int) -> [Float] {
        engine.outputs(images: images, count: count)
    }

    package func gradients(
        images: UnsafePointer<Float>, count: Int, outputGradient: [Float]
    ) -> (input: [Float], parameters: [Float]) {
        engine.gradients(images: images, count: count, outputGradient: outputGradient)
    }
}
