import CounterRandom

/// Selects the random numbers of one pass over the training data.
public struct AugmentationKey: Sendable, Hashable {
    /// The run's seed.
    public var seed: UInt64
    /// The number of the pass over the data, from 0.
    public var epoch: Int

    /// Creates a key.
    public init(seed: UInt64, epoch: Int) {
        self.seed = seed
        self.epoch = epoch
    }

    /// Returns the stream of random numbers for one record and one place in the list of
    /// transformations, from 0.
    func stream(record: UInt64, place: Int) -> RandomStream {
        RandomStream(
            seed: seed, purpose: .augmentation,
            UInt64(truncatingIfNeeded: epoch) ^ UInt64(truncatingIfNeeded: place) << 40, record)
    }

    /// Returns the stream of a record and a place that is the same in every epoch.
    func lastingStream(record: UInt64, place: Int) -> RandomStream {
        RandomStream(
            seed: seed, purpose: .augmentation,
            1 << 63 | UInt64(truncatingIfNeeded: place) << 40, record)
    }
}

/// Selects the random numbers of one record at one place in the list of transformations.
struct RecordKey {
    let augmentation: AugmentationKey
    let record: UInt64
    let place: Int

    /// The random numbers of the record in this epoch.
    var stream: RandomStream { augmentation.stream(record: record, place: place) }
    /// Random numbers of the record that are the same in every epoch.
    var lastingStream: RandomStream { augmentation.lastingStream(record: record, place: place) }
    /// The number of the pass over the data.
    var epoch: Int { augmentation.epoch }
}
