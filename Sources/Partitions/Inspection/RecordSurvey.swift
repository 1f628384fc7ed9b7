import Checksums

/// What one pass over all stored records shows.
///
/// Records are read in blocks, by several threads. The blocks are those of the record's size alone,
/// and their results are put together in their order.
///
/// Memory: 32 bytes a record, and 2 kB a channel and block.
struct RecordSurvey {
    /// The first half of the SHA-256 of a record's elements.
    struct Digest: Sendable, Comparable {
        let high: UInt64
        let low: UInt64

        init(_ bytes: [UInt8]) {
            high = RecordHash.number(bytes)
            low = RecordHash.number(Array(bytes.dropFirst(8)))
        }

        static func < (one: Digest, two: Digest) -> Bool {
            (one.high, one.low) < (two.high, two.low)
        }
    }

    /// The records of a split.
    struct Part {
        var digests: [Digest] = []
        var labels: [Int32] = []
    }

    private(set) var training = Part()
    private(set) var test = Part()
    private(set) var channels: [DataSetReport.Channel] = []

    private static let blockByteCount = 1 << 20
    private static let exampleCount = 5

    private struct Block: Sendable {
        var digests: [Digest] = []
        var labels: [Int32] = []
        /// The number of elements of each byte: element c · 256 + b.
        var histogram: [Int] = []
        var moments: [Moments] = []
    }

    init(_ dataSet: DataSet, threadCount: Int) throws(DataError) {
        let description = dataSet.description
        let size = description.elementCount * description.elementType.byteCount
        let blockSize = max(1, Self.blockByteCount / max(1, size))
        for split in DataSplit.allCases {
            let count = description.recordCount(split)
            let blocks = try Parallel.map(
                (count + blockSize - 1) / blockSize, threadCount: threadCount, {},
                { (_, index) throws(DataError) in
                    let start = index * blockSize
                    return try Self.block(
                        dataSet, split, start..<min(count, start + blockSize), size)
                })
            var part = Part()
            for block in blocks {
                part.digests += block.digests
                part.labels += block.labels
            }
            guard split == .training else {
                test = part
                continue
            }
            training = part
            channels =
                description.elementType == .U8
                ? Self.byteChannels(blocks, description.shape[0])
                : Self.floatChannels(blocks, description.shape[0])
        }
    }

    private static func block(
        _ dataSet: DataSet, _ split: DataSplit, _ range: Range<Int>, _ size: Int
    ) throws(DataError) -> Block {
        let (images, labels) = try dataSet.stored(split, range: range)
        let description = dataSet.description
        let channelCount = description.shape[0]
        let channelSize = description.elementCount / channelCount
        var block = Block(labels: labels)
        block.digests.reserveCapacity(range.count)
        images.withUnsafeBytes { bytes in
            for index in 0..<range.count {
                let record = UnsafeRawBufferPointer(
                    rebasing: bytes[index * size..<(index + 1) * size])
                var hash = SHA256()
                hash.update(bufferPointer: record)
                block.digests.append(Digest(hash.finalize()))
            }
            guard split == .training else { return }
            if description.elementType == .U8 {
                block.histogram = histogram(bytes, channelCount, channelSize)
            } else {
                block.moments = moments(bytes, channelCount, channelSize)
            }
        }
        return block
    }

    // MARK: Channels

    private static func histogram(
        _ bytes: UnsafeRawBufferPointer, _ channelCount: Int, _ channelSize: Int
    ) -> [Int] {
        var histogram = [Int](repeating: 0, count: 256 * channelCount)
        histogram.withUnsafeMutableBufferPointer { counts in
            var start = 0
            while start < bytes.count {
                for channel in 0..<channelCount {
                    for place in start..<start + channelSize {
                        counts[channel << 8 | Int(bytes[place])] += 1
                    }
                    start += channelSize
                }
            }
        }
        return histogram
    }

    /// Mean and deviation from the number of elements of each byte, whose sums are whole numbers.
    private static func byteChannels(
        _ blocks: [Block], _ channelCount: Int
    ) -> [DataSetReport.Channel] {
        var counts = [Int](repeating: 0, count: 256 * channelCount)
        for block in blocks {
            for (index, count) in block.histogram.enumerated() { counts[index] += count }
        }
        return (0..<channelCount).map { channel in
            let bins = counts[channel << 8..<(channel + 1) << 8]
            let total = Double(bins.reduce(0, +))
            // The numbers that training has: bytes divided by 255 in single precision.
            let values = (0..<256).map { Double(Float($0) / 255) }
            let mean = zip(bins, values).reduce(0) { $0 + Double($1.0) * $1.1 } / total
            let variance =
                zip(bins, values).reduce(0) {
                    $0 + Double($1.0) * ($1.1 - mean) * ($1.1 - mean)
                } / total
            return DataSetReport.Channel(mean: mean, std: variance.squareRoot())
        }
    }

    /// The mean of some numbers, and the sum of the squares of their distances from it.
    struct Moments: Sendable {
        var count = 0.0
        var mean = 0.0
        var squares = 0.0

        /// Adds the numbers of another set.
        ///
        /// Source: Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
        /// Sample Variances" (1979), formula 2.1.
        mutating func add(_ other: Moments) {
            guard other.count > 0 else { return }
            let total = count + other.count
            let difference = other.mean - mean
            squares += other.squares + difference * difference * (count * other.count / total)
            mean += difference * (other.count / total)
            count = total
        }
    }

    private static func moments(
        _ bytes: UnsafeRawBufferPointer, _ channelCount: Int, _ channelSize: Int
    ) -> [Moments] {
        var moments = [Moments](repeating: Moments(), count: channelCount)
        var start = 0
        func element(_ place: Int) -> Double {
            Double(bytes.loadUnaligned(fromByteOffset: 4 * (start + place), as: Float.self))
        }
        while 4 * start < bytes.count {
            for channel in 0..<channelCount {
                var sum = 0.0
                for place in 0..<channelSize { sum += element(place) }
                var part = Moments(count: Double(channelSize), mean: sum / Double(channelSize))
                for place in 0..<channelSize {
                    let distance = element(place) - part.mean
                    part.squares += distance * distance
                }
                moments[channel].add(part)
                start += channelSize
            }
        }
        return moments
    }

    private static func floatChannels(
        _ blocks: [Block], _ channelCount: Int
    ) -> [DataSetReport.Channel] {
        (0..<channelCount).map { channel in
            var all = Moments()
            for block in blocks { all.add(block.moments[channel]) }
            return DataSetReport.Channel(
                mean: all.mean, std: (all.squares / all.count).squareRoot())
        }
    }

    // MARK: Copies

    /// Returns the records whose elements are equal to those of others.
    func copies(names: RecordListing?, hasLabels: Bool) -> DataSetReport.Copies {
        let trainingCount = training.digests.count
        let digests = training.digests + test.digests
        let labels = training.labels + test.labels
        // Equal records stand side by side, in the order of their numbers.
        let order = digests.indices.sorted { (digests[$0], $0) < (digests[$1], $1) }
        var copies = DataSetReport.Copies()
        var groups: [[Int]] = []
        var start = 0
        while start < order.count {
            var end = start + 1
            while end < order.count, digests[order[end]] == digests[order[start]] { end += 1 }
            if end - start > 1 {
                let group = order[start..<end]
                let inTraining = group.count { $0 < trainingCount }
                let inTest = group.count - inTraining
                copies.training += max(0, inTraining - 1)
                copies.test += max(0, inTest - 1)
                if inTraining > 0 { copies.across += inTest }
                let isMixed = hasLabels && group.contains { labels[$0] != labels[group.first!] }
                if isMixed { copies.conflicts += 1 }
                // The groups of the smallest numbers are shown, those with different labels before
                // others.
                let kept = Array(group.prefix(3)) + group.suffix(max(0, min(1, group.count - 3)))
                groups.append([isMixed ? 0 : 1] + kept)
                if groups.count >= 4096 { groups = Self.first(groups) }
            }
            start = end
        }
        copies.examples = Self.first(groups).map { group in
            group.dropFirst().map { index in
                let split: DataSplit = index < trainingCount ? .training : .test
                let number = split == .training ? index : index - trainingCount
                return DataSetReport.Place(
                    split: split, record: number, label: hasLabels ? Int(labels[index]) : nil,
                    name: names?.name(split, stored: number))
            }
        }
        return copies
    }

    private static func first(_ groups: [[Int]]) -> [[Int]] {
        Array(groups.sorted { $0.lexicographicallyPrecedes($1) }.prefix(exampleCount))
    }
}
