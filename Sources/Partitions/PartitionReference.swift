/// The name of a partition within its data set: split and number, never a path.
public struct PartitionReference: Sendable, Hashable, CustomStringConvertible {
    /// The split that the partition belongs to.
    public let split: DataSplit
    /// The number of the partition within its split, from 0.
    public let index: Int

    /// Creates a reference from a split and a number.
    public init(_ split: DataSplit, _ index: Int) {
        self.split = split
        self.index = index
    }

    /// The reference in words, such as "training partition 3".
    public var description: String { "\(split.rawValue) partition \(index)" }
}
