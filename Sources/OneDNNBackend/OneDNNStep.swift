import CKernels
import NeuralNetwork

/// One operation on a tile. A plan is a list of these steps; running one allocates no buffer.
enum OneDNNStep {
    case call(OneDNNCall)
    case weightGradient(OneDNNWeightGradient)
    case pool(OneDNNPool)
    case poolBackward(OneDNNPool, outputGradient: OneDNNTensor, inputGradient: OneDNNTensor)
    case relu(OneDNNTensor)
    case reluBackward(gradient: OneDNNTensor, output: OneDNNTensor)
    case dropout(OneDNNDropout, OneDNNTensor)
    case dropoutBackward(OneDNNDropout, OneDNNTensor)

    /// Runs the operation.
    ///
    /// - Parameters:
    ///   - context: oneDNN's engine and stream.
    ///   - isFirstTile: whether weight gradients are overwritten rather than added to.
    ///   - dropout: the key of the masks; nil where nothing is dropped.
    func run(_ context: OneDNNContext, isFirstTile: Bool, dropout: DropoutKey?) {
        switch self {
        case .call(let call): call.run(context)
        case .weightGradient(let gradient): gradient.run(context, isFirstTile: isFirstTile)
        case .pool(let pool): pool.forward()
        case .poolBackward(let pool, let outputGradient, let inputGradient):
            pool.backward(outputGradient, into: inputGradient)
        case .relu(let tensor): Self.applyReLU(tensor)
        case .reluBackward(let gradient, let output): Self.maskGradient(gradient, output)
        case .dropout(let layer, let tensor):
            if let dropout {
                layer.fill(dropout)
                layer.scale(tensor)
            }
        case .dropoutBackward(let layer, let tensor): if dropout != nil { layer.scale(tensor) }
        }
    }

    /// The name of the work that is done, for breakdowns of the time.
    var operation: String {
        switch self {
        case .call(let call): call.kind.rawValue
        case .weightGradient: "weight gradient"
        case .pool, .poolBackward: "max-pool"
        case .relu: "ReLU"
        case .reluBackward: "ReLU mask"
        case .dropout, .dropoutBackward: "dropout"
        }
    }

    /// oneDNN's name of the kernel, or "own" for a kernel of CKernels.
    var kernel: String {
        switch self {
        case .call(let call): call.implementation
        case .weightGradient(let gradient): gradient.implementation
        default: "own"
        }
    }

    /// The bytes that are read and written each time.
    var byteCount: Int {
        switch self {
        case .call(let call): call.byteCount
        case .weightGradient(let gradient): gradient.calls[0].byteCount
        case .pool(let pool): pool.byteCount
        case .poolBackward(let pool, _, _): pool.byteCount
        case .relu(let tensor): 2 * tensor.layout.byteCount
        case .reluBackward(let gradient, let output):
            2 * gradient.layout.byteCount + output.layout.byteCount
        case .dropout(_, let tensor), .dropoutBackward(_, let tensor):
            2 * tensor.layout.byteCount + 4 * tensor.layout.storedElementCount
        }
    }

    var isConvolution: Bool {
        switch self {
        case .call(let call): call.kind == .convolution
        case .weightGradient(let gradient): gradient.calls[0].kind == .convolution
        default: false
        }
    }

    private static func applyReLU(_ tensor: OneDNNTensor) {
        let count = tensor.layout.storedElementCount
        switch tensor.layout.element {
        case .float32: convoy_relu(tensor.buffer.floats, count)
        case .bfloat16: convoy_relu_bf16(tensor.buffer.halves, count)
        }
    }

    private static func maskGradient(_ gradient: OneDNNTensor, _ output: OneDNNTensor) {
        let count = output.layout.storedElementCount
        switch output.layout.element {
        case .float32: convoy_relu_backward(gradient.buffer.floats, output.buffer.floats, count)
        case .bfloat16:
            convoy_relu_backward_bf16(gradient.buffer.halves, output.buffer.halves, count)
        }
    }
}
