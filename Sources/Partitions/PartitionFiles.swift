import SafeTensors

/// The files of a partitioned data set, wherever they come from.
///
/// Threading: any thread.
protocol PartitionFiles: Sendable {
    var manifest: PartitionManifest { get }
    /// Returns a whole file after comparing it with its entry's SHA-256.
    func load(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition
    /// Opens the file on a disk and returns what `check` makes of it; nil where no disk keeps the
    /// partition. A file that `check` refuses is brought again where that is possible.
    func checked<Value>(
        _ reference: PartitionReference, _ check: (ReadOnlyFile) throws(DataError) -> Value
    ) throws(DataError) -> Value?
    /// Whether a partition is on this host. Does not wait.
    func isHere(_ reference: PartitionReference) -> Bool
    /// Opens a file that was loaded or checked before and is on a disk.
    func reopen(_ reference: PartitionReference) throws(DataError) -> ReadOnlyFile
}

extension PartitionFiles {
    func isHere(_ reference: PartitionReference) -> Bool { true }
}

/// The bytes of a partition's file, and where they came from.
public struct SuppliedPartition: Sendable {
    /// The contents of the whole file.
    public let bytes: [UInt8]
    /// The name of the file, for errors.
    public let name: String
    /// Whether the bytes can be read again without the network.
    public let isOnDisk: Bool
    /// What the system said of the file; nil for bytes from elsewhere.
    var stamp: ReadOnlyFile.Stamp?

    /// Creates a value from its parts.
    public init(bytes: [UInt8], name: String, isOnDisk: Bool) {
        self.bytes = bytes
        self.name = name
        self.isOnDisk = isOnDisk
    }
}

extension PartitionDirectory: PartitionFiles {
    func load(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition {
        let entry = manifest.entry(reference)
        let file = try open(entry)
        let bytes = try reading { () throws(SystemCallError) in
            try file.bytes(at: 0, byteCount: file.byteCount)
        }
        try manifest.verify(bytes, entry, file: file.path)
        var supplied = SuppliedPartition(bytes: bytes, name: file.path, isOnDisk: true)
        supplied.stamp = file.stamp
        return supplied
    }

    func checked<Value>(
        _ reference: PartitionReference, _ check: (ReadOnlyFile) throws(DataError) -> Value
    ) throws(DataError) -> Value? {
        try check(open(manifest.entry(reference)))
    }

    func reopen(_ reference: PartitionReference) throws(DataError) -> ReadOnlyFile {
        try open(manifest.entry(reference))
    }
}
