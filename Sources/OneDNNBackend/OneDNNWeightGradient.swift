import CKernels
import NeuralNetwork

/// The gradient of one layer's weights and bias, summed over tiles in tile order.
///
/// The first tile of a microbatch writes its gradient to the sums. Later tiles write to temporary
/// tensors, which are then added to the sums. Both stay in the layout that the primitive prefers;
/// see ``OneDNNPlan/storeGradient(into:)``.
final class OneDNNWeightGradient {
    let weights: OneDNNTensor
    let bias: OneDNNTensor
    private let first: OneDNNCall
    private let next: OneDNNCall
    private var nextWeights: OneDNNTensor?
    private var nextBias: OneDNNTensor?

    init(
        _ context: OneDNNContext, _ operation: OneDNNOperation, weights: OneDNNLayout,
        bias: OneDNNLayout
    ) throws(BackendError) {
        self.weights = try OneDNNTensor(context, weights)
        self.bias = try OneDNNTensor(context, bias)
        first = try OneDNNCall(operation)
        next = try OneDNNCall(operation)
        first.bind(.weightsGradient, self.weights.memory)
        first.bind(.biasGradient, self.bias.memory)
    }

    /// The call for the first tile, and the call for later tiles.
    var calls: [OneDNNCall] { [first, next] }
    var implementation: String { first.implementation }

    /// Sets the buffers that the gradients of later tiles are written to before they are added. All
    /// layers may share the two buffers.
    func bindTemporaries(
        _ context: OneDNNContext, weights: AlignedBuffer, bias: AlignedBuffer
    ) throws(BackendError) {
        let nextWeights = try OneDNNTensor(context, self.weights.layout, over: weights)
        let nextBias = try OneDNNTensor(context, self.bias.layout, over: bias)
        next.bind(.weightsGradient, nextWeights.memory)
        next.bind(.biasGradient, nextBias.memory)
        (self.nextWeights, self.nextBias) = (nextWeights, nextBias)
    }

    /// Computes the tile's gradient and adds it to the sums.
    func run(_ context: OneDNNContext, isFirstTile: Bool) {
        compute(context, isFirstTile: isFirstTile)
        if !isFirstTile { accumulate() }
    }

    /// Computes the tile's own gradient: into the sums for the first tile, otherwise into the
    /// temporaries.
    func compute(_ context: OneDNNContext, isFirstTile: Bool) {
        (isFirstTile ? first : next).run(context)
    }

    /// Adds the gradient of a tile after the first one to the sums.
    func accumulate() {
        Self.add(nextWeights!, to: weights)
        Self.add(nextBias!, to: bias)
    }

    private static func add(_ tensor: OneDNNTensor, to sum: OneDNNTensor) {
        convoy_add(
            sum.buffer.floats, sum.buffer.floats, tensor.buffer.floats,
            sum.layout.storedElementCount)
    }
}
