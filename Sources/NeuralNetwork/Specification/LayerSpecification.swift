/// What a layer does to its sums before it hands them on.
public enum Activation: String, Sendable, Hashable, CaseIterable {
    case linear
    case relu
}

/// How a kernel or a window treats the edge of an image.
///
/// Source: Keras and TensorFlow. `valid` adds nothing; `same` adds as many cells as give
/// ceil(input / stride) outputs, the odd one at the bottom or right (PyTorch's `padding` is
/// symmetric, so it agrees only where the number is even). Convolutions see zeros there, pools see
/// nothing.
public enum Padding: String, Sendable, Hashable, CaseIterable {
    case valid
    case same
}

/// How a layer's weights start; biases start at zero.
public enum Initializer: String, Sendable, Hashable, CaseIterable {
    /// Uniform in ±√(6 / (fanIn + fanOut)). Glorot and Bengio, AISTATS 2010, formula 16; Keras'
    /// default.
    case glorotUniform = "glorot-uniform"
    /// Uniform in ±√(6 / fanIn). He, Zhang, Ren, Sun, ICCV 2015, formula 10, for a uniform
    /// distribution.
    case heUniform = "he-uniform"
}

/// One layer as a model file gives it, before shapes are known.
public enum LayerSpecification: Sendable, Hashable {
    case conv2D(
        filters: Int, kernel: Size2D, stride: Size2D = Size2D(1), padding: Padding = .valid,
        activation: Activation = .linear, initializer: Initializer = .glorotUniform)
    case maxPool2D(size: Size2D, stride: Size2D, padding: Padding = .valid)
    case flatten
    case dense(
        units: Int, activation: Activation = .linear, initializer: Initializer = .glorotUniform)
    case relu
    case dropout(rate: Double)

    /// The model file's word for this kind.
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

    /// What names of layers and tensors of this kind begin with: `conv` makes `conv1`, `conv2`, ...
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
