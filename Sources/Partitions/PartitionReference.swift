/// Names a partition of a data set by its place, never by a path.
public struct PartitionReference: Sendable, Hashable, CustomStringConvertible {
    public let split: DataSplit
    /// From 0, within its split.
    public let index: Int

    public init(_ split: DataSplit, _ index: Int) {
        self.split = split
        self.index = index
    }

    public var description: String { "\(split.rawValue) partition \(index)" }
}
