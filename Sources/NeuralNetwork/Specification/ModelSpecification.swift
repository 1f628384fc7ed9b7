import StrictYAML

/// A model as a list of layers over an input shape. ``Network`` computes its shapes.
public struct ModelSpecification: Sendable, Hashable {
    /// The model's name: "cnn", or the name of the model file without its ending.
    public var name: String
    /// The shape of one input image: [channels, height, width].
    public var inputShape: [Int]
    /// The layers, from the input to the output.
    public var layers: [LayerSpecification]

    /// Creates a model without checking it; ``Network/init(_:)`` checks that its shapes fit.
    public init(name: String, inputShape: [Int], layers: [LayerSpecification]) {
        self.name = name
        self.inputShape = inputShape
        self.layers = layers
    }

    /// The names of the models that need no file.
    public static let builtInNames = ["cnn"]

    /// Returns the built-in model of that name, or nil for an unknown name.
    ///
    /// - Parameters:
    ///   - name: one of ``builtInNames``.
    ///   - inputShape: [channels, height, width].
    ///   - classCount: the number of outputs.
    public static func builtIn(
        _ name: String, inputShape: [Int], classCount: Int
    ) -> ModelSpecification? {
        name == "cnn" ? cnn(inputShape: inputShape, classCount: classCount) : nil
    }

    /// Returns the built-in model `cnn`: three 3×3 convolutions, two pools and two dense layers.
    ///
    /// It has 122,570 parameters for inputs of [3, 32, 32] and 10 classes.
    /// Source: the network of TensorFlow's tutorial "Convolutional Neural Network (CNN)", with
    /// dropout.
    public static func cnn(inputShape: [Int], classCount: Int) -> ModelSpecification {
        let three = Size2D(3)
        let two = Size2D(2)
        return ModelSpecification(
            name: "cnn", inputShape: inputShape,
            layers: [
                .conv2D(filters: 32, kernel: three, activation: .relu),
                .maxPool2D(size: two, stride: two),
                .conv2D(filters: 64, kernel: three, activation: .relu),
                .maxPool2D(size: two, stride: two),
                .conv2D(filters: 64, kernel: three, activation: .relu),
                .flatten,
                .dense(units: 64, activation: .relu),
                .dropout(rate: 0.5),
                .dense(units: classCount),
            ])
    }
}
