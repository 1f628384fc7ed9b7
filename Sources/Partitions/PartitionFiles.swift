import SafeTensors

/// The files of a partitioned data set, wherever they come from.
///
/// Threading: any thread.
protocol PartitionFiles: Sendable {
    var manifest: PartitionManifest { get }
    /// Returns a whole file after comparing it with its entry's SHA-256.
    func load(_ reference: PartitionReference) throws(DataError) -> SuppliedPartition
    /// Opens a file that was loaded before and is on a disk.
    func reopen(_ reference: PartitionReference) throws(DataError) -> ReadOnlyFile
}

/// The bytes of a partition's file, and where they came from.
public struct SuppliedPartition: Sendable {
    /// The contents of the whole file.
    public let bytes: [UInt8]
    /// The name of the file, for errors.
    public let name: String
    /// Whether the bytes can be read again without the network.
    public let isOnDisk: Bool

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
        return SuppliedPartition(bytes: bytes, name: file.path, isOnDisk: true)
    }

    func reopen(_ reference: PartitionReference) throws(DataError) -> ReadOnlyFile {
        try open(manifest.entry(reference))
    }
}
