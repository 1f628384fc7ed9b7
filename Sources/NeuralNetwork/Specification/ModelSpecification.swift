import StrictYAML

/// A model as a list of layers over an input shape; ``Network`` works its shapes out.
public struct ModelSpecification: Sendable, Hashable {
    /// "cnn", or the model file's name without its ending.
    public var name: String
    /// [channels, height, width].
    public var inputShape: [Int]
    public var layers: [LayerSpecification]

    public init(name: String, inputShape: [Int], layers: [LayerSpecification]) {
        self.name = name
        self.inputShape = inputShape
        self.layers = layers
    }

    /// The names of the models that need no file.
    public static let builtInNames = ["cnn"]

    /// The built-in model of that name, or nil when there is none.
    public static func builtIn(
        _ name: String, inputShape: [Int], classCount: Int
    ) -> ModelSpecification? {
        name == "cnn" ? cnn(inputShape: inputShape, classCount: classCount) : nil
    }

    /// The built-in model `cnn`: three 3×3 convolutions, two pools, two dense layers.
    ///
    /// Source: the network of TensorFlow's tutorial "Convolutional Neural Network (CNN)", with
    /// dropout. 122,570 parameters for inputs of [3, 32, 32] and 10 classes.
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
