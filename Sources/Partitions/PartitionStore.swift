import SafeTensors

/// The records of one split of a partitioned data set.
final class PartitionStore: RecordStore {
    let recordCount: Int
    private let cache: PartitionCache
    /// The number of the split's first partition in the cache.
    private let firstPartition: Int
    /// The number of each partition's first record, and then the split's record count.
    private let starts: [Int]
    private let elementCount: Int
    private let elementType: DataSetDescription.ElementType
    /// The number of targets of a record; 0 for records with labels.
    private let targetCount: Int

    init(cache: PartitionCache, split: DataSplit) {
        let manifest = cache.files.manifest
        self.cache = cache
        firstPartition = split == .training ? 0 : manifest.training.count
        var starts = [0]
        for entry in manifest.entries(split) { starts.append(starts.last! + entry.records) }
        self.starts = starts
        recordCount = starts.last!
        elementCount = manifest.elementCount
        elementType = manifest.dtype
        targetCount = manifest.targets ?? 0
    }

    func gather(
        _ records: UnsafeBufferPointer<UInt64>, images: UnsafeMutablePointer<Float>,
        labels: UnsafeMutablePointer<Int32>, targets: UnsafeMutablePointer<Float>?
    ) throws(DataError) {
        var current = -1
        var access: PartitionCache.Access?
        for (position, record) in records.enumerated() {
            let partition = partition(of: Int(record))
            if partition != current {
                access = try cache.access(firstPartition + partition)
                current = partition
            }
            let index = Int(record) - starts[partition]
            let destination = images + position * elementCount
            switch access! {
            case .memory(let content):
                content.image(
                    index, elementCount: elementCount, type: elementType, into: destination)
                content.answers.write(
                    index, to: position, labels: labels, targets: targets, targetCount: targetCount)
            case .file(let file, let layout, let known):
                let bytes = try imageBytes(index, of: file, layout)
                bytes.withUnsafeBytes {
                    decodeImage(
                        $0.baseAddress!, elementCount: elementCount, type: elementType,
                        into: destination)
                }
                known.write(
                    index, to: position, labels: labels, targets: targets, targetCount: targetCount)
            }
        }
    }

    func visit(
        _ records: UnsafeBufferPointer<UInt64>, labels: UnsafeMutablePointer<Int32>,
        targets: UnsafeMutablePointer<Float>?, _ body: (Int, UnsafeRawPointer) -> Void
    ) throws(DataError) {
        let size = elementCount * elementType.byteCount
        var current = -1
        var access: PartitionCache.Access?
        for (position, record) in records.enumerated() {
            let partition = partition(of: Int(record))
            if partition != current {
                access = try cache.access(firstPartition + partition)
                current = partition
            }
            let index = Int(record) - starts[partition]
            switch access! {
            case .memory(let content):
                content.answers.write(
                    index, to: position, labels: labels, targets: targets, targetCount: targetCount)
                content.withImage(index, byteCount: size) { body(position, $0) }
            case .file(let file, let layout, let known):
                let bytes = try imageBytes(index, of: file, layout)
                known.write(
                    index, to: position, labels: labels, targets: targets, targetCount: targetCount)
                bytes.withUnsafeBytes { body(position, $0.baseAddress!) }
            }
        }
    }

    func stored(_ range: Range<Int>) throws(DataError) -> (images: [UInt8], labels: [Int32]) {
        let size = elementCount * elementType.byteCount
        var images: [UInt8] = []
        var labels: [Int32] = []
        images.reserveCapacity(range.count * size)
        for (partition, local) in pieces(range) {
            switch try cache.access(firstPartition + partition) {
            case .memory(let content):
                images += content.storedImages(local, imageByteCount: size)
                labels += content.answers.labels(local)
            case .file(let file, let layout, let known):
                for index in local { images += try imageBytes(index, of: file, layout) }
                labels += known.labels(local)
            }
        }
        return (images, labels)
    }

    func labels(_ range: Range<Int>) throws(DataError) -> [Int32] {
        var labels: [Int32] = []
        for (partition, local) in pieces(range) {
            switch try cache.access(firstPartition + partition) {
            case .memory(let content): labels += content.answers.labels(local)
            case .file(_, _, let known): labels += known.labels(local)
            }
        }
        return labels
    }

    func targets(_ range: Range<Int>) throws(DataError) -> [Float] {
        var targets: [Float] = []
        for (partition, local) in pieces(range) {
            switch try cache.access(firstPartition + partition) {
            case .memory(let content):
                targets += content.answers.targets(local, targetCount: targetCount)
            case .file(_, _, let known):
                targets += known.targets(local, targetCount: targetCount)
            }
        }
        return targets
    }

    /// Returns the partitions that contain a range of the split's records, each with its records of
    /// the range, counted within the partition.
    private func pieces(_ range: Range<Int>) -> [(partition: Int, local: Range<Int>)] {
        (0..<starts.count - 1).compactMap { partition in
            let start = starts[partition]
            let part = range.clamped(to: start..<starts[partition + 1])
            return part.isEmpty
                ? nil : (partition, part.lowerBound - start..<part.upperBound - start)
        }
    }

    /// Returns the stored bytes of image `index` of a partition's file.
    private func imageBytes(
        _ index: Int, of file: ReadOnlyFile, _ layout: PartitionManifest.Layout
    ) throws(DataError) -> [UInt8] {
        let size = elementCount * elementType.byteCount
        let bytes = try reading { () throws(SystemCallError) in
            try file.bytes(at: layout.images.lowerBound + index * size, byteCount: size)
        }
        guard bytes.count == size else {
            throw DataError(
                .truncated, file: file.path, what: "image \(index)", expected: "\(size) bytes",
                found: "\(bytes.count)",
                advice: "the file changed while it was in use; copy it again")
        }
        return bytes
    }

    /// Returns the last partition that starts at or before `record`; that partition is not empty.
    private func partition(of record: Int) -> Int {
        var low = 0
        var high = starts.count - 1
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= record { low = middle } else { high = middle }
        }
        return low
    }
}
