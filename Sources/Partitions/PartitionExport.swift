import Checksums
import SafeTensors

/// A data set as partition files that others can have: cut and written out on the fly, or, where it
/// lies in a partitioned directory, those files themselves.
///
/// Memory: a source of bytes as a whole, a partitioned directory none of it.
/// Threading: for one thread.
public final class PartitionExport {
    private enum Source {
        case rendered([PartitionReference: PartitionRendering])
        case directory(PartitionDirectory)
    }

    public let catalog: PartitionCatalog
    private let source: Source
    /// Partitions of a directory whose SHA-256 was compared with the manifest's; their lengths.
    private var checked: [PartitionReference: Int] = [:]

    /// Opens the data and, but for a partitioned directory, hashes every partition.
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
                classes: description.classCount,
                training: try entries(.training, partitionCount),
                test: try entries(.test, testPieceCount)))
        source = .rendered(renderings)
    }

    /// Length of a partition's file.
    ///
    /// - Throws: for a file of a directory that is missing or not the one the manifest names.
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

    /// Part of a partition's file; the first time all of the file is checked.
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

    /// Compares a file with its entry's SHA-256, slice by slice.
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
