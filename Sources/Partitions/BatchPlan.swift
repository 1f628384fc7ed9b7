import CounterRandom

/// Which records every virtual worker takes in every step: a pure function of its few numbers.
///
/// In each epoch the partitions are put into an order drawn from (seed, epoch) and their records
/// concatenated in that order. The sequence is cut into V contiguous stretches whose lengths differ
/// by at most one, one for each virtual worker, which takes its stretch in an order drawn from
/// (seed, epoch, virtual worker), G / V records a step. With equal partitions and a V that divides
/// their number every virtual worker gets whole partitions; whatever the sizes, an epoch has
/// ceil(N / G) steps, because ceil(ceil(N / V) / (G / V)) = ceil(N / G).
///
/// Steps, epochs, virtual workers and records are counted from 0. The last step's microbatches may
/// be short or empty.
public struct BatchPlan: Sendable, Hashable {
    /// Records of a step; more are refused.
    public static let maximumBatchSize = 1 << 24
    /// Records of an epoch; more are refused, as in a manifest.
    public static let maximumRecordCount = 1 << 50

    public let partitionRecordCounts: [Int]
    public let batchSize: Int
    public let virtualWorkerCount: Int
    public let seed: UInt64
    /// Records of an epoch.
    public let recordCount: Int
    public let stepsPerEpoch: Int
    /// First record of each partition.
    private let starts: [Int]

    /// - Throws: when V is not at least 1 or does not divide G, or when there are no records.
    public init(
        partitionRecordCounts: [Int], batchSize: Int, virtualWorkerCount: Int, seed: UInt64
    ) throws(DataError) {
        guard virtualWorkerCount >= 1 else {
            throw DataError(
                .badSetting, file: "virtual-workers", what: "number of virtual workers",
                expected: "at least 1", found: "\(virtualWorkerCount)", advice: "use 1 or more")
        }
        guard batchSize <= Self.maximumBatchSize else {
            throw DataError(
                .badSetting, file: "batch-size", what: "batch size",
                expected: "at most \(Self.maximumBatchSize)", found: "\(batchSize)")
        }
        guard batchSize >= 1, batchSize % virtualWorkerCount == 0 else {
            let below = virtualWorkerCount * max(1, batchSize / virtualWorkerCount)
            let divisor =
                (1...max(1, min(virtualWorkerCount, batchSize))).last { batchSize % $0 == 0 } ?? 1
            throw DataError(
                .badSetting, file: "batch-size",
                what: "batch size for \(virtualWorkerCount) virtual workers",
                expected: "a multiple of \(virtualWorkerCount)", found: "\(batchSize)",
                advice: "use batch-size \(below) or virtual-workers \(divisor)")
        }
        guard partitionRecordCounts.allSatisfy({ $0 >= 0 }),
            partitionRecordCounts.contains(where: { $0 > 0 })
        else {
            throw DataError(
                .emptySet, file: "partitions", what: "training records", expected: "at least 1",
                found: "0")
        }
        let bound = Self.maximumRecordCount
        guard partitionRecordCounts.reduce(0, { min(bound + 1, min(bound + 1, $1) + $0) }) <= bound
        else {
            throw DataError(
                .badSetting, file: "partitions", what: "training records",
                expected: "at most \(bound)", found: "more")
        }
        self.partitionRecordCounts = partitionRecordCounts
        self.batchSize = batchSize
        self.virtualWorkerCount = virtualWorkerCount
        self.seed = seed
        var starts: [Int] = []
        var total = 0
        for count in partitionRecordCounts {
            starts.append(total)
            total += count
        }
        self.starts = starts
        recordCount = total
        stepsPerEpoch = (total - 1) / batchSize + 1
    }

    /// Records of a full microbatch, G / V.
    public var microbatchSize: Int { batchSize / virtualWorkerCount }

    /// Records that a microbatch can have at most: a batch may be larger than the data.
    public var microbatchCapacity: Int {
        min(microbatchSize, (recordCount - 1) / virtualWorkerCount + 1)
    }

    public func epoch(ofStep step: Int) -> Int { step / stepsPerEpoch }
    public func stepInEpoch(_ step: Int) -> Int { step % stepsPerEpoch }

    /// The stretch of a virtual worker within the epoch's sequence.
    public func stretch(virtualWorker: Int) -> Range<Int> {
        precondition(
            (0..<virtualWorkerCount).contains(virtualWorker),
            "virtual worker \(virtualWorker), expected 0..<\(virtualWorkerCount)")
        return evenCut(count: recordCount, pieceCount: virtualWorkerCount, index: virtualWorker)
    }

    /// The part of a virtual worker's order that it takes in a step; empty at the end of a short
    /// stretch.
    public func microbatchRange(step: Int, virtualWorker: Int) -> Range<Int> {
        precondition(step >= 0, "step \(step), expected at least 0")
        let length = stretch(virtualWorker: virtualWorker).count
        let start = stepInEpoch(step) * microbatchSize
        return min(start, length)..<min(start + microbatchSize, length)
    }

    /// Records that all virtual workers together take in a step.
    public func recordCount(step: Int) -> Int {
        (0..<virtualWorkerCount).reduce(0) {
            $0 + microbatchRange(step: step, virtualWorker: $1).count
        }
    }

    /// The epoch's order of partitions.
    public func partitionOrder(epoch: Int) -> [Int] {
        precondition(epoch >= 0, "epoch \(epoch), expected at least 0")
        var order = Array(partitionRecordCounts.indices)
        var random = RandomStream(seed: seed, purpose: .partitionOrder, UInt64(epoch))
        random.shuffle(&order)
        return order
    }

    /// The pieces of partitions that make up a virtual worker's stretch: ranges of global record
    /// numbers, in the epoch's order of partitions.
    public func pieces(epoch: Int, virtualWorker: Int) -> [(partition: Int, records: Range<Int>)] {
        let stretch = stretch(virtualWorker: virtualWorker)
        var pieces: [(partition: Int, records: Range<Int>)] = []
        var position = 0
        for partition in partitionOrder(epoch: epoch) {
            let count = partitionRecordCounts[partition]
            let part = stretch.clamped(to: position..<position + count)
            if !part.isEmpty {
                let offset = starts[partition] - position
                pieces.append((partition, part.lowerBound + offset..<part.upperBound + offset))
            }
            position += count
            if position >= stretch.upperBound { break }
        }
        return pieces
    }

    /// A virtual worker's records of an epoch, by their global numbers, in the order it takes them.
    ///
    /// Cost: linear in the stretch; keep it in an `OrderCache`.
    public func order(epoch: Int, virtualWorker: Int) -> [UInt64] {
        var order: [UInt64] = []
        order.reserveCapacity(stretch(virtualWorker: virtualWorker).count)
        for piece in pieces(epoch: epoch, virtualWorker: virtualWorker) {
            order += piece.records.lazy.map { UInt64($0) }
        }
        var random = RandomStream(
            seed: seed, purpose: .recordOrder, UInt64(epoch), UInt64(virtualWorker))
        random.shuffle(&order)
        return order
    }
}
