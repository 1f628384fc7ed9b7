import SafeTensors
import Synchronization

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
    /// The number of bytes of a stored image.
    private let imageByteCount: Int
    /// Memory for single images, as much as calls used at once so far.
    private let buffers = Mutex<[[UInt8]]>([])

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
        imageByteCount = manifest.elementCount * manifest.dtype.byteCount
        targetCount = manifest.targets ?? 0
    }

    var isReadFromFiles: Bool { cache.hasFiles }

    func gather(
        _ records: UnsafeBufferPointer<UInt64>, images: UnsafeMutablePointer<Float>,
        labels: UnsafeMutablePointer<Int32>, targets: UnsafeMutablePointer<Float>?
    ) throws(DataError) {
        try visit(records, labels: labels, targets: targets) { position, image in
            decodeImage(
                image, elementCount: elementCount, type: elementType,
                into: images + position * elementCount)
        }
    }

    func visit(
        _ records: UnsafeBufferPointer<UInt64>, labels: UnsafeMutablePointer<Int32>,
        targets: UnsafeMutablePointer<Float>?, _ body: (Int, UnsafeRawPointer) -> Void
    ) throws(DataError) {
        announce(records)
        // Memory for an image from a file, used again by the next call.
        var image = buffers.withLock { $0.popLast() } ?? [UInt8](repeating: 0, count: imageByteCount)
        defer { buffers.withLock { $0.append(image) } }
        var current = -1
        var access: PartitionCache.Access?
        for (position, record) in records.enumerated() {
            let partition = partition(of: Int(record))
            if partition != current {
                access = try cache.access(firstPartition + partition)
                current = partition
            }
            let index = Int(record) - starts[partition]
            let answers: RecordAnswers
            switch access! {
            case .memory(let content):
                answers = content.answers
                content.withImage(index, byteCount: imageByteCount) { body(position, $0) }
            case .file(let open):
                answers = open.partition.answers
                access = try read(index, 1, of: partition, open, into: &image)
                image.withUnsafeBytes { body(position, $0.baseAddress!) }
            }
            answers.write(
                index, to: position, labels: labels, targets: targets, targetCount: targetCount)
        }
    }

    func announce(_ records: UnsafeBufferPointer<UInt64>) {
        guard cache.hasFiles else { return }
        var current = -1
        var open: OpenPartition?
        // Records that lie side by side in a file are announced as one stretch.
        var stretch = 0..<0
        for record in records {
            let partition = partition(of: Int(record))
            if partition != current {
                open?.file.willNeed(stretch)
                stretch = 0..<0
                open = cache.openPartition(firstPartition + partition)
                current = partition
            }
            guard let open else { continue }
            let place = open.place(
                Int(record) - starts[partition], imageByteCount: imageByteCount)
            if stretch.upperBound == place.lowerBound {
                stretch = stretch.lowerBound..<place.upperBound
            } else {
                open.file.willNeed(stretch)
                stretch = place
            }
        }
        open?.file.willNeed(stretch)
    }

    func open(partition: Int, isAhead: Bool) throws(DataError) {
        if isAhead {
            cache.openAhead(firstPartition + partition)
        } else {
            _ = try cache.access(firstPartition + partition)
        }
    }

    func stored(_ range: Range<Int>) throws(DataError) -> (images: [UInt8], labels: [Int32]) {
        var images: [UInt8] = []
        var labels: [Int32] = []
        images.reserveCapacity(range.count * imageByteCount)
        for (partition, local) in pieces(range) {
            switch try cache.access(firstPartition + partition) {
            case .memory(let content):
                images += content.storedImages(local, imageByteCount: imageByteCount)
                labels += content.answers.labels(local)
            case .file(let open):
                var part = [UInt8](repeating: 0, count: local.count * imageByteCount)
                try read(local.lowerBound, local.count, of: partition, open, into: &part)
                images += part
                labels += open.partition.answers.labels(local)
            }
        }
        return (images, labels)
    }

    func labels(_ range: Range<Int>) throws(DataError) -> [Int32] {
        var labels: [Int32] = []
        for (partition, local) in pieces(range) {
            switch try cache.access(firstPartition + partition) {
            case .memory(let content): labels += content.answers.labels(local)
            case .file(let open): labels += open.partition.answers.labels(local)
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
            case .file(let open):
                targets += open.partition.answers.targets(local, targetCount: targetCount)
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

    /// Reads stored images from `index` on, `count` of them, into the whole of `bytes`. A file that
    /// was written to since it was compared with its SHA-256 is compared again.
    ///
    /// - Returns: the way to read the partition from now on.
    /// - Throws: what is wrong with the file now; `changed` for one that changes all the time.
    @discardableResult
    private func read(
        _ index: Int, _ count: Int, of partition: Int, _ open: OpenPartition,
        into bytes: inout [UInt8]
    ) throws(DataError) -> PartitionCache.Access {
        var open = open
        for _ in 0..<Self.maximumAttemptCount {
            var result: Result<Bool, DataError> = .success(false)
            bytes.withUnsafeMutableBytes { buffer in
                do throws(DataError) {
                    let isGood = try open.read(index, imageByteCount: imageByteCount, into: buffer)
                    result = .success(isGood)
                } catch {
                    result = .failure(error)
                }
            }
            if try result.get() { return .file(open) }
            cache.forget(firstPartition + partition, open.partition)
            switch try cache.access(firstPartition + partition) {
            case .memory(let content):
                let images = index..<index + count
                bytes = Array(content.storedImages(images, imageByteCount: imageByteCount))
                return .memory(content)
            case .file(let again): open = again
            }
        }
        throw CheckedPartition.changed(open.file.path)
    }

    /// The number of attempts to read from a file that is written to.
    private static let maximumAttemptCount = 3

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
