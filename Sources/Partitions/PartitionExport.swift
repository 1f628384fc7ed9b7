import Checksums
import SafeTensors

/// Provides a data set as partition files for other hosts. A source of bytes is cut into
/// partitions, and their files are computed when they are asked for. For a partitioned directory
/// the existing files are used.
///
/// Memory: a source of bytes is held in memory as a whole, a partitioned directory not at all.
/// Threading: one thread only.
public final class PartitionExport {
    private enum Source {
        case rendered([PartitionReference: PartitionRendering])
        case directory(PartitionDirectory)
    }

    /// The description of the data set and its partitions.
    public let catalog: PartitionCatalog
    private let source: Source
    /// The lengths in bytes of the directory's files whose SHA-256 was compared with the
    /// manifest's.
    private var checked: [PartitionReference: Int] = [:]

    /// Opens a data set. For a source of bytes every partition is hashed; for a partitioned
    /// directory only the manifest is read.
    ///
    /// - Parameters:
    ///   - specification: the source of the data.
    ///   - partitionCount: the number of partitions of the training split. A partitioned directory
    ///     ignores it and has its own.
    public init(
        _ specification: DataSpecification, partitionCount: Int
    ) throws(DataError) {
        if case .partitions(let path) = specification {
            let directory = try PartitionDirectory(path: path)
            catalog = PartitionCatalog(
                description: directory.description, manifest: directory.manifest)
            source = .directory(directory)
            return
        }
        let dataSet = try DataSet.open(specification, partitionCount: partitionCount)
        let description = dataSet.description
        var renderings: [PartitionReference: PartitionRendering] = [:]
        func entries(_ split: DataSplit, _ count: Int) throws(DataError)
            -> [PartitionManifest.Entry]
        {
            var entries: [PartitionManifest.Entry] = []
            for index in 0..<count {
                let range = evenCut(
                    count: description.recordCount(split), pieceCount: count, index: index)
                let rendering = try PartitionRendering(dataSet, split, range)
                renderings[PartitionReference(split, index)] = rendering
                entries.append(
                    try rendering.entry(file: PartitionRendering.fileName(split, index)) { _ in })
            }
            return entries
        }
        let testPieceCount = PartitionRendering.testPieceCount(
            description, trainingPieceCount: partitionCount)
        catalog = PartitionCatalog(
            description: description,
            manifest: PartitionManifest(
                name: description.name, shape: description.shape, dtype: description.elementType,
                classes: description.classCount, targets: description.targetCount,
                training: try entries(.training, partitionCount),
                test: try entries(.test, testPieceCount)))
        source = .rendered(renderings)
    }

    /// Returns the length of a partition's file in bytes.
    ///
    /// - Throws: `unreadable` when a file of a partitioned directory is missing, and
    ///   `checksumMismatch` when its contents are not those that the manifest names.
    public func byteCount(_ reference: PartitionReference) throws(DataError) -> Int {
        switch source {
        case .rendered(let renderings): return renderings[reference]?.byteCount ?? 0
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
        case .rendered(let renderings): return try renderings[reference]?.bytes(range) ?? []
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
        var hash = SHA256()
        var offset = 0
        while offset < file.byteCount {
            let slice = try reading { () throws(SystemCallError) in
                try file.bytes(at: offset, byteCount: PartitionRendering.sliceByteCount)
            }
            guard !slice.isEmpty else { break }
            hash.update(data: slice)
            offset += slice.count
        }
        let found = hexadecimal(hash.finalize())
        guard found == entry.sha256 else { throw entry.mismatch(file: file.path, found: found) }
        return file.byteCount
    }
}
