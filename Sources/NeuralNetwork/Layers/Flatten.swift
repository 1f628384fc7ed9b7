import StrictYAML

/// A change of shape. Values are stored in C, H, W order already, so nothing moves.
package struct Flatten: Layer {
    package static let kind = "flatten"
    package static let namePrefix = "flatten"

    package init() {}

    package init(reading settings: StrictMapping) throws(SettingsError) {}

    package func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        LayerPlan(output: [inputs[0].reduce(1, *)])
    }

    package func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceMap<Scalar>(node.inputElementCount, { $0 }, derivative: { _ in 1 })
    }
}
