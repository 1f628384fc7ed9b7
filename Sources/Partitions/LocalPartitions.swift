/// A partitioned directory of this host, which may lack some of its partitions.
///
/// Threading: any thread.
public struct LocalPartitions: Sendable {
    public let catalog: PartitionCatalog
    private let directory: PartitionDirectory

    /// Reads the manifest; the partitions are not looked at.
    public init(path: String) throws(DataError) {
        directory = try PartitionDirectory(path: path)
        catalog = PartitionCatalog(
            description: directory.description, manifest: directory.manifest)
    }

    /// Path of a partition's file; its contents are not checked.
    ///
    /// - Throws: when it is missing or leads out of the directory.
    public func path(_ reference: PartitionReference) throws(DataError) -> String {
        try directory.reopen(reference).path
    }

    /// A whole file, after comparing its SHA-256 with the manifest's.
    public func load(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition {
        try directory.load(reference)
    }
}
