/// A fixed piece of one split, and how it can be made again.
public struct Partition: Sendable, Codable, Hashable {
    /// From 0, within its split.
    public let index: Int
    public let split: DataSplit
    /// Its records' numbers within the split.
    public let recordRange: Range<Int>
    public let lineage: Lineage

    public var recordCount: Int { recordRange.count }
}

/// The steps that make a partition: whoever lost it follows them and has it back.
public struct Lineage: Sendable, Codable, Hashable, CustomStringConvertible {
    public enum Step: Sendable, Codable, Hashable, CustomStringConvertible {
        /// Open this source.
        case source(specification: String, fingerprint: String)
        /// Take these records of this file, counted from 0 within the file.
        case records(file: String, range: Range<Int>)
        /// Apply this when a record is read.
        case transformation(Transformation)

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

    /// In the order they are taken.
    public private(set) var steps: [Step]

    public init(steps: [Step]) { self.steps = steps }

    public var description: String { steps.map(\.description).joined(separator: " -> ") }

    func extended(by transformations: [Transformation]) -> Lineage {
        Lineage(steps: steps + transformations.map(Step.transformation))
    }
}

extension Partition {
    func transformed(by transformations: [Transformation]) -> Partition {
        Partition(
            index: index, split: split, recordRange: recordRange,
            lineage: lineage.extended(by: transformations))
    }

    /// Cuts a split of some files into `count` partitions of nearly equal sizes.
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
