/// Reads a partitioned directory again, every byte of it.
public enum PartitionVerifier {
    /// What was found to be good.
    public struct Report: Sendable, Hashable {
        public let description: DataSetDescription
        public let partitionCount: Int
        /// Bytes of all partition files.
        public let byteCount: Int
    }

    /// Compares every file with the manifest: SHA-256, header, labels, histogram.
    ///
    /// Memory: one partition at a time.
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
