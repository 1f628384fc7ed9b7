import SafeTensors

/// Brings the partitions of a data set to this host, wherever they are.
///
/// Threading: any thread.
public protocol PartitionSupply: AnyObject, Sendable {
    /// Waits until a partition is on this host and returns its whole file, which matches its
    /// entry's SHA-256.
    func partition(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition
    /// Returns the path of a partition's file on this host's disk. A file that has disappeared is
    /// fetched again.
    func path(_ reference: PartitionReference) throws(DataError) -> String
    /// Waits until a partition is on this host's disk, and returns what `check` makes of the file at
    /// that path. A file that `check` refuses is brought again. Nil where no disk keeps partitions;
    /// they are then only to be had by `partition(_:)`.
    func checked<Value>(
        _ reference: PartitionReference, _ check: (String) throws(DataError) -> Value
    ) throws(DataError) -> Value?
    /// Waits until these partitions are on this host, or until it is certain that they cannot be
    /// kept here.
    ///
    /// - Throws: the reason when one of them cannot be fetched.
    func bring(_ references: [PartitionReference]) throws(DataError)
    /// Whether all of these partitions are on this host now. Does not wait.
    func has(_ references: [PartitionReference]) -> Bool
    /// Announces that these partitions will be needed, in this order. The list replaces the one
    /// announced before, as far as its partitions are not being fetched yet.
    func expect(_ references: [PartitionReference])
}

extension PartitionSupply {
    /// Nil: without another rule, no disk keeps partitions.
    public func checked<Value>(
        _ reference: PartitionReference, _ check: (String) throws(DataError) -> Value
    ) throws(DataError) -> Value? { nil }
}

/// A supply seen as the files of a partitioned data set.
struct SuppliedFiles: PartitionFiles {
    let manifest: PartitionManifest
    let supply: any PartitionSupply

    func load(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition {
        try supply.partition(reference)
    }

    func checked<Value>(
        _ reference: PartitionReference, _ check: (ReadOnlyFile) throws(DataError) -> Value
    ) throws(DataError) -> Value? {
        try supply.checked(reference) { (path) throws(DataError) in
            try check(try reading { () throws(SystemCallError) in try ReadOnlyFile(path: path) })
        }
    }

    func isHere(_ reference: PartitionReference) -> Bool { supply.has([reference]) }

    func reopen(_ reference: PartitionReference) throws(DataError) -> ReadOnlyFile {
        let path = try supply.path(reference)
        return try reading { () throws(SystemCallError) in try ReadOnlyFile(path: path) }
    }
}
