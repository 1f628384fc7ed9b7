import StrictYAML

/// A kind of layer: its settings, its rule of shapes, its parameters, and how the reference backend
/// computes it.
///
/// A new kind is one type that conforms to this protocol, and one line in ``LayerRegistry``. A fast
/// backend computes it once it conforms to that backend's own protocol, for instance
/// ``NativeLayer``.
package protocol Layer: Hashable, Sendable {
    /// The word for this kind in a model file, for instance "conv2d".
    static var kind: String { get }
    /// The beginning of the names of such layers: `conv` makes `conv1`, `conv2` and so on.
    static var namePrefix: String { get }
    /// The numbers of inputs that are accepted.
    static var inputCounts: ClosedRange<Int> { get }

    /// Reads the settings that stand under the kind in a model file.
    init(reading settings: StrictMapping) throws(SettingsError)
    /// The settings as a model file gives them, in the order in which they are written.
    var settings: [(key: String, text: String)] { get }
    /// Computes the shape of the output and the parameters.
    ///
    /// - Parameter inputs: the shapes of the inputs: [C, H, W], or [N] when flat.
    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan
    /// Returns the computation of a node of this kind in the reference backend.
    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar>
}

extension Layer {
    package static var inputCounts: ClosedRange<Int> { 1...1 }
    package var settings: [(key: String, text: String)] { [] }

    package func isEqual(_ other: any Layer) -> Bool { (other as? Self) == self }
}

/// The shape of a layer's output, its padding and its parameters.
package struct LayerPlan {
    var output: [Int]
    var padding = PaddingAmounts.none
    var slots: [SlotRequest] = []
}

/// A tensor that a layer wants in the flat vector.
struct SlotRequest {
    /// The last part of the tensor's name, for instance "weight".
    var suffix: String
    var shape: [Int]
    var kind: ParameterSlot.Kind
    var initial: InitialValue
    var fanIn = 0
    var fanOut = 0
    var momentum = 0.0

    /// Returns the weight of a layer that sums over its inputs, and its bias if it has one.
    ///
    /// - Parameters:
    ///   - shape: the weight's shape, the outputs first.
    ///   - fanIn: the number of inputs that one output sums over.
    ///   - fanOut: the number of outputs times the number of the kernel's cells. One input reaches as
    ///     many outputs with stride 1, and fewer where there are groups. Source: Keras, and PyTorch's
    ///     `_calculate_fan_in_and_fan_out`, which do not divide by the groups either.
    static func weightAndBias(
        _ shape: [Int], fanIn: Int, fanOut: Int, _ initializer: Initializer, hasBias: Bool
    ) -> [SlotRequest] {
        let weight = SlotRequest(
            suffix: "weight", shape: shape, kind: .weight, initial: .drawn(initializer),
            fanIn: fanIn, fanOut: fanOut)
        let bias = SlotRequest(
            suffix: "bias", shape: [shape[0]], kind: .bias, initial: .constant(0), fanIn: fanIn,
            fanOut: fanOut)
        return hasBias ? [weight, bias] : [weight]
    }
}

/// The reason why a layer does not fit its inputs, as a phrase that follows the layer's name.
package struct LayerProblem: Error {
    var text: String

    init(_ text: String) { self.text = text }

    /// Throws unless the condition holds.
    static func require(
        _ condition: Bool, _ text: @autoclosure () -> String
    ) throws(LayerProblem) {
        if !condition { throw LayerProblem(text()) }
    }

    /// Returns the shape if it is that of an image.
    static func image(_ shape: [Int]) throws(LayerProblem) -> (
        channels: Int, height: Int, width: Int
    ) {
        try require(
            shape.count == 3,
            "expects an image [channels, height, width], gets \(shape); put it before flatten")
        return (shape[0], shape[1], shape[2])
    }
}
