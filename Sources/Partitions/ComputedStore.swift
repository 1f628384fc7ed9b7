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
    private let turn = Mutex(())

    /// The number of records that are computed at a time.
    private static let batch = 256

    init(
        _ source: DataSet, _ split: DataSplit, elementCount: Int,
        _ compute: @escaping @Sendable (DataSet.Images) -> [Float]
    ) {
        self.source = source
        self.split = split
        self.elementCount = elementCount
        self.compute = compute
    }

    var recordCount: Int { source.description.recordCount(split) }

    private func computed(_ records: [Int]) throws(DataError) -> (images: [Float], labels: [Int32]) {
        var images: [Float] = []
        var labels: [Int32] = []
        images.reserveCapacity(records.count * elementCount)
        for start in stride(from: 0, to: records.count, by: Self.batch) {
            let here = Array(records[start..<min(records.count, start + Self.batch)])
            let found = try source.gather(split, records: here)
            let part = turn.withLock { _ in
                compute(DataSet.Images(pixels: found.images, count: here.count))
            }
            precondition(part.count == here.count * elementCount, "\(part.count) numbers")
            images += part
            labels += found.labels
        }
        return (images, labels)
    }

    func gather(
        _ records: UnsafeBufferPointer<UInt64>, images: UnsafeMutablePointer<Float>,
        labels: UnsafeMutablePointer<Int32>
    ) throws(DataError) {
        let found = try computed(records.map { Int($0) })
        images.update(from: found.images, count: found.images.count)
        labels.update(from: found.labels, count: found.labels.count)
    }

    func stored(_ range: Range<Int>) throws(DataError) -> (images: [UInt8], labels: [Int32]) {
        let found = try computed(Array(range))
        let bytes = found.images.map(\.bitPattern.littleEndian).withUnsafeBytes { [UInt8]($0) }
        return (bytes, found.labels)
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
        return DataSet(
            specification: specification,
            description: DataSetDescription(
                name: name, shape: shape, classCount: description.classCount,
                trainingCount: description.trainingCount, testCount: description.testCount,
                elementType: .F32, fingerprint: fingerprint),
            partitions: partitions, testPartitions: testPartitions, supply: supply,
            training: ComputedStore(self, .training, elementCount: elementCount, compute),
            test: ComputedStore(self, .test, elementCount: elementCount, compute))
    }
}
