/// A partitioned directory of this host, which may lack some of its partitions.
///
/// Threading: any thread.
public struct LocalPartitions: Sendable {
    /// The description of the data set and its partitions.
    public let catalog: PartitionCatalog
    private let directory: PartitionDirectory

    /// Opens a directory and reads its manifest. The partition files are not read.
    ///
    /// - Throws: when the directory or its manifest is missing or malformed.
    public init(path: String) throws(DataError) {
        directory = try PartitionDirectory(path: path)
        catalog = PartitionCatalog(
            description: directory.description, manifest: directory.manifest)
    }

    /// Returns the path of a partition's file. The file's contents are not checked.
    ///
    /// - Throws: when the file cannot be opened or its path leads out of the directory.
    public func path(_ reference: PartitionReference) throws(DataError) -> String {
        try directory.reopen(reference).path
    }

    /// Returns a partition's whole file.
    ///
    /// - Throws: `checksumMismatch` when its SHA-256 is not the manifest's, and the reason when the
    ///   file cannot be read or is malformed.
    public func load(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition {
        try directory.load(reference)
    }
}
