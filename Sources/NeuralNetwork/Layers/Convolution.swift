import StrictYAML

/// A convolution of images, with or without a bias, and with the function that follows it.
package struct Conv2D: Layer {
    package static let kind = "conv2d"
    package static let namePrefix = "conv"

    var filters: Int
    package var window: MovingWindow
    package var groups = 1
    package var hasBias = true
    package var activation = Activation.linear
    var initializer = Initializer.glorotUniform
    /// Whether the kernel has one row and its tensor no axis for rows.
    var isOneDimensional = false

    init(
        filters: Int, window: MovingWindow, groups: Int, hasBias: Bool, activation: Activation,
        initializer: Initializer
    ) {
        self.filters = filters
        self.window = window
        self.groups = groups
        self.hasBias = hasBias
        self.activation = activation
        self.initializer = initializer
    }

    package init(reading settings: StrictMapping) throws(SettingsError) {
        filters = try settings.integer("filters", in: 1...65536)
        window = MovingWindow(
            size: try Size2D(reading: settings.requiredValue("kernel")),
            stride: try settings.value("stride").map(Size2D.init(reading:)) ?? Size2D(1),
            padding: try Padding(reading: settings.value("padding")),
            dilation: try settings.value("dilation").map(Size2D.init(reading:)) ?? Size2D(1))
        groups = try settings.integer("groups", in: 1...65536, default: 1)
        hasBias = try settings.boolean("bias", default: true)
        activation = try settings.oneOf("activation", default: .linear)
        initializer = try settings.oneOf("initializer", default: .glorotUniform)
    }

    package var settings: [(key: String, text: String)] {
        var texts: [(key: String, text: String)] = [
            ("filters", "\(filters)"), ("kernel", window.size.yaml),
            ("stride", window.stride.yaml), ("padding", window.padding.yaml),
        ]
        if window.dilation != Size2D(1) { texts.append(("dilation", window.dilation.yaml)) }
        if groups != 1 { texts.append(("groups", "\(groups)")) }
        if !hasBias { texts.append(("bias", "false")) }
        texts.append(("activation", activation.rawValue))
        texts.append(("initializer", initializer.rawValue))
        return texts
    }

    package func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        try LayerProblem.require(filters >= 1, "expects at least 1 filter, gets \(filters)")
        let (channels, _, _) = try LayerProblem.image(inputs[0])
        try LayerProblem.require(
            groups >= 1 && channels % groups == 0 && filters % groups == 0,
            "expects groups that divide \(channels) channels and \(filters) filters, gets "
                + "\(groups)")
        let (output, padding) = try window.plan(inputs[0], noun: "kernel")
        // A table holds the kernel's cells for every place near an edge.
        let size = window.size
        let tableCount =
            size.height * min(size.height, output.height) * size.width
            * min(size.width, output.width)
        try LayerProblem.require(
            tableCount <= 1 << 24,
            "its kernel of [\(size.height), \(size.width)] is too large for its output of "
                + "[\(output.height), \(output.width)]")
        let cells = window.size.height * window.size.width
        let sides = isOneDimensional ? [cells] : [window.size.height, window.size.width]
        let slots = SlotRequest.weightAndBias(
            [filters, channels / groups] + sides, fanIn: channels / groups * cells,
            fanOut: filters * cells, initializer, hasBias: hasBias)
        return LayerPlan(
            output: [filters, output.height, output.width], padding: padding,
            slots: slots)
    }

    package func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceConvolution<Scalar>(self, node, parameters)
    }
}

/// The padding of series.
public enum Padding1D: Sendable, Hashable {
    /// Adds no padding.
    case valid
    /// Adds as many cells as give ceil(length / stride) outputs.
    case same
    /// Adds this number of cells at each end.
    case cells(Int)
}

/// A convolution of series, which are images of one row.
///
/// It is computed as a ``Conv2D`` with a kernel of one row. Its tensor has PyTorch's shape,
/// [filters, channels / groups, kernel].
struct Conv1D: Layer {
    static let kind = "conv1d"
    static let namePrefix = "conv"

    var filters: Int
    var kernel: Int
    var stride = 1
    var padding = Padding1D.valid
    var dilation = 1
    var groups = 1
    var hasBias = true
    var activation = Activation.linear
    var initializer = Initializer.glorotUniform

    init(
        filters: Int, kernel: Int, stride: Int, padding: Padding1D, dilation: Int, groups: Int,
        hasBias: Bool, activation: Activation, initializer: Initializer
    ) {
        self.filters = filters
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        self.hasBias = hasBias
        self.activation = activation
        self.initializer = initializer
    }

    init(reading settings: StrictMapping) throws(SettingsError) {
        filters = try settings.integer("filters", in: 1...65536)
        kernel = try settings.integer("kernel", in: 1...4096)
        stride = try settings.integer("stride", in: 1...4096, default: 1)
        if let value = settings.value("padding") {
            switch try value.string() {
            case "valid": padding = .valid
            case "same": padding = .same
            case let text:
                guard let cells = Int(text), (0...4096).contains(cells) else {
                    throw value.expected("valid, same or a number of cells")
                }
                padding = .cells(cells)
            }
        }
        dilation = try settings.integer("dilation", in: 1...4096, default: 1)
        groups = try settings.integer("groups", in: 1...65536, default: 1)
        hasBias = try settings.boolean("bias", default: true)
        activation = try settings.oneOf("activation", default: .linear)
        initializer = try settings.oneOf("initializer", default: .glorotUniform)
    }

    var settings: [(key: String, text: String)] {
        let padding =
            switch padding {
            case .valid: "valid"
            case .same: "same"
            case .cells(let cells): "\(cells)"
            }
        return [
            ("filters", "\(filters)"), ("kernel", "\(kernel)"), ("stride", "\(stride)"),
            ("padding", padding), ("dilation", "\(dilation)"), ("groups", "\(groups)"),
            ("bias", "\(hasBias)"), ("activation", activation.rawValue),
            ("initializer", initializer.rawValue),
        ]
    }

    /// The convolution of images that computes this one.
    var ofImages: Conv2D {
        let padding: Padding =
            switch padding {
            case .valid: .valid
            case .same: .same
            case .cells(let cells):
                .explicit(PaddingAmounts(top: 0, left: cells, bottom: 0, right: cells))
            }
        var convolution = Conv2D(
            filters: filters,
            window: MovingWindow(
                size: Size2D(height: 1, width: kernel),
                stride: Size2D(height: 1, width: stride), padding: padding,
                dilation: Size2D(height: 1, width: dilation)), groups: groups, hasBias: hasBias,
            activation: activation, initializer: initializer)
        convolution.isOneDimensional = true
        return convolution
    }

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        let shape = inputs[0]
        try LayerProblem.require(
            shape.count == 3 && shape[1] == 1,
            "expects series [channels, 1, length], gets \(shape)")
        return try ofImages.plan(inputs)
    }

    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceConvolution<Scalar>(ofImages, node, parameters)
    }
}

/// A convolution of images in plain loops.
///
/// Math: out[o, y, x] = bias[o] + Σ over c, ky, kx of weight[o, c, ky, kx] ·
/// in[c, y·stride + ky·dilation - top, x·stride + kx·dilation - left], where cells outside the
/// image are zero (cross-correlation, as in PyTorch and Keras), and c runs over the channels of the
/// filter's group.
/// Shapes: in [C, H, W], weight [O, C / groups, kh, kw], out [O, H', W'].
/// The cells under each place of the kernel are first laid out as the rows of `patches`
/// [C·kh·kw, H'·W']. Both passes are then plain products of matrices.
private final class ReferenceConvolution<Scalar: ReferenceScalar>: ReferenceOperation {
    private let channels: Int
    private let height: Int
    private let width: Int
    private let filters: Int
    private let outputHeight: Int
    private let outputWidth: Int
    private let window: MovingWindow
    private let padding: PaddingAmounts
    private let groups: Int
    private let weightOffset: Int
    private let biasOffset: Int?
    private let hasReLU: Bool
    private var patches: [Scalar]
    private var patchGradient: [Scalar]

    init(_ layer: Conv2D, _ node: Node, _ parameters: ParameterLayout) {
        (channels, height, width) = (node.inputShape[0], node.inputShape[1], node.inputShape[2])
        filters = layer.filters
        (outputHeight, outputWidth) = (node.outputShape[1], node.outputShape[2])
        window = layer.window
        padding = node.padding
        groups = layer.groups
        weightOffset = parameters.slots[node.slots[0]].offset
        biasOffset = layer.hasBias ? parameters.slots[node.slots[1]].offset : nil
        hasReLU = layer.activation == .relu
        let count =
            channels * layer.window.size.height * layer.window.size.width
            * node.outputShape[1] * node.outputShape[2]
        patches = [Scalar](repeating: 0, count: count)
        patchGradient = patches
    }

    private var kernelSize: Int { window.size.height * window.size.width }
    private var positionCount: Int { outputHeight * outputWidth }
    /// The number of patch rows that a filter reads.
    private var patchLength: Int { channels / groups * kernelSize }

    /// Returns the first patch row that a filter reads.
    private func firstRow(_ filter: Int) -> Int { filter / (filters / groups) * patchLength }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        for record in 0..<pass.count {
            gather(pass.inputs[0] + record * channels * height * width)
            let output = pass.output + record * filters * positionCount
            for filter in 0..<filters {
                let row = output + filter * positionCount
                let bias = biasOffset.map { pass.parameters[$0 + filter] } ?? 0
                row.update(repeating: bias, count: positionCount)
                let weight = pass.parameters + weightOffset + filter * patchLength
                let first = firstRow(filter)
                patches.withUnsafeBufferPointer { patches in
                    for k in 0..<patchLength {
                        ReferenceLoops.addScaled(
                            row, weight[k], patches.baseAddress! + (first + k) * positionCount,
                            positionCount)
                    }
                }
            }
            if hasReLU { ReferenceLoops.rectify(output, filters * positionCount) }
        }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        let outputCount = filters * positionCount
        withUnsafeTemporaryAllocation(of: Scalar.self, capacity: outputCount) { masked in
            guard let gradient = masked.baseAddress else { return }
            for record in 0..<pass.count {
                gather(pass.inputs[0] + record * channels * height * width)
                let output = pass.output + record * outputCount
                gradient.update(
                    from: pass.outputGradient + record * outputCount, count: outputCount)
                if hasReLU { ReferenceLoops.mask(gradient, output, outputCount) }
                addParameterGradient(gradient, pass)
                for index in patchGradient.indices { patchGradient[index] = 0 }
                addPatchGradient(gradient, pass)
                scatter(into: pass.inputGradients[0] + record * channels * height * width)
            }
        }
    }

    private func addParameterGradient(
        _ outputGradient: UnsafePointer<Scalar>, _ pass: ReferencePass<Scalar>
    ) {
        for filter in 0..<filters {
            let row = outputGradient + filter * positionCount
            if let biasOffset {
                var sum: Scalar = 0
                for position in 0..<positionCount { sum += row[position] }
                pass.parameterGradient[biasOffset + filter] += sum
            }
            let weight = pass.parameterGradient + weightOffset + filter * patchLength
            let first = firstRow(filter)
            patches.withUnsafeBufferPointer { patches in
                for k in 0..<patchLength {
                    weight[k] += ReferenceLoops.dot(
                        row, patches.baseAddress! + (first + k) * positionCount, positionCount)
                }
            }
        }
    }

    private func addPatchGradient(
        _ outputGradient: UnsafePointer<Scalar>, _ pass: ReferencePass<Scalar>
    ) {
        patchGradient.withUnsafeMutableBufferPointer { patchGradient in
            for filter in 0..<filters {
                let row = outputGradient + filter * positionCount
                let weight = pass.parameters + weightOffset + filter * patchLength
                let first = firstRow(filter)
                for k in 0..<patchLength {
                    ReferenceLoops.addScaled(
                        patchGradient.baseAddress! + (first + k) * positionCount, weight[k], row,
                        positionCount)
                }
            }
        }
    }

    /// Copies the cells under each kernel position to the patches, and zeros for cells outside the
    /// image.
    private func gather(_ input: UnsafePointer<Scalar>) {
        patches.withUnsafeMutableBufferPointer { patches in
            patches.update(repeating: 0)
            forEachRow { patchRow, inputRow, count in
                let (out, cells) = (patches.baseAddress! + patchRow, input + inputRow)
                for i in 0..<count { out[i] = cells[i &* window.stride.width] }
            }
        }
    }

    /// Adds the gradient of each kernel position back to the cell that it was copied from: the
    /// reverse of `gather`.
    private func scatter(into inputGradient: UnsafeMutablePointer<Scalar>) {
        inputGradient.update(repeating: 0, count: channels * height * width)
        patchGradient.withUnsafeBufferPointer { patchGradient in
            forEachRow { patchRow, inputRow, count in
                let (cells, gradients) = (
                    inputGradient + inputRow, patchGradient.baseAddress! + patchRow
                )
                for i in 0..<count { cells[i &* window.stride.width] += gradients[i] }
            }
        }
    }

    /// Calls `body` for each range of a patch row that lies inside the image. The arguments are the
    /// offset of its first element in the patches, the offset of that element in the image, and its
    /// length. Patches step by 1, the image by the stride.
    @inline(__always)
    private func forEachRow(_ body: (Int, Int, Int) -> Void) {
        let stride = window.stride
        for channel in 0..<channels {
            for ky in 0..<window.size.height {
                for kx in 0..<window.size.width {
                    let k = (channel * window.size.height + ky) * window.size.width + kx
                    // The output columns x with 0 <= x·stride + shift < width.
                    let shift = kx * window.dilation.width - padding.left
                    let first = shift >= 0 ? 0 : (stride.width - 1 - shift) / stride.width
                    if width - 1 < shift { continue }
                    let last = min(outputWidth - 1, (width - 1 - shift) / stride.width)
                    if first > last { continue }
                    for y in 0..<outputHeight {
                        let row = y * stride.height + ky * window.dilation.height - padding.top
                        guard row >= 0, row < height else { continue }
                        body(
                            k * positionCount + y * outputWidth + first,
                            (channel * height + row) * width + first * stride.width + shift,
                            last - first + 1)
                    }
                }
            }
        }
    }
}
