/// Verifies a partitioned directory by reading every byte of it.
public enum PartitionVerifier {
    /// The contents of a directory that was found to be good.
    public struct Report: Sendable, Hashable {
        /// The description of the data set.
        public let description: DataSetDescription
        /// The number of partitions of both splits.
        public let partitionCount: Int
        /// The size of all partition files in bytes.
        public let byteCount: Int
    }

    /// Compares every file with the manifest: SHA-256, header, labels and histogram.
    ///
    /// Memory: the labels or targets of one partition.
    ///
    /// - Throws: the first disagreement, or the reason when a file cannot be read.
    public static func verify(directory path: String) throws(DataError) -> Report {
        let directory = try PartitionDirectory(path: path)
        var byteCount = 0
        var partitionCount = 0
        for split in DataSplit.allCases {
            for index in directory.manifest.entries(split).indices {
                let reference = PartitionReference(split, index)
                let file = try directory.open(directory.manifest.entry(reference))
                _ = try CheckedPartition(file, reference, manifest: directory.manifest)
                byteCount += file.byteCount
                partitionCount += 1
            }
        }
        return Report(
            description: directory.description, partitionCount: partitionCount, byteCount: byteCount
        )
    }
}
