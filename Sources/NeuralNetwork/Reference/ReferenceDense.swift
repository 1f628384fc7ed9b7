/// A fully connected layer on one record.
///
/// Math: out = weight · in + bias. Shapes: in [I], weight [O, I], bias [O], out [O].
struct ReferenceDense<Scalar: ReferenceScalar> {
    let inputCount: Int
    let outputCount: Int
    /// The index of the weight's first element in the flat vector.
    let weightOffset: Int
    /// The index of the bias's first element in the flat vector.
    let biasOffset: Int

    func forward(
        _ input: UnsafePointer<Scalar>, parameters: UnsafePointer<Scalar>,
        into output: UnsafeMutablePointer<Scalar>
    ) {
        for unit in 0..<outputCount {
            let weight = parameters + weightOffset + unit * inputCount
            output[unit] =
                parameters[biasOffset + unit] + ReferenceLoops.dot(weight, input, inputCount)
        }
    }

    /// Adds to `parameterGradient`, and overwrites `inputGradient` unless it is nil.
    func backward(
        _ input: UnsafePointer<Scalar>, outputGradient: UnsafePointer<Scalar>,
        parameters: UnsafePointer<Scalar>, parameterGradient: UnsafeMutablePointer<Scalar>,
        inputGradient: UnsafeMutablePointer<Scalar>?
    ) {
        inputGradient?.update(repeating: 0, count: inputCount)
        for unit in 0..<outputCount {
            let gradient = outputGradient[unit]
            let weightStart = weightOffset + unit * inputCount
            parameterGradient[biasOffset + unit] += gradient
            ReferenceLoops.addScaled(parameterGradient + weightStart, gradient, input, inputCount)
            if let inputGradient {
                ReferenceLoops.addScaled(
                    inputGradient, gradient, parameters + weightStart, inputCount)
            }
        }
    }
}
