/// A builder computes a network's shapes layer by layer; see ``Network/init(_:)``.
struct NetworkBuilder {
    /// The largest number of elements of an image, of a layer's output and of a model's parameters.
    /// It keeps every index within 32 bits.
    static let maximumElementCount = 1 << 30

    private let modelName: String
    private var shape: [Int]
    private var countOfKind: [String: Int] = [:]
    private(set) var layers: [NetworkLayer] = []
    private(set) var slots: [ParameterSlot] = []

    init(_ specification: ModelSpecification) throws(ModelError) {
        modelName = specification.name
        shape = specification.inputShape
        guard shape.count == 3, Self.product(shape) != nil else {
            throw .model(
                model: modelName,
                problem: "input: expected [channels, height, width], each at least 1 and "
                    + "\(Self.maximumElementCount) elements at most, found \(shape)")
        }
        if specification.layers.isEmpty {
            throw .model(
                model: modelName, problem: "layers: expected at least one layer, found none")
        }
    }

    /// Adds a layer after the last one.
    mutating func append(_ layer: LayerSpecification) throws(ModelError) {
        countOfKind[layer.namePrefix, default: 0] += 1
        let name = "\(layer.namePrefix)\(countOfKind[layer.namePrefix]!)"
        switch layer {
        case .conv2D(let filters, let kernel, let stride, let padding, _, let initializer):
            try require(filters >= 1, name, "expects at least 1 filter, gets \(filters)")
            let channels = try imageShape(name)[0]
            let (output, amounts) = try window(kernel, stride, padding, "kernel", name)
            let weight = try addParameters(
                name, weightShape: [filters, channels, kernel.height, kernel.width], initializer)
            try finish(
                layer, name, output: [filters, output.height, output.width], amounts,
                weightSlot: weight)
        case .maxPool2D(let size, let stride, let padding):
            let channels = try imageShape(name)[0]
            let (output, amounts) = try window(size, stride, padding, "window", name)
            try finish(layer, name, output: [channels, output.height, output.width], amounts)
        case .flatten:
            try finish(layer, name, output: [shape.reduce(1, *)])
        case .dense(let units, _, let initializer):
            try require(units >= 1, name, "expects at least 1 unit, gets \(units)")
            try require(
                shape.count == 1, name,
                "expects a flat input, gets \(shape); put flatten before it")
            let weight = try addParameters(name, weightShape: [units, shape[0]], initializer)
            try finish(layer, name, output: [units], weightSlot: weight)
        case .relu:
            try finish(layer, name, output: shape)
        case .dropout(let rate):
            try require(
                rate >= 0 && rate < 1, name,
                "expects a rate of at least 0 and below 1, gets \(rate)")
            try finish(layer, name, output: shape)
        }
    }

    private func require(_ condition: Bool, _ name: String, _ problem: String) throws(ModelError) {
        if condition { return }
        throw .layer(model: modelName, number: layers.count + 1, name: name, problem: problem)
    }

    private func imageShape(_ name: String) throws(ModelError) -> [Int] {
        try require(
            shape.count == 3, name,
            "expects an image [channels, height, width], gets \(shape); put it before flatten")
        return shape
    }

    /// Returns the output's height and width, and the padding, for a window that moves over the
    /// current shape.
    private func window(
        _ size: Size2D, _ stride: Size2D, _ padding: Padding, _ noun: String, _ name: String
    ) throws(ModelError) -> (Size2D, PaddingAmounts) {
        for (what, value) in [(noun, size), ("stride", stride)] {
            let sides = [value.height, value.width]
            try require(
                sides.allSatisfy { (1...4096).contains($0) }, name,
                "expects a \(what) with sides from 1 to 4096, gets \(sides)")
        }
        let (height, width) = (shape[1], shape[2])
        switch padding {
        case .valid:
            try require(
                size.height <= height && size.width <= width, name,
                "its \(noun) of [\(size.height), \(size.width)] does not fit into \(shape); "
                    + "make it smaller or pad with same")
            let output = Size2D(
                height: (height - size.height) / stride.height + 1,
                width: (width - size.width) / stride.width + 1)
            return (output, .none)
        case .same:
            let output = Size2D(
                height: (height + stride.height - 1) / stride.height,
                width: (width + stride.width - 1) / stride.width)
            let rows = max((output.height - 1) * stride.height + size.height - height, 0)
            let columns = max((output.width - 1) * stride.width + size.width - width, 0)
            let amounts = PaddingAmounts(
                top: rows / 2, left: columns / 2, bottom: rows - rows / 2,
                right: columns - columns / 2)
            return (output, amounts)
        }
    }

    /// Adds a weight and its bias, and returns the index of the weight's slot.
    private mutating func addParameters(
        _ name: String, weightShape: [Int], _ initializer: Initializer
    ) throws(ModelError) -> Int {
        let offset = slots.last?.range.upperBound ?? 0
        let weightCount = Self.product(weightShape) ?? Self.maximumElementCount
        try require(
            offset + weightCount + weightShape[0] <= Self.maximumElementCount, name,
            "its weight of \(weightShape) brings the model over "
                + "\(Self.maximumElementCount) parameters"
        )
        let receptiveField = weightShape.dropFirst(2).reduce(1, *)
        let fanIn = weightShape[1] * receptiveField
        let fanOut = weightShape[0] * receptiveField
        slots.append(
            ParameterSlot(
                name: "\(name).weight", offset: offset, shape: weightShape, fanIn: fanIn,
                fanOut: fanOut, kind: .weight, initializer: initializer))
        slots.append(
            ParameterSlot(
                name: "\(name).bias", offset: offset + weightCount, shape: [weightShape[0]],
                fanIn: fanIn, fanOut: fanOut, kind: .bias, initializer: initializer))
        return slots.count - 2
    }

    private mutating func finish(
        _ layer: LayerSpecification, _ name: String, output: [Int],
        _ padding: PaddingAmounts = .none, weightSlot: Int? = nil
    ) throws(ModelError) {
        try require(
            Self.product(output) != nil, name,
            "its output of \(output) is larger than \(Self.maximumElementCount) elements")
        layers.append(
            NetworkLayer(
                specification: layer, index: layers.count, name: name, inputShape: shape,
                outputShape: output, padding: padding, weightSlot: weightSlot,
                biasSlot: weightSlot.map { $0 + 1 }))
        shape = output
    }

    /// Returns the product of the numbers; nil when one of them is below 1, or when the product
    /// exceeds ``maximumElementCount``.
    private static func product(_ numbers: [Int]) -> Int? {
        var result = 1
        for number in numbers {
            let (product, overflows) = result.multipliedReportingOverflow(by: number)
            guard number >= 1, !overflows, product <= maximumElementCount else { return nil }
            result = product
        }
        return result
    }
}
