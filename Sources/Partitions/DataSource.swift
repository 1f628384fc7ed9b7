/// Describes the contents of a source without keeping them.
public enum DataSource {
    /// Reads a source once and checks it: sizes, ends of files, checksums of compressed files and the
    /// range of every label.
    ///
    /// A source that has to be decoded is imported into the cache, unless it is there. For a
    /// partitioned directory the manifest, every header and every label are read. The images are not
    /// read; each reader checks them against their SHA-256.
    ///
    /// - Parameters:
    ///   - specification: the source of the data.
    ///   - partitionCount: the number of partitions of the training split of an imported set.
    ///   - importer: imports what has to be decoded; nil for the user's cache.
    public static func describe(
        _ specification: DataSpecification, partitionCount: Int = 8, importer: DataImport? = nil
    ) throws(DataError) -> DataSetDescription {
        if let path = try partitionedPath(specification, partitionCount, importer) {
            return try inspected(path, specification).description
        }
        return try bytesSource(specification).describe()
    }

    /// Returns what a user should know of the records of an imported source, one line each: pictures
    /// that are taken otherwise than they look, files and records that were left out.
    public static func remarks(
        _ specification: DataSpecification, partitionCount: Int, importer: DataImport? = nil
    ) throws(DataError) -> [String] {
        guard specification.isCompiled,
            let path = try partitionedPath(specification, partitionCount, importer)
        else { return [] }
        return DataImport.facts(path)?.remarks ?? []
    }

    /// Opens a partitioned directory after every header and every label was checked.
    static func inspected(
        _ path: String, _ specification: DataSpecification
    ) throws(DataError) -> PartitionDirectory {
        let directory = try PartitionDirectory(path: path, isCached: specification.isCompiled)
        for split in DataSplit.allCases {
            for entry in directory.manifest.entries(split) { try directory.inspect(entry) }
        }
        return directory
    }

    /// Returns the partitioned directory with the records of a source, which is imported into the
    /// cache where that is necessary; nil for a source of bytes.
    static func partitionedPath(
        _ specification: DataSpecification, _ partitionCount: Int, _ importer: DataImport?
    ) throws(DataError) -> String? {
        if specification.isPartitioned { return specification.location }
        guard specification.isCompiled else { return nil }
        guard let importer = importer ?? DataCache.standard.map({ DataImport(cache: $0) }) else {
            throw DataCache.missing(specification)
        }
        return try importer.directory(specification, partitionCount: partitionCount)
    }

    /// Returns the reader of a source whose records are bytes.
    static func bytesSource(
        _ specification: DataSpecification
    ) throws(DataError) -> any BytesSource {
        guard let source = try specification.source() as? any BytesSource else {
            preconditionFailure("\(specification) is no source of bytes")
        }
        return source
    }
}
