/// A training step with softmax cross-entropy.
final class NativeTrainingPass: NativePass {
    let tiles: [NativeTile]
    let gradient: UnsafeMutablePointer<Float>
    private let batch: MicrobatchView
    private let smoothing: Double
    private let observer: GradientObserver
    /// The sums over the records so far.
    private(set) var statistics = BatchStatistics()

    init(
        tiles: [NativeTile], gradient: UnsafeMutablePointer<Float>, batch: MicrobatchView,
        smoothing: Double, observer: GradientObserver
    ) {
        self.tiles = tiles
        self.gradient = gradient
        self.batch = batch
        self.smoothing = smoothing
        self.observer = observer
    }

    func isWanted() -> Bool { observer.isWanted() }

    func computeLoss(_ tile: NativeTile, _ plan: NativePlan) {
        SoftmaxCrossEntropy.evaluate(
            logits: plan.outputs, labels: batch.labels + tile.slot * AlignedBuffer.lanes,
            count: tile.count, classCount: plan.network.outputElementCount,
            smoothing: smoothing, gradient: plan.outputGradients, into: &statistics)
    }

    func isFinal(_ element: Int) { observer.isFinal(element, statistics) }
}
