import SafeTensors

/// Provides a data set as partition files for other hosts.
///
/// Memory: a source of bytes is held in memory as a whole, any other not at all.
/// Threading: one thread only.
public final class PartitionExport {
    private enum Source {
        case memory(MemoryPartitions)
        case directory(PartitionDirectory)
    }

    /// The description of the data set and its partitions.
    public let catalog: PartitionCatalog
    private let source: Source
    /// The lengths in bytes of the directory's files whose SHA-256 was compared with the
    /// manifest's.
    private var checked: [PartitionReference: Int] = [:]

    /// Opens a data set. A source of bytes is imported into memory, and another one into the cache; for
    /// a partitioned directory only the manifest is read.
    ///
    /// - Parameters:
    ///   - specification: the source of the data.
    ///   - partitionCount: the number of partitions of the training split. A partitioned directory
    ///     ignores it and has its own.
    ///   - importer: imports what has to be decoded; nil for the user's cache.
    public init(
        _ specification: DataSpecification, partitionCount: Int, importer: DataImport? = nil
    ) throws(DataError) {
        if let path = try DataSource.partitionedPath(specification, partitionCount, importer) {
            let directory = try PartitionDirectory(
                path: path, isCached: specification.isCompiled)
            catalog = PartitionCatalog(
                description: directory.description, manifest: directory.manifest)
            source = .directory(directory)
            return
        }
        let (files, description, _) = try DataSet.imported(specification, partitionCount)
        catalog = PartitionCatalog(description: description, manifest: files.manifest)
        source = .memory(files)
    }

    /// Returns the length of a partition's file in bytes.
    ///
    /// - Throws: `unreadable` when a file of a partitioned directory is missing, and
    ///   `checksumMismatch` when its contents are not those that the manifest names.
    public func byteCount(_ reference: PartitionReference) throws(DataError) -> Int {
        switch source {
        case .memory(let files): return files.bytes(reference).count
        case .directory(let directory):
            if let known = checked[reference] { return known }
            let count = try check(reference, of: directory)
            checked[reference] = count
            return count
        }
    }

    /// Returns part of a partition's file. On the first call for a file of a partitioned directory
    /// the whole file is checked.
    ///
    /// - Parameters:
    ///   - reference: the partition.
    ///   - range: offsets in bytes from the start of the file; what lies beyond its end is left
    ///     out.
    public func bytes(
        _ reference: PartitionReference, _ range: Range<Int>
    ) throws(DataError) -> [UInt8] {
        let whole = 0..<(try byteCount(reference))
        let range = range.clamped(to: whole)
        switch source {
        case .memory(let files): return Array(files.bytes(reference)[range])
        case .directory(let directory):
            let file = try directory.reopen(reference)
            return try reading { () throws(SystemCallError) in
                try file.bytes(at: range.lowerBound, byteCount: range.count)
            }
        }
    }

    /// Compares a file with its entry's SHA-256, slice by slice, and returns the file's length in
    /// bytes.
    private func check(
        _ reference: PartitionReference, of directory: PartitionDirectory
    ) throws(DataError) -> Int {
        let entry = directory.manifest.entry(reference)
        let file = try directory.open(entry)
        let found = try file.sha256()
        guard found == entry.sha256 else { throw entry.mismatch(file: file.path, found: found) }
        return file.byteCount
    }
}
