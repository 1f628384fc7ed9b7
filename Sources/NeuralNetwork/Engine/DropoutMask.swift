import CKernels
import CounterRandom

/// The values that determine the dropout masks of one tile.
package struct DropoutKey {
    /// The run's seed.
    package let seed: UInt64
    package let epoch: Int
    /// The global numbers of the tile's records, [count].
    package let records: UnsafePointer<UInt64>
    /// The number of records in the tile; the rest of the tile is padding.
    package let count: Int

    /// Creates a key.
    package init(seed: UInt64, epoch: Int, records: UnsafePointer<UInt64>, count: Int) {
        self.seed = seed
        self.epoch = epoch
        self.records = records
        self.count = count
    }
}

/// The masks of inverted dropout: 0 for a dropped element, 1 / (1 - rate) for a kept one.
///
/// Determinism: a mask is a function of (seed, epoch, record, layer index), so every worker, thread
/// and backend that computes a record draws the same mask. Element i, counted in C, H, W order, is
/// kept when the i-th uniform number of the stream is at least `rate`.
/// Source: Srivastava et al., JMLR 15 (2014), with the scaling that Keras and PyTorch use.
public enum DropoutMask {
    /// Writes the mask of one record in one layer to `out`.
    ///
    /// - Parameters:
    ///   - out: receives `count` floats.
    ///   - count: the number of elements that the layer has for one record.
    ///   - rate: the probability that an element is dropped, in 0..<1.
    ///   - seed: the run's seed.
    ///   - epoch: the number of the epoch.
    ///   - record: the record's global number.
    ///   - layerIndex: the layer's ``Node/index``.
    public static func fill(
        _ out: UnsafeMutablePointer<Float>, count: Int, rate: Double, seed: UInt64, epoch: Int,
        record: UInt64, layerIndex: Int
    ) {
        let stream = RandomStream(
            seed: seed, purpose: .dropout,
            mix64(UInt64(bitPattern: Int64(epoch))) &+ UInt64(layerIndex), record)
        let kept = Float(1 / (1 - rate))
        // A uniform number is a 24-bit integer times 2⁻²⁴. It is at least `rate` exactly where that
        // integer is at least `least`.
        let least = UInt32((rate * 0x1p24).rounded(.up))
        convoy_dropout_mask(out, count, stream.key, stream.high, least, kept)
    }

    /// Writes the masks of a tile's records to `rows`, row-major [key.count, count].
    package static func fill(
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
