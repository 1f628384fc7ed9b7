import SafeTensors

/// Brings the partitions of a data set to this host, from wherever they are.
///
/// Threading: any thread.
public protocol PartitionSupply: AnyObject, Sendable {
    /// The whole file, which matches its entry's SHA-256; waits until it is here.
    func partition(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition
    /// Opens the file on this host's disk, after bringing it once more where it has gone.
    func path(_ reference: PartitionReference) throws(DataError) -> String
    /// Waits until these are on this host, or cannot be.
    func bring(_ references: [PartitionReference]) throws(DataError)
    /// Whether all of these are here now; does not wait.
    func has(_ references: [PartitionReference]) -> Bool
    /// These will be wanted, in this order; what was hinted at before and has not begun is dropped.
    func expect(_ references: [PartitionReference])
}

/// A supply as the files of a partitioned set.
struct SuppliedFiles: PartitionFiles {
    let manifest: PartitionManifest
    let supply: any PartitionSupply

    func load(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition {
        try supply.partition(reference)
    }

    func reopen(_ reference: PartitionReference) throws(DataError) -> ReadOnlyFile {
        let path = try supply.path(reference)
        return try reading { () throws(SystemCallError) in try ReadOnlyFile(path: path) }
    }
}
