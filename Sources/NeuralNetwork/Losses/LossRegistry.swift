/// The kinds of losses that a run can make small.
enum LossRegistry {
    /// All kinds, one line each.
    static let all: [any Loss.Type] = [
        CrossEntropy.self,
        MeanSquaredError.self,
        BinaryCrossEntropy.self,
    ]

    /// Returns the kind of that name, or nil for an unknown name.
    static func kind(named name: String) -> (any Loss.Type)? { all.first { $0.name == name } }
}
