import CKernels
import CounterRandom

/// What dropout masks are keyed by, for one tile.
struct DropoutKey {
    let seed: UInt64
    let epoch: Int
    let records: UnsafePointer<UInt64>
    /// Samples in the tile; the rest of the tile is padding.
    let count: Int
}

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
        let stream = RandomStream(
            seed: seed, purpose: .dropout,
            mix64(UInt64(bitPattern: Int64(epoch))) &+ UInt64(layerIndex), record)
        let kept = Float(1 / (1 - rate))
        // A uniform number is 24 bits times 2⁻²⁴, so it is at least `rate` where the bits are.
        let least = UInt32((rate * 0x1p24).rounded(.up))
        convoy_dropout_mask(out, count, stream.key, stream.high, least, kept)
    }

    /// Fills `rows` [key.count, count] with the masks of a tile's records.
    static func fill(
        _ rows: UnsafeMutablePointer<Float>, count: Int, rate: Double, key: DropoutKey,
        layerIndex: Int
    ) {
        for sample in 0..<key.count {
            fill(
                rows + sample * count, count: count, rate: rate, seed: key.seed, epoch: key.epoch,
                record: key.records[sample], layerIndex: layerIndex)
        }
    }
}
