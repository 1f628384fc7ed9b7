/// A model that needs no file.
public struct ModelPreset: Sendable {
    /// The model's name in a run file and on the command line.
    public let name: String
    /// One sentence: what the model is, and its source.
    public let summary: String
    /// The shape of the images that it was made for: [channels, height, width].
    public let usualInputShape: [Int]
    private let make: @Sendable (inout ModelBuilder, [Int], Int) -> Void

    init(
        _ name: String, _ usualInputShape: [Int], _ summary: String,
        _ make:
            @escaping @Sendable (inout ModelBuilder, _ inputShape: [Int], _ classCount: Int) ->
            Void
    ) {
        self.name = name
        self.usualInputShape = usualInputShape
        self.summary = summary
        self.make = make
    }

    /// Returns the model. ``Network/init(_:)`` refuses an input shape that is too small for it.
    ///
    /// - Parameters:
    ///   - inputShape: [channels, height, width].
    ///   - classCount: the number of outputs.
    public func specification(inputShape: [Int], classCount: Int) -> ModelSpecification {
        var model = ModelBuilder(name: name, inputShape: inputShape)
        make(&model, inputShape, classCount)
        return model.specification
    }

    /// All presets, one line each.
    public static let all: [ModelPreset] = [
        .cnn, .lenet5, .resnet8, .resnet20, .resnet56, .resnet18, .vgg11BN, .mobileNetV1,
        .mobileNetV2, .dsCNN, .fcn1D, .inceptionTime,
    ]

    /// Returns the preset of that name, or nil for an unknown name.
    public static func named(_ name: String) -> ModelPreset? { all.first { $0.name == name } }
}

extension ModelSpecification {
    /// The names of the models that need no file.
    public static let builtInNames = ModelPreset.all.map(\.name)

    /// Returns the built-in model of that name, or nil for an unknown name.
    ///
    /// - Parameters:
    ///   - name: one of ``builtInNames``.
    ///   - inputShape: [channels, height, width].
    ///   - classCount: the number of outputs.
    public static func builtIn(
        _ name: String, inputShape: [Int], classCount: Int
    ) -> ModelSpecification? {
        ModelPreset.named(name)?.specification(inputShape: inputShape, classCount: classCount)
    }

    /// Returns the built-in model `cnn`; see ``ModelPreset``.
    public static func cnn(inputShape: [Int], classCount: Int) -> ModelSpecification {
        ModelPreset.cnn.specification(inputShape: inputShape, classCount: classCount)
    }
}
