/// A fixed piece of one split, and how it can be made again.
public struct Partition: Sendable, Codable, Hashable {
    /// The number of the partition within its split, from 0.
    public let index: Int
    /// The split that the partition belongs to.
    public let split: DataSplit
    /// The numbers of its records within the split.
    public let recordRange: Range<Int>
    /// The steps that make the partition again.
    public let lineage: Lineage

    /// The number of records in the partition.
    public var recordCount: Int { recordRange.count }
}

/// The steps that make a partition. A process that lost the partition follows them and has it
/// again.
public struct Lineage: Sendable, Codable, Hashable, CustomStringConvertible {
    /// One step of a lineage.
    public enum Step: Sendable, Codable, Hashable, CustomStringConvertible {
        /// Open the source with this specification; its contents have this fingerprint.
        case source(specification: String, fingerprint: String)
        /// Take these records of this file, counted from 0 within the file.
        case records(file: String, range: Range<Int>)
        /// Apply this transformation whenever a record is read.
        case transformation(Transformation)

        /// The step in words.
        public var description: String {
            switch self {
            case .source(let specification, let fingerprint):
                "source \(specification) (\(fingerprint.prefix(12)))"
            case .records(let file, let range):
                "records \(range.lowerBound)..<\(range.upperBound) of \(file)"
            case .transformation(let transformation): transformation.canonicalText
            }
        }
    }

    /// The steps in the order in which they are taken.
    public private(set) var steps: [Step]

    /// Creates a lineage from its steps.
    public init(steps: [Step]) { self.steps = steps }

    /// The steps in words, joined by arrows.
    public var description: String { steps.map(\.description).joined(separator: " -> ") }

    /// Returns this lineage with transformations added at its end.
    func extended(by transformations: [Transformation]) -> Lineage {
        Lineage(steps: steps + transformations.map(Step.transformation))
    }
}

extension Partition {
    /// Returns this partition behind further transformations.
    func transformed(by transformations: [Transformation]) -> Partition {
        Partition(
            index: index, split: split, recordRange: recordRange,
            lineage: lineage.extended(by: transformations))
    }

    /// Cuts a split that consists of some files into `count` partitions of nearly equal size.
    static func cut(
        _ split: DataSplit, segments: [SourceSegment], count: Int, origin: Lineage.Step
    ) -> [Partition] {
        let recordCount = segments.reduce(0) { $0 + $1.recordCount }
        return (0..<count).map { index in
            let range = evenCut(count: recordCount, pieceCount: count, index: index)
            var steps = [origin]
            var start = 0
            for segment in segments {
                let part = range.clamped(to: start..<start + segment.recordCount)
                if !part.isEmpty {
                    let local = part.lowerBound - start..<part.upperBound - start
                    steps.append(.records(file: segment.file, range: local))
                }
                start += segment.recordCount
            }
            return Partition(
                index: index, split: split, recordRange: range, lineage: Lineage(steps: steps))
        }
    }
}
