import StrictYAML

/// Reads the number that is added to a variance.
private func readEpsilon(_ settings: StrictMapping) throws(SettingsError) -> Double {
    try settings.double("epsilon", "above 0 and at most 1", default: 1e-5) { $0 > 0 && $0 <= 1 }
}

/// Refuses a number that cannot be added to a variance.
private func requireEpsilon(_ epsilon: Double) throws(LayerProblem) {
    try LayerProblem.require(
        epsilon > 0 && epsilon <= 1, "expects an epsilon above 0 and at most 1, gets \(epsilon)")
}

/// Returns the tensors of factors and of numbers to add.
private func scaleAndShift(_ shape: [Int]) -> [SlotRequest] {
    [
        SlotRequest(suffix: "weight", shape: shape, kind: .scale, initial: .constant(1)),
        SlotRequest(suffix: "bias", shape: shape, kind: .shift, initial: .constant(0)),
    ]
}

/// Batch normalisation: y = scale · (x - mean) / √(variance + epsilon) + shift, channel by channel.
///
/// In training, mean and variance are those of the virtual worker's microbatch, and the variance is
/// the sum of squares divided by the number of values. The new value of the running variance is
/// unbiased: divided by that number less one. A microbatch with one value a channel, which PyTorch
/// refuses, leaves the running statistics as they are. In inference, and where the statistics are
/// frozen, mean and variance are the running ones.
/// Source: Ioffe and Szegedy, ICML 2015, with the conventions of PyTorch's BatchNorm2d.
struct BatchNorm: Layer {
    static let kind = "batch-norm"
    static let namePrefix = "bn"

    var epsilon = 1e-5
    /// The share of the new statistic in the running one.
    var momentum = 0.1

    init(epsilon: Double, momentum: Double) {
        self.epsilon = epsilon
        self.momentum = momentum
    }

    init(reading settings: StrictMapping) throws(SettingsError) {
        epsilon = try readEpsilon(settings)
        momentum = try settings.double("momentum", "above 0 and at most 1", default: 0.1) {
            $0 > 0 && $0 <= 1
        }
    }

    var settings: [(key: String, text: String)] {
        [("epsilon", "\(epsilon)"), ("momentum", "\(momentum)")]
    }

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        try requireEpsilon(epsilon)
        try LayerProblem.require(
            momentum > 0 && momentum <= 1,
            "expects a momentum above 0 and at most 1, gets \(momentum)")
        let shape = [inputs[0][0]]
        return LayerPlan(
            output: inputs[0],
            slots: scaleAndShift(shape) + [
                SlotRequest(
                    suffix: "running_mean", shape: shape, kind: .mean, initial: .constant(0),
                    momentum: momentum),
                SlotRequest(
                    suffix: "running_var", shape: shape, kind: .variance, initial: .constant(1),
                    momentum: momentum),
            ])
    }

    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceBatchNorm<Scalar>(self, node, parameters)
    }
}

/// Group normalisation: each image and each group of channels has its own mean and variance.
///
/// Source: Wu and He, ECCV 2018, with the conventions of PyTorch's GroupNorm.
struct GroupNorm: Layer {
    static let kind = "group-norm"
    static let namePrefix = "gn"

    var groups: Int
    var epsilon = 1e-5

    init(groups: Int, epsilon: Double) {
        self.groups = groups
        self.epsilon = epsilon
    }

    init(reading settings: StrictMapping) throws(SettingsError) {
        groups = try settings.integer("groups", in: 1...65536)
        epsilon = try readEpsilon(settings)
    }

    var settings: [(key: String, text: String)] {
        [("groups", "\(groups)"), ("epsilon", "\(epsilon)")]
    }

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        try requireEpsilon(epsilon)
        let channels = inputs[0][0]
        try LayerProblem.require(
            groups >= 1 && channels % groups == 0,
            "expects groups that divide \(channels) channels, gets \(groups)")
        return LayerPlan(output: inputs[0], slots: scaleAndShift([channels]))
    }

    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceGroupNorm<Scalar>(
            node, parameters, channels: node.inputShape[0], groups: groups, epsilon: epsilon)
    }
}

/// Layer normalisation: each image has its own mean and variance, each element its own factor.
///
/// Source: Ba, Kiros and Hinton, 2016, as PyTorch's LayerNorm over the shape of an image.
struct LayerNorm: Layer {
    static let kind = "layer-norm"
    static let namePrefix = "ln"

    var epsilon = 1e-5

    init(epsilon: Double) { self.epsilon = epsilon }

    init(reading settings: StrictMapping) throws(SettingsError) {
        epsilon = try readEpsilon(settings)
    }

    var settings: [(key: String, text: String)] { [("epsilon", "\(epsilon)")] }

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        try requireEpsilon(epsilon)
        return LayerPlan(output: inputs[0], slots: scaleAndShift(inputs[0]))
    }

    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        // With a channel for each element, the only group covers the image.
        ReferenceGroupNorm<Scalar>(
            node, parameters, channels: node.inputElementCount, groups: 1, epsilon: epsilon)
    }
}

/// Batch normalisation in plain loops.
private final class ReferenceBatchNorm<Scalar: ReferenceScalar>: ReferenceOperation {
    private let channels: Int
    private let positions: Int
    private let epsilon: Scalar
    private let scale: Int
    private let shift: Int
    private let runningMean: Int
    private let runningVariance: Int
    private let areStatisticsFrozen: Bool
    private var mean: [Scalar]
    private var inverse: [Scalar]

    init(_ layer: BatchNorm, _ node: Node, _ parameters: ParameterLayout) {
        channels = node.inputShape[0]
        positions = node.inputElementCount / channels
        epsilon = Scalar(layer.epsilon)
        let places = node.slots.map { parameters.slots[$0].offset }
        (scale, shift) = (places[0], places[1])
        (runningMean, runningVariance) = (places[2], places[3])
        areStatisticsFrozen = parameters.slots[node.slots[2]].isFrozen
        mean = [Scalar](repeating: 0, count: channels)
        inverse = mean
    }

    /// Calls `body` with the place of each value of a channel.
    @inline(__always)
    private func forEachPlace(_ channel: Int, _ count: Int, _ body: (Int) -> Void) {
        for record in 0..<count {
            let start = (record * channels + channel) * positions
            for place in start..<start + positions { body(place) }
        }
    }

    /// Returns the sum of the squares of the distances from a mean.
    private func squares(_ channel: Int, _ pass: ReferencePass<Scalar>, _ mean: Double) -> Double {
        var sum = 0.0
        forEachPlace(channel, pass.count) { place in
            let distance = Double(pass.inputs[0][place]) - mean
            sum += distance * distance
        }
        return sum
    }

    private func batchMean(_ channel: Int, _ pass: ReferencePass<Scalar>) -> Double {
        var sum = 0.0
        forEachPlace(channel, pass.count) { sum += Double(pass.inputs[0][$0]) }
        return sum / Double(pass.count * positions)
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        for channel in 0..<channels {
            if pass.isTraining, !areStatisticsFrozen {
                let batchMean = batchMean(channel, pass)
                let variance =
                    squares(channel, pass, batchMean) / Double(pass.count * positions)
                mean[channel] = Scalar(batchMean)
                inverse[channel] = Scalar(1 / (variance + Double(epsilon)).squareRoot())
            } else {
                mean[channel] = pass.parameters[runningMean + channel]
                inverse[channel] =
                    1 / (pass.parameters[runningVariance + channel] + epsilon).squareRoot()
            }
            let factor = pass.parameters[scale + channel] * inverse[channel]
            let shift = pass.parameters[shift + channel]
            forEachPlace(channel, pass.count) { place in
                pass.output[place] = (pass.inputs[0][place] - mean[channel]) * factor + shift
            }
        }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        let valueCount = Double(pass.count * positions)
        for channel in 0..<channels {
            var sum = 0.0
            var product = 0.0
            forEachPlace(channel, pass.count) { place in
                let gradient = Double(pass.outputGradient[place])
                sum += gradient
                product += gradient * Double(pass.inputs[0][place] - mean[channel])
            }
            product *= Double(inverse[channel])
            pass.parameterGradient[scale + channel] += Scalar(product)
            pass.parameterGradient[shift + channel] += Scalar(sum)
            let factor = pass.parameters[scale + channel] * inverse[channel]
            guard pass.isTraining, !areStatisticsFrozen else {
                forEachPlace(channel, pass.count) { place in
                    pass.inputGradients[0][place] = factor * pass.outputGradient[place]
                }
                continue
            }
            let meanGradient = Scalar(sum / valueCount)
            let meanProduct = Scalar(product / valueCount)
            forEachPlace(channel, pass.count) { place in
                let normalized = (pass.inputs[0][place] - mean[channel]) * inverse[channel]
                pass.inputGradients[0][place] =
                    factor
                    * (pass.outputGradient[place] - meanGradient - normalized * meanProduct)
            }
            var newMean = Double(pass.parameters[runningMean + channel])
            var newVariance = Double(pass.parameters[runningVariance + channel])
            if valueCount > 1 {
                newMean = batchMean(channel, pass)
                newVariance = squares(channel, pass, newMean) / (valueCount - 1)
            }
            pass.parameterGradient[runningMean + channel] += Scalar(Double(pass.count) * newMean)
            pass.parameterGradient[runningVariance + channel] += Scalar(
                Double(pass.count) * newVariance)
        }
    }
}

/// Group normalisation in plain loops.
private final class ReferenceGroupNorm<Scalar: ReferenceScalar>: ReferenceOperation {
    private let channels: Int
    private let positions: Int
    private let groups: Int
    private let epsilon: Double
    private let scale: Int
    private let shift: Int

    init(
        _ node: Node, _ parameters: ParameterLayout, channels: Int, groups: Int, epsilon: Double
    ) {
        self.channels = channels
        self.groups = groups
        self.epsilon = epsilon
        positions = node.inputElementCount / channels
        scale = parameters.slots[node.slots[0]].offset
        shift = parameters.slots[node.slots[1]].offset
    }

    private var groupCount: Int { channels / groups * positions }

    /// Returns the mean of a group, and 1 / √(variance + epsilon). The group begins at `start`.
    private func moments(_ values: UnsafePointer<Scalar>, _ start: Int) -> (Scalar, Scalar) {
        var sum = 0.0
        for i in start..<start + groupCount { sum += Double(values[i]) }
        let mean = sum / Double(groupCount)
        var squares = 0.0
        for i in start..<start + groupCount {
            squares += (Double(values[i]) - mean) * (Double(values[i]) - mean)
        }
        let deviation = (squares / Double(groupCount) + epsilon).squareRoot()
        return (Scalar(mean), Scalar(1 / deviation))
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        for group in 0..<pass.count * groups {
            let start = group * groupCount
            let (mean, inverse) = moments(pass.inputs[0], start)
            for i in start..<start + groupCount {
                let channel = i / positions % channels
                pass.output[i] =
                    (pass.inputs[0][i] - mean) * inverse * pass.parameters[scale + channel]
                    + pass.parameters[shift + channel]
            }
        }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        let (input, gradient) = (pass.inputs[0], pass.outputGradient!)
        for group in 0..<pass.count * groups {
            let start = group * groupCount
            let (mean, inverse) = moments(input, start)
            var sum = 0.0
            var product = 0.0
            for i in start..<start + groupCount {
                let channel = i / positions % channels
                let normalized = (input[i] - mean) * inverse
                let scaled = gradient[i] * pass.parameters[scale + channel]
                sum += Double(scaled)
                product += Double(scaled * normalized)
                pass.parameterGradient[scale + channel] += gradient[i] * normalized
                pass.parameterGradient[shift + channel] += gradient[i]
            }
            let meanGradient = Scalar(sum / Double(groupCount))
            let meanProduct = Scalar(product / Double(groupCount))
            for i in start..<start + groupCount {
                let channel = i / positions % channels
                let normalized = (input[i] - mean) * inverse
                let scaled = gradient[i] * pass.parameters[scale + channel]
                pass.inputGradients[0][i] =
                    inverse * (scaled - meanGradient - normalized * meanProduct)
            }
        }
    }
}
