import FoundationEssentials
import SafeTensors

/// Writes a data set as a partitioned directory.
public enum PartitionWriter {
    /// Writes both splits and, as the last file, the manifest. A directory without a manifest is
    /// unfinished.
    ///
    /// The training split becomes `partitionCount` files. The test split becomes as many files as
    /// make the sizes of all files similar. Equal data gives equal bytes.
    ///
    /// - Returns: the manifest that was written.
    /// - Throws: `badSetting` when the data set has transformations or the count does not fit;
    ///   `unwritable` when the directory is not empty or the disk is full or read-only; and the
    ///   reason when records cannot be read.
    @discardableResult
    public static func write(
        _ dataSet: DataSet, partitionCount: Int, directory: String
    ) throws(DataError) -> PartitionManifest {
        let description = dataSet.description
        guard dataSet.transformations.isEmpty else {
            throw DataError(
                .badSetting, file: directory, what: "transformations of the data to write",
                expected: "none, since they apply when a record is read",
                found: "\(dataSet.transformations.count)")
        }
        guard (1...description.trainingCount).contains(partitionCount) else {
            throw DataError(
                .badSetting, file: "partitions", what: "partition count",
                expected: "1 to the \(description.trainingCount) training records",
                found: "\(partitionCount) partitions", advice: "use fewer partitions")
        }
        try prepare(directory)
        let testPieceCount = PartitionRendering.testPieceCount(
            trainingCount: description.trainingCount, testCount: description.testCount,
            trainingPieceCount: partitionCount)
        let manifest = PartitionManifest(
            name: description.name, shape: description.shape, dtype: description.elementType,
            classes: description.classCount, classNames: description.classNames,
            targets: description.targetCount,
            training: try write(
                .training, of: dataSet, count: partitionCount, directory: directory),
            test: try write(
                .test, of: dataSet, count: testPieceCount, directory: directory))
        try write(manifest, directory: directory)
        return manifest
    }

    /// Creates the directory, or throws unless it is empty.
    private static func prepare(_ directory: String) throws(DataError) {
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
            let names = try FileManager.default.contentsOfDirectory(atPath: directory)
            guard names.isEmpty else {
                throw DataError(
                    .unwritable, file: directory, what: "directory to write",
                    expected: "an empty one",
                    found: "\(names.count) entries", advice: "give another directory or remove it")
            }
        } catch let error as DataError {
            throw error
        } catch {
            throw DataError(
                .unwritable, file: directory, what: "cannot make the directory",
                expected: "success",
                found: "\(error)", advice: "check the path and its permissions")
        }
    }

    private static func write(
        _ split: DataSplit, of dataSet: DataSet, count: Int, directory: String
    ) throws(DataError) -> [PartitionManifest.Entry] {
        var entries: [PartitionManifest.Entry] = []
        for index in 0..<count {
            let range = evenCut(
                count: dataSet.description.recordCount(split), pieceCount: count, index: index)
            let rendering = try PartitionRendering(dataSet, split, range)
            let name = PartitionRendering.fileName(split, index)
            let file = try OpenFile(path: "\(directory)/\(name)")
            entries.append(
                try rendering.entry(file: name) { (slice) throws(DataError) in
                    try file.write(slice)
                })
            try file.finish(synchronizing: true)
        }
        return entries
    }

    /// Writes `bytes` to a file and makes them durable.
    private static func write(_ bytes: [UInt8], path: String) throws(DataError) {
        let file = try OpenFile(path: path)
        try file.write(bytes)
        try file.finish(synchronizing: true)
    }

    /// Writes the manifest under another name and renames it, so that it appears only when it is
    /// complete.
    static func write(
        _ manifest: PartitionManifest, directory: String
    ) throws(DataError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(manifest) else {
            preconditionFailure("a manifest of integers and strings did not encode")
        }
        let path = "\(directory)/\(PartitionManifest.fileName)"
        try write([UInt8](data) + [0x0A], path: path + ".tmp")
        try writing { () throws(SystemCallError) in
            try WritableFile.rename(path + ".tmp", to: path)
            try WritableFile.synchronizeDirectory(directory)
        }
    }
}
