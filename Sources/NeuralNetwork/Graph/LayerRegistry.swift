/// The kinds of layers that a model can be made of.
enum LayerRegistry {
    /// All kinds, one line each.
    static let all: [any Layer.Type] = [
        Add.self,
        AveragePool2D.self,
        BatchNorm.self,
        Concat.self,
        Conv1D.self,
        Conv2D.self,
        Dense.self,
        Dropout.self,
        Flatten.self,
        GELU.self,
        GlobalAveragePool.self,
        GroupNorm.self,
        HardSigmoid.self,
        HardSwish.self,
        LayerNorm.self,
        LeakyReLU.self,
        MaxPool2D.self,
        Multiply.self,
        PadChannels.self,
        ReLU.self,
        ReLU6.self,
        Sigmoid.self,
        SiLU.self,
        Tanh.self,
    ]

    /// The words for all kinds in a model file.
    static let kinds = all.map { $0.kind }

    /// Returns the kind of that name, or nil for an unknown name.
    static func kind(named name: String) -> (any Layer.Type)? { all.first { $0.kind == name } }
}
