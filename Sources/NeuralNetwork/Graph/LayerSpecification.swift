import StrictYAML

/// One layer of a model, before shapes are known: its kind and settings, its name, and what it
/// reads.
public struct LayerSpecification: Sendable, Hashable {
    let layer: any Layer
    /// The layer's name; nil for the kind and its number among the layers of that kind.
    public var name: String?
    /// The names of the layers that it reads, where "input" is the model's input; nil for the layer
    /// before it.
    public var inputs: [String]?

    init(_ layer: any Layer, name: String? = nil, inputs: [String]? = nil) {
        self.layer = layer
        self.name = name
        self.inputs = inputs
    }

    /// The word for this kind of layer in a model file.
    public var kind: String { type(of: layer).kind }

    /// Returns whether two layers have equal kinds, settings, names and inputs.
    public static func == (left: Self, right: Self) -> Bool {
        left.name == right.name && left.inputs == right.inputs
            && left.layer.isEqual(right.layer)
    }

    /// Hashes the layer.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(name)
        hasher.combine(inputs)
        hasher.combine(layer)
    }
}

extension LayerSpecification {
    /// A convolution: [C, H, W] to [filters, H', W'].
    ///
    /// - Parameters:
    ///   - filters: the number of output channels.
    ///   - kernel: the size of the kernel.
    ///   - stride: the distance between neighbouring places of the kernel.
    ///   - padding: the cells around the image, which are read as zeros.
    ///   - dilation: the distance between neighbouring cells of the kernel.
    ///   - groups: the number of parts that channels and filters are cut into. Each part of the
    ///     filters reads its part of the channels.
    ///   - hasBias: whether a bias is added to the sums.
    ///   - activation: the function that is applied to the sums.
    ///   - initializer: the distribution of the initial weights; biases start at zero.
    public static func conv2D(
        filters: Int, kernel: Size2D, stride: Size2D = Size2D(1), padding: Padding = .valid,
        dilation: Size2D = Size2D(1), groups: Int = 1, hasBias: Bool = true,
        activation: Activation = .linear, initializer: Initializer = .glorotUniform
    ) -> LayerSpecification {
        LayerSpecification(
            Conv2D(
                filters: filters,
                window: MovingWindow(
                    size: kernel, stride: stride, padding: padding, dilation: dilation),
                groups: groups, hasBias: hasBias, activation: activation, initializer: initializer))
    }

    /// A convolution of series: [C, 1, L] to [filters, 1, L'].
    public static func conv1D(
        filters: Int, kernel: Int, stride: Int = 1, padding: Padding1D = .valid,
        dilation: Int = 1, groups: Int = 1, hasBias: Bool = true,
        activation: Activation = .linear, initializer: Initializer = .glorotUniform
    ) -> LayerSpecification {
        LayerSpecification(
            Conv1D(
                filters: filters, kernel: kernel, stride: stride, padding: padding,
                dilation: dilation, groups: groups, hasBias: hasBias, activation: activation,
                initializer: initializer))
    }

    /// The maximum under each window: [C, H, W] to [C, H', W'].
    public static func maxPool2D(
        size: Size2D, stride: Size2D, padding: Padding = .valid
    ) -> LayerSpecification {
        LayerSpecification(
            MaxPool2D(window: MovingWindow(size: size, stride: stride, padding: padding)))
    }

    /// The mean under each window: [C, H, W] to [C, H', W'].
    ///
    /// - Parameter countsPadding: whether the padding counts as zeros, as in PyTorch; otherwise the
    ///   mean is that of the cells inside the image, as in Keras.
    public static func averagePool2D(
        size: Size2D, stride: Size2D, padding: Padding = .valid, countsPadding: Bool = true
    ) -> LayerSpecification {
        LayerSpecification(
            AveragePool2D(
                window: MovingWindow(size: size, stride: stride, padding: padding),
                countsPadding: countsPadding))
    }

    /// The mean of each channel: [C, H, W] to [C].
    public static let globalAveragePool = LayerSpecification(GlobalAveragePool())

    /// A change of shape: [C, H, W] to [C · H · W].
    public static let flatten = LayerSpecification(Flatten())

    /// A fully connected layer: [N] to [units].
    public static func dense(
        units: Int, hasBias: Bool = true, activation: Activation = .linear,
        initializer: Initializer = .glorotUniform
    ) -> LayerSpecification {
        LayerSpecification(
            Dense(
                units: units, hasBias: hasBias, activation: activation, initializer: initializer))
    }

    /// Inverted dropout, for any shape: in training an element is dropped with probability `rate`,
    /// in 0..<1.
    public static func dropout(rate: Double) -> LayerSpecification {
        LayerSpecification(Dropout(rate: rate))
    }

    /// Batch normalisation of [C, H, W] or [C], channel by channel, with PyTorch's conventions.
    ///
    /// - Parameters:
    ///   - epsilon: the number that is added to the variance; above 0.
    ///   - momentum: the share of the new statistic in the running one, above 0 and at most 1.
    public static func batchNorm(
        epsilon: Double = 1e-5, momentum: Double = 0.1
    ) -> LayerSpecification {
        LayerSpecification(BatchNorm(epsilon: epsilon, momentum: momentum))
    }

    /// Group normalisation of [C, H, W] or [C]: each image by itself, each group of channels by
    /// itself.
    public static func groupNorm(groups: Int, epsilon: Double = 1e-5) -> LayerSpecification {
        LayerSpecification(GroupNorm(groups: groups, epsilon: epsilon))
    }

    /// Layer normalisation over all elements of an image, with a factor for each element.
    public static func layerNorm(epsilon: Double = 1e-5) -> LayerSpecification {
        LayerSpecification(LayerNorm(epsilon: epsilon))
    }

    /// max(x, 0), element by element, for any shape.
    public static let relu = LayerSpecification(ReLU())
    /// min(max(x, 0), 6).
    public static let relu6 = LayerSpecification(ReLU6())
    /// x where it is above 0, otherwise slope · x.
    public static func leakyReLU(slope: Double = 0.01) -> LayerSpecification {
        LayerSpecification(LeakyReLU(slope: slope))
    }
    /// x · hard-sigmoid(x).
    public static let hardSwish = LayerSpecification(HardSwish())
    /// x / 6 + 1 / 2, held in 0...1.
    public static let hardSigmoid = LayerSpecification(HardSigmoid())
    /// 1 / (1 + e^-x).
    public static let sigmoid = LayerSpecification(Sigmoid())
    /// The hyperbolic tangent.
    public static let tanh = LayerSpecification(Tanh())
    /// x · sigmoid(x).
    public static let silu = LayerSpecification(SiLU())
    /// x · Φ(x), where Φ is the distribution function of the standard normal distribution.
    public static let gelu = LayerSpecification(GELU())

    /// The sum of two or more values of one shape.
    public static let add = LayerSpecification(Add())
    /// The product of two values: of one shape, or an image [C, H, W] by a factor for each channel,
    /// [C] or [C, 1, 1].
    public static let multiply = LayerSpecification(Multiply())
    /// The channels of two or more values, one after another.
    public static let concat = LayerSpecification(Concat())
    /// Channels of zeros before and after those of the input: [C, H, W] to
    /// [before + C + after, H, W].
    public static func padChannels(before: Int, after: Int) -> LayerSpecification {
        LayerSpecification(PadChannels(before: before, after: after))
    }
}

/// The function that a layer with weights applies to its sums.
public enum Activation: String, Sendable, Hashable, CaseIterable {
    /// The sums as they are.
    case linear
    /// max(sum, 0).
    case relu
}
