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
    /// Memory: one partition at a time.
    ///
    /// - Throws: the first disagreement, or the reason when a file cannot be read.
    public static func verify(directory path: String) throws(DataError) -> Report {
        let directory = try PartitionDirectory(path: path)
        var byteCount = 0
        var partitionCount = 0
        for split in DataSplit.allCases {
            for index in directory.manifest.entries(split).indices {
                let reference = PartitionReference(split, index)
                byteCount += try PartitionContent(
                    directory.load(reference), reference, manifest: directory.manifest
                ).byteCount
                partitionCount += 1
            }
        }
        return Report(
            description: directory.description, partitionCount: partitionCount, byteCount: byteCount
        )
    }
}
