import StrictYAML

/// Inverted dropout: in training each element is dropped, or kept and scaled by 1 / (1 - rate); in
/// inference all elements stay as they are. ``DropoutMask`` draws the mask.
package struct Dropout: Layer {
    package static let kind = "dropout"
    package static let namePrefix = "dropout"

    /// The probability that an element is dropped, in 0..<1.
    package var rate: Double

    init(rate: Double) { self.rate = rate }

    package init(reading settings: StrictMapping) throws(SettingsError) {
        rate = try settings.double("rate", "of at least 0 and below 1") { $0 >= 0 && $0 < 1 }
    }

    package var settings: [(key: String, text: String)] { [("rate", "\(rate)")] }

    package func plan(_ inputs: [[Int]]) throws(LayerProblem) -> LayerPlan {
        try LayerProblem.require(
            rate >= 0 && rate < 1, "expects a rate of at least 0 and below 1, gets \(rate)")
        return LayerPlan(output: inputs[0])
    }

    package func reference<Scalar: ReferenceScalar>(
        _ node: Node, _ parameters: ParameterLayout
    ) -> any ReferenceOperation<Scalar> {
        ReferenceDropout<Scalar>(node, rate: rate)
    }
}

/// Dropout in plain loops. The masks are drawn anew in the backward pass.
private final class ReferenceDropout<Scalar: ReferenceScalar>: ReferenceOperation {
    private let count: Int
    private let rate: Double
    private let layerIndex: Int

    init(_ node: Node, rate: Double) {
        count = node.inputElementCount
        self.rate = rate
        layerIndex = node.index
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        scale(pass.inputs[0], into: pass.output, pass)
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        scale(pass.outputGradient, into: pass.inputGradients[0], pass)
    }

    private func scale(
        _ values: UnsafePointer<Scalar>, into out: UnsafeMutablePointer<Scalar>,
        _ pass: ReferencePass<Scalar>
    ) {
        guard let key = pass.dropout else {
            return out.update(from: values, count: count * pass.count)
        }
        withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { mask in
            guard let base = mask.baseAddress else { return }
            for record in 0..<pass.count {
                DropoutMask.fill(
                    base, count: count, rate: rate, seed: key.seed, epoch: key.epoch,
                    record: key.records[record], layerIndex: layerIndex)
                for i in 0..<count {
                    out[record * count + i] = values[record * count + i] * Scalar(base[i])
                }
            }
        }
    }
}
