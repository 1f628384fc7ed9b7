import StrictYAML

/// A change of shape. Values are stored in C, H, W order already, so nothing moves.
struct Flatten: Layer {
    static let kind = "flatten"
    static let namePrefix = "flatten"

    init() {}

    init(reading settings: StrictMapping) throws(SettingsError) {}

    func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        LayerPlan(output: [inputs[0].reduce(1, *)])
    }

    func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceMap<Scalar>(node.inputElementCount, { $0 }, derivative: { _ in 1 })
    }
}
