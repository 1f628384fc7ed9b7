/// The function that a layer applies to its sums.
public enum Activation: String, Sendable, Hashable, CaseIterable {
    /// The sums as they are.
    case linear
    /// max(sum, 0).
    case relu
}

/// The treatment of an image's edge by a kernel or a window.
///
/// Convolutions read zeros in the padding; pools ignore it.
/// Source: Keras and TensorFlow.
public enum Padding: String, Sendable, Hashable, CaseIterable {
    /// Adds no padding.
    case valid
    /// Adds as many cells as give ceil(input / stride) outputs; an odd cell goes to the bottom or
    /// the right. PyTorch's `padding` is symmetric, so it agrees only where the number of cells is
    /// even.
    case same
}

/// The distribution of a layer's initial weights. Biases start at zero.
public enum Initializer: String, Sendable, Hashable, CaseIterable {
    /// Uniform in ±√(6 / (fanIn + fanOut)). Glorot and Bengio, AISTATS 2010, formula 16; the
    /// default of Keras.
    case glorotUniform = "glorot-uniform"
    /// Uniform in ±√(6 / fanIn). He, Zhang, Ren, Sun, ICCV 2015, formula 10, for a uniform
    /// distribution.
    case heUniform = "he-uniform"
}

/// One layer as a model file gives it, before shapes are known.
public enum LayerSpecification: Sendable, Hashable {
    /// A convolution with a bias: [C, H, W] to [filters, H', W'].
    case conv2D(
        filters: Int, kernel: Size2D, stride: Size2D = Size2D(1), padding: Padding = .valid,
        activation: Activation = .linear, initializer: Initializer = .glorotUniform)
    /// The maximum under each window: [C, H, W] to [C, H', W'].
    case maxPool2D(size: Size2D, stride: Size2D, padding: Padding = .valid)
    /// A change of shape: [C, H, W] to [C · H · W].
    case flatten
    /// A fully connected layer with a bias: [N] to [units].
    case dense(
        units: Int, activation: Activation = .linear, initializer: Initializer = .glorotUniform)
    /// max(x, 0), element by element, for any shape.
    case relu
    /// Inverted dropout, for any shape: in training an element is dropped with probability `rate`,
    /// in 0..<1.
    case dropout(rate: Double)

    /// The word for this kind of layer in a model file.
    public var kind: String {
        switch self {
        case .conv2D: "conv2d"
        case .maxPool2D: "max-pool2d"
        case .flatten: "flatten"
        case .dense: "dense"
        case .relu: "relu"
        case .dropout: "dropout"
        }
    }

    /// The beginning of the names of layers and tensors of this kind: `conv` makes `conv1`, `conv2`
    /// and so on.
    public var namePrefix: String {
        switch self {
        case .conv2D: "conv"
        case .maxPool2D: "pool"
        case .flatten: "flatten"
        case .dense: "dense"
        case .relu: "relu"
        case .dropout: "dropout"
        }
    }
}
