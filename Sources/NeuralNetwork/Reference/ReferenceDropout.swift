/// Inverted dropout: in training each element is dropped, or kept and scaled by 1 / (1 - rate); in
/// inference all elements stay as they are. ``DropoutMask`` draws the mask.
struct ReferenceDropout<Scalar: ReferenceScalar> {
    let count: Int
    let rate: Double
    let layerIndex: Int
    let seed: UInt64

    /// The elements of scratch memory: the mask, kept from forward to backward.
    var scratchCount: Int { count }

    func forward(
        _ input: UnsafePointer<Scalar>, into output: UnsafeMutablePointer<Scalar>,
        mode: ReferenceMode, scratch mask: UnsafeMutablePointer<Scalar>
    ) {
        switch mode {
        case .inference: mask.update(repeating: 1, count: count)
        case .training(let epoch, let record):
            withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { drawn in
                guard let base = drawn.baseAddress else { return }
                DropoutMask.fill(
                    base, count: count, rate: rate, seed: seed, epoch: epoch, record: record,
                    layerIndex: layerIndex)
                for i in 0..<count { mask[i] = Scalar(base[i]) }
            }
        }
        for i in 0..<count { output[i] = input[i] * mask[i] }
    }

    func backward(
        outputGradient: UnsafePointer<Scalar>, inputGradient: UnsafeMutablePointer<Scalar>,
        scratch mask: UnsafePointer<Scalar>
    ) {
        for i in 0..<count { inputGradient[i] = outputGradient[i] * mask[i] }
    }
}
