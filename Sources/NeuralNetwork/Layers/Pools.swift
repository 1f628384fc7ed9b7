import StrictYAML

extension MovingWindow {
    /// Reads the window of a pool, whose stride is its size by default.
    fileprivate init(readingPool settings: StrictMapping) throws(SettingsError) {
        let size = try Size2D(reading: settings.requiredValue("size"))
        self.init(
            size: size, stride: try settings.value("stride").map(Size2D.init(reading:)) ?? size,
            padding: try Padding(reading: settings.value("padding")))
    }

    fileprivate var poolSettings: [(key: String, text: String)] {
        [("size", size.yaml), ("stride", stride.yaml), ("padding", padding.yaml)]
    }

    /// Returns the plan of a pool. Every window must cover a cell of the image.
    fileprivate func planPool(_ shape: [Int]) throws(LayerProblem) -> LayerPlan {
        let (output, padding) = try plan(shape, noun: "window")
        try LayerProblem.require(
            max(padding.top, padding.bottom) < size.height
                && max(padding.left, padding.right) < size.width,
            "expects padding smaller than its window of [\(size.height), \(size.width)], gets "
                + "[\(padding.top), \(padding.left), \(padding.bottom), \(padding.right)]")
        return LayerPlan(output: [shape[0], output.height, output.width], padding: padding)
    }
}

/// The maximum under each window.
package struct MaxPool2D: Layer {
    package static let kind = "max-pool2d"
    package static let namePrefix = "pool"

    package var window: MovingWindow

    init(window: MovingWindow) { self.window = window }

    package init(reading settings: StrictMapping) throws(SettingsError) {
        window = try MovingWindow(readingPool: settings)
    }

    package var settings: [(key: String, text: String)] { window.poolSettings }

    package func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan { try window.planPool(inputs[0]) }

    package func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceMaxPool<Scalar>(WindowWalk(node, window))
    }
}

/// The mean under each window.
struct AveragePool2D: Layer {
    static let kind = "average-pool2d"
    static let namePrefix = "pool"

    var window: MovingWindow
    /// Whether the padding counts as zeros; otherwise the mean is that of the cells in the image.
    var countsPadding = true

    init(window: MovingWindow, countsPadding: Bool) {
        self.window = window
        self.countsPadding = countsPadding
    }

    init(reading settings: StrictMapping) throws(SettingsError) {
        window = try MovingWindow(readingPool: settings)
        countsPadding = try settings.boolean("count-padding", default: true)
    }

    var settings: [(key: String, text: String)] {
        window.poolSettings + [("count-padding", "\(countsPadding)")]
    }

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan { try window.planPool(inputs[0]) }

    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceAveragePool<Scalar>(WindowWalk(node, window), countsPadding: countsPadding)
    }
}

/// The mean of each channel.
struct GlobalAveragePool: Layer {
    static let kind = "global-average-pool"
    static let namePrefix = "pool"

    init() {}

    init(reading settings: StrictMapping) throws(SettingsError) {}

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        LayerPlan(output: [try LayerProblem.image(inputs[0]).channels])
    }

    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceGlobalAverage<Scalar>(node)
    }
}

/// The windows of a pool over the channels of a batch.
private struct WindowWalk {
    let channels: Int
    let height: Int
    let width: Int
    let outputHeight: Int
    let outputWidth: Int
    let window: MovingWindow
    let padding: PaddingAmounts

    init(_ node: Node, _ window: MovingWindow) {
        (channels, height, width) = (node.inputShape[0], node.inputShape[1], node.inputShape[2])
        (outputHeight, outputWidth) = (node.outputShape[1], node.outputShape[2])
        self.window = window
        padding = node.padding
    }

    /// Calls `body` for each window of `count` records with the place of its output, the place of
    /// its channel's first cell, and the rows and columns that lie inside the image.
    @inline(__always)
    func forEach(_ count: Int, _ body: (Int, Int, Range<Int>, Range<Int>) -> Void) {
        for plane in 0..<count * channels {
            for y in 0..<outputHeight {
                let top = y * window.stride.height - padding.top
                let rows = max(top, 0)..<min(top + window.size.height, height)
                for x in 0..<outputWidth {
                    let left = x * window.stride.width - padding.left
                    let columns = max(left, 0)..<min(left + window.size.width, width)
                    body(
                        (plane * outputHeight + y) * outputWidth + x, plane * height * width, rows,
                        columns)
                }
            }
        }
    }
}

/// The largest value under each window; cells outside the image do not take part. The gradient goes
/// to the first largest cell in row-major order. A NaN counts as larger than any number, and the
/// last NaN of a window takes the gradient, as in PyTorch.
private final class ReferenceMaxPool<Scalar: ReferenceScalar>: ReferenceOperation {
    private let walk: WindowWalk

    init(_ walk: WindowWalk) { self.walk = walk }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        forEachMaximum(pass) { output, best in pass.output[output] = pass.inputs[0][best] }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        let count = pass.count * walk.channels * walk.height * walk.width
        pass.inputGradients[0].update(repeating: 0, count: count)
        forEachMaximum(pass) { output, best in
            pass.inputGradients[0][best] += pass.outputGradient[output]
        }
    }

    @inline(__always)
    private func forEachMaximum(_ pass: ReferencePass<Scalar>, _ body: (Int, Int) -> Void) {
        let input = pass.inputs[0]
        walk.forEach(pass.count) { output, plane, rows, columns in
            var best = plane + rows.lowerBound * walk.width + columns.lowerBound
            for row in rows {
                for column in columns {
                    let cell = plane + row * walk.width + column
                    if input[cell] > input[best] || input[cell].isNaN { best = cell }
                }
            }
            body(output, best)
        }
    }
}

/// The mean under each window.
private final class ReferenceAveragePool<Scalar: ReferenceScalar>: ReferenceOperation {
    private let walk: WindowWalk
    private let countsPadding: Bool

    init(_ walk: WindowWalk, countsPadding: Bool) {
        self.walk = walk
        self.countsPadding = countsPadding
    }

    private func divisor(_ rows: Range<Int>, _ columns: Range<Int>) -> Scalar {
        let size = walk.window.size
        return Scalar(countsPadding ? size.height * size.width : rows.count * columns.count)
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        walk.forEach(pass.count) { output, plane, rows, columns in
            var sum: Scalar = 0
            for row in rows {
                for column in columns { sum += pass.inputs[0][plane + row * walk.width + column] }
            }
            pass.output[output] = sum / divisor(rows, columns)
        }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        let count = pass.count * walk.channels * walk.height * walk.width
        pass.inputGradients[0].update(repeating: 0, count: count)
        walk.forEach(pass.count) { output, plane, rows, columns in
            let part = pass.outputGradient[output] / divisor(rows, columns)
            for row in rows {
                for column in columns {
                    pass.inputGradients[0][plane + row * walk.width + column] += part
                }
            }
        }
    }
}

/// The mean of each channel.
private final class ReferenceGlobalAverage<Scalar: ReferenceScalar>: ReferenceOperation {
    private let channels: Int
    private let positions: Int

    init(_ node: Node) {
        channels = node.outputElementCount
        positions = node.inputElementCount / node.outputElementCount
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        for plane in 0..<pass.count * channels {
            var sum: Scalar = 0
            for position in 0..<positions { sum += pass.inputs[0][plane * positions + position] }
            pass.output[plane] = sum / Scalar(positions)
        }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        for plane in 0..<pass.count * channels {
            let part = pass.outputGradient[plane] / Scalar(positions)
            (pass.inputGradients[0] + plane * positions)
                .update(repeating: part, count: positions)
        }
    }
}
