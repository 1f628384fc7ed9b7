import Checksums
import Synchronization

/// The records of one split of a data set, with images that are computed from that set's images.
///
/// Memory: the images of one call. Threading: any thread; one call computes at a time.
private final class ComputedStore: RecordStore {
    private let source: DataSet
    private let split: DataSplit
    private let elementCount: Int
    private let compute: @Sendable (DataSet.Images) -> [Float]
    private let turn: Turn

    /// The number of records that are computed at a time.
    private static let batch = 256

    init(
        _ source: DataSet, _ split: DataSplit, elementCount: Int, _ turn: Turn,
        _ compute: @escaping @Sendable (DataSet.Images) -> [Float]
    ) {
        self.source = source
        self.split = split
        self.elementCount = elementCount
        self.turn = turn
        self.compute = compute
    }

    /// A lock that the stores of a data set share.
    final class Turn: Sendable {
        let lock = Mutex(())
    }

    var recordCount: Int { source.description.recordCount(split) }
    var isReadFromFiles: Bool { source.isReadFromFiles }

    func gather(
        _ records: UnsafeBufferPointer<UInt64>, images: UnsafeMutablePointer<Float>,
        labels: UnsafeMutablePointer<Int32>, targets: UnsafeMutablePointer<Float>?
    ) throws(DataError) {
        try visit(records, labels: labels, targets: targets) { position, image in
            (images + position * elementCount).update(
                from: image.assumingMemoryBound(to: Float.self), count: elementCount)
        }
    }

    func visit(
        _ records: UnsafeBufferPointer<UInt64>, labels: UnsafeMutablePointer<Int32>,
        targets: UnsafeMutablePointer<Float>?, _ body: (Int, UnsafeRawPointer) -> Void
    ) throws(DataError) {
        let size = source.description.elementCount
        var pixels = [Float](repeating: 0, count: min(records.count, Self.batch) * size)
        for start in stride(from: 0, to: records.count, by: Self.batch) {
            let here = UnsafeBufferPointer(
                rebasing: records[start..<min(records.count, start + Self.batch)])
            let width = source.description.targetCount ?? 0
            try source.gather(
                split, records: here, images: &pixels, labels: labels + start,
                targets: targets.map { $0 + start * width })
            let part = turn.lock.withLock { _ in
                compute(DataSet.Images(pixels: pixels, count: here.count))
            }
            precondition(part.count == here.count * elementCount, "\(part.count) numbers")
            part.withUnsafeBytes { part in
                for index in here.indices {
                    body(start + index, part.baseAddress! + 4 * index * elementCount)
                }
            }
        }
    }

    func announce(_ records: UnsafeBufferPointer<UInt64>) {
        source.announce(split, records: records)
    }

    func open(partition: Int, isAhead: Bool) throws(DataError) {
        try source.open(split, partition: partition, isAhead: isAhead)
    }

    func stored(_ range: Range<Int>) throws(DataError) -> (images: [UInt8], labels: [Int32]) {
        var images = [Float](repeating: 0, count: range.count * elementCount)
        var labels = [Int32](repeating: 0, count: range.count)
        let records = range.map(UInt64.init)
        var failure: DataError?
        records.withUnsafeBufferPointer { records in
            do throws(DataError) {
                try gather(records, images: &images, labels: &labels, targets: nil)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        let bytes = images.map(\.bitPattern.littleEndian).withUnsafeBytes { [UInt8]($0) }
        return (bytes, labels)
    }

    func targets(_ range: Range<Int>) throws(DataError) -> [Float] {
        try source.targets(split, range: range)
    }

    func labels(_ range: Range<Int>) throws(DataError) -> [Int32] {
        try source.labels(split, range: range)
    }
}

extension DataSet {
    /// Images that are computed together.
    public struct Images: Sendable {
        /// The pixels, [count, C, H, W].
        public let pixels: [Float]
        /// The number of images.
        public let count: Int
    }

    /// Returns a data set of the same records whose images are computed from this set's images. They
    /// are computed each time that they are read, without random transformations.
    ///
    /// - Parameters:
    ///   - name: the name of the new set.
    ///   - shape: the shape [C, H, W] of a computed image.
    ///   - key: what the computation depends on beside the images; it goes into the fingerprint.
    ///   - compute: returns the computed images, [count, C, H, W].
    public func computed(
        name: String, shape: [Int], key: String,
        _ compute: @escaping @Sendable (Images) -> [Float]
    ) -> DataSet {
        let fingerprint = hexadecimal(
            SHA256.hash(data: Array("\(description.fingerprint)\n\(key)".utf8)))
        let elementCount = shape.reduce(1, *)
        let turn = ComputedStore.Turn()
        return DataSet(
            specification: specification,
            description: DataSetDescription(
                name: name, shape: shape, classCount: description.classCount,
                targetCount: description.targetCount, classHistogram: description.classHistogram,
                trainingCount: description.trainingCount, testCount: description.testCount,
                elementType: .F32, fingerprint: fingerprint),
            partitions: partitions, testPartitions: testPartitions, supply: supply,
            training: ComputedStore(self, .training, elementCount: elementCount, turn, compute),
            test: ComputedStore(self, .test, elementCount: elementCount, turn, compute))
    }
}
