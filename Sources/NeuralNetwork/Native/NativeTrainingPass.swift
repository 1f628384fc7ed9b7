/// A training step with the run's loss.
final class NativeTrainingPass: NativePass {
    let tiles: [NativeTile]
    let gradient: UnsafeMutablePointer<Float>
    private let batch: MicrobatchView
    private let loss: LossFunction
    private let observer: GradientObserver
    /// The sums over the records so far.
    private(set) var statistics = BatchStatistics()

    init(
        tiles: [NativeTile], gradient: UnsafeMutablePointer<Float>, batch: MicrobatchView,
        loss: LossFunction, observer: GradientObserver
    ) {
        self.tiles = tiles
        self.gradient = gradient
        self.batch = batch
        self.loss = loss
        self.observer = observer
    }

    func isWanted() -> Bool { observer.isWanted() }

    func computeLoss(_ tile: NativeTile, _ plan: NativePlan) {
        let start = tile.slot * AlignedBuffer.lanes
        loss.evaluate(
            outputs: plan.outputs, batch: batch, records: start..<start + tile.count,
            outputCount: plan.network.outputElementCount, gradient: plan.outputGradients,
            into: &statistics)
    }

    func isFinal(_ element: Int) { observer.isFinal(element, statistics) }
}
