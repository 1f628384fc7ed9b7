import CounterRandom

/// Decides which records every virtual worker takes in every step.
///
/// The decision is a pure function of the plan's stored properties. In each epoch the partitions
/// are put into an order drawn from (seed, epoch), and their records are concatenated in that
/// order. The sequence is cut into V contiguous stretches, one for each virtual worker, with
/// lengths that differ by at most one. Each virtual worker takes the records of its stretch in an
/// order drawn from (seed, epoch, virtual worker), G / V records a step, where G is the batch size.
/// When the partitions are of equal size and V divides their number, every virtual worker gets
/// whole partitions. For any sizes an epoch of N records has ceil(N / G) steps, because
/// ceil(ceil(N / V) / (G / V)) = ceil(N / G).
///
/// Steps, epochs, virtual workers and records are counted from 0. The microbatches of an epoch's
/// last step may be short or empty.
public struct BatchPlan: Sendable, Hashable {
    /// The largest number of records in a step; `init` refuses a larger batch.
    public static let maximumBatchSize = 1 << 24
    /// The largest number of records in an epoch, the same as in a manifest; `init` refuses more.
    public static let maximumRecordCount = 1 << 50

    /// The number of records in each training partition.
    public let partitionRecordCounts: [Int]
    /// The number of records in a full step, G.
    public let batchSize: Int
    /// The number of virtual workers, V; it divides `batchSize`.
    public let virtualWorkerCount: Int
    /// The run's seed, from which every order is drawn.
    public let seed: UInt64
    /// The number of records in an epoch, N.
    public let recordCount: Int
    /// The number of steps in an epoch, ceil(N / G).
    public let stepsPerEpoch: Int
    /// The global number of each partition's first record.
    private let starts: [Int]

    /// Creates a plan.
    ///
    /// - Throws: `badSetting` when V is below 1, G is not a positive multiple of V, or G or the
    ///   number of records is too large; `emptySet` when there are no records or a count is
    ///   negative.
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

    /// The number of records in a full microbatch, G / V.
    public var microbatchSize: Int { batchSize / virtualWorkerCount }

    /// The largest number of records that a microbatch of this plan has. It can be below
    /// `microbatchSize` when the batch is larger than the data set.
    public var microbatchCapacity: Int {
        min(microbatchSize, (recordCount - 1) / virtualWorkerCount + 1)
    }

    /// Returns the epoch that a step belongs to.
    public func epoch(ofStep step: Int) -> Int { step / stepsPerEpoch }
    /// Returns the step's number within its epoch, 0 to `stepsPerEpoch` - 1.
    public func stepInEpoch(_ step: Int) -> Int { step % stepsPerEpoch }

    /// Returns the virtual worker's stretch: a range of positions in the epoch's sequence of
    /// records.
    public func stretch(virtualWorker: Int) -> Range<Int> {
        precondition(
            (0..<virtualWorkerCount).contains(virtualWorker),
            "virtual worker \(virtualWorker), expected 0..<\(virtualWorkerCount)")
        return evenCut(count: recordCount, pieceCount: virtualWorkerCount, index: virtualWorker)
    }

    /// Returns the positions within `order(epoch:virtualWorker:)` that the virtual worker takes in
    /// a step. The range is empty once a short stretch has ended.
    public func microbatchRange(step: Int, virtualWorker: Int) -> Range<Int> {
        precondition(step >= 0, "step \(step), expected at least 0")
        let length = stretch(virtualWorker: virtualWorker).count
        let start = stepInEpoch(step) * microbatchSize
        return min(start, length)..<min(start + microbatchSize, length)
    }

    /// Returns the number of records that all virtual workers together take in a step.
    public func recordCount(step: Int) -> Int {
        (0..<virtualWorkerCount).reduce(0) {
            $0 + microbatchRange(step: step, virtualWorker: $1).count
        }
    }

    /// Returns the indices of the partitions in the epoch's order.
    public func partitionOrder(epoch: Int) -> [Int] {
        precondition(epoch >= 0, "epoch \(epoch), expected at least 0")
        var order = Array(partitionRecordCounts.indices)
        var random = RandomStream(seed: seed, purpose: .partitionOrder, UInt64(epoch))
        random.shuffle(&order)
        return order
    }

    /// Returns the pieces of partitions that make up the virtual worker's stretch. Each piece is a
    /// range of global record numbers; the pieces are in the epoch's order of partitions.
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

    /// Returns the global numbers of the virtual worker's records, in the order in which it takes
    /// them in the epoch.
    ///
    /// Cost: linear in the stretch's length and the number of partitions. An `OrderCache` keeps the
    /// result.
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
