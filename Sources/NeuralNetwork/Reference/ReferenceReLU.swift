/// max(x, 0), element by element. A NaN stays a NaN. The gradient at 0 is 0.
struct ReferenceReLU<Scalar: ReferenceScalar> {
    let count: Int

    func forward(_ input: UnsafePointer<Scalar>, into output: UnsafeMutablePointer<Scalar>) {
        for i in 0..<count { output[i] = input[i] <= 0 ? 0 : input[i] }
    }

    func backward(
        _ input: UnsafePointer<Scalar>, outputGradient: UnsafePointer<Scalar>,
        inputGradient: UnsafeMutablePointer<Scalar>
    ) {
        for i in 0..<count { inputGradient[i] = input[i] <= 0 ? 0 : outputGradient[i] }
    }
}
