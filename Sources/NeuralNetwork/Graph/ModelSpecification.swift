import StrictYAML

/// A model: an input shape, and layers that read the input or one another. ``Network`` computes its
/// shapes.
public struct ModelSpecification: Sendable, Hashable {
    /// The model's name: that of a preset, or the name of the model file without its ending.
    public var name: String
    /// The shape of one input image: [channels, height, width].
    public var inputShape: [Int]
    /// The layers. Each reads layers before it, and the last one gives the output.
    public var layers: [LayerSpecification]

    /// Creates a model without checking it; ``Network/init(_:)`` checks that its shapes fit.
    public init(name: String, inputShape: [Int], layers: [LayerSpecification]) {
        self.name = name
        self.inputShape = inputShape
        self.layers = layers
    }
}
