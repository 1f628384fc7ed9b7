import CounterRandom

/// The masks of inverted dropout: 0 for what is dropped, 1/(1-rate) for what is kept.
///
/// Determinism: a mask is a function of (seed, epoch, record, layer index), so every worker, thread
/// and backend that computes a record draws the same one. Element i, in C, H, W order, is kept when
/// the stream's i-th uniform number is at least `rate`.
/// Source: Srivastava et al., JMLR 15 (2014), in the scaling that Keras and PyTorch use.
public enum DropoutMask {
    /// Fills `out` with the mask of one record in one layer.
    public static func fill(
        _ out: UnsafeMutablePointer<Float>, count: Int, rate: Double, seed: UInt64, epoch: Int,
        record: UInt64, layerIndex: Int
    ) {
        var stream = RandomStream(
            seed: seed, purpose: .dropout,
            mix64(UInt64(bitPattern: Int64(epoch))) &+ UInt64(layerIndex), record)
        let kept = Float(1 / (1 - rate))
        for index in 0..<count { out[index] = Double(stream.nextUniform()) >= rate ? kept : 0 }
    }
}
