/// A builder makes a model layer by layer. Each layer reads the one before it unless it is told
/// otherwise.
///
/// ```swift
/// var model = ModelBuilder(name: "small", inputShape: [3, 32, 32])
/// let stem = model.add(.conv2D(filters: 16, kernel: Size2D(3), padding: .same))
/// model.add(.relu)
/// let branch = model.add(.conv2D(filters: 16, kernel: Size2D(3), padding: .same))
/// model.add(.add, from: [branch, stem])
/// ```
public struct ModelBuilder {
    /// The output of a layer, or the model's input.
    public struct Value: Hashable, Sendable {
        /// The layer's name.
        public let name: String
    }

    private let name: String
    private let inputShape: [Int]
    private var names = LayerNames()
    /// The layers that were added.
    public private(set) var layers: [LayerSpecification] = []
    /// The value that the next layer reads by default.
    public private(set) var last = Value(name: LayerNames.input)
    /// The output of the layer that was added last. It equals ``last`` unless a branch was begun.
    private var previous = Value(name: LayerNames.input)

    /// Creates a builder.
    ///
    /// - Parameters:
    ///   - name: the model's name.
    ///   - inputShape: [channels, height, width].
    public init(name: String, inputShape: [Int]) {
        self.name = name
        self.inputShape = inputShape
    }

    /// Adds a layer.
    ///
    /// - Parameters:
    ///   - layer: the kind and its settings.
    ///   - name: the layer's name; nil for the kind and its number.
    ///   - sources: what the layer reads; nil for ``last``.
    /// - Returns: the layer's output, which the next layer reads by default.
    @discardableResult
    public mutating func add(
        _ layer: LayerSpecification, name: String? = nil, from sources: [Value]? = nil
    ) -> Value {
        let sources = sources ?? [last]
        let added = LayerSpecification(
            layer.layer, name: name ?? layer.name,
            inputs: sources == [previous] ? nil : sources.map(\.name))
        layers.append(added)
        previous = Value(name: names.next(for: added))
        last = previous
        return last
    }

    /// Makes the next layer read this value by default.
    public mutating func branch(from value: Value) { last = value }

    /// The model.
    public var specification: ModelSpecification {
        ModelSpecification(name: name, inputShape: inputShape, layers: layers)
    }
}
